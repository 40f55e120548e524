"""What a command says when it can't do what it was asked, and the exit code that goes with it.

    CommandError
    ├── Failed          1   the farm did as told, and the answer is no: the build failed, an invariant is broken
    ├── BadInput        2   what the person gave can't be used; nothing was changed
    ├── Refused         2   the person lacks a role; nothing was changed
    └── NotReachable    3   the farm, its database or a tool of this machine is missing or does not answer

A text is one line: what, where, whose fault, what to do.  `cli.app.main` prints it and exits.
"""

from __future__ import annotations

from typing import ClassVar


class CommandError(Exception):
    """A command ends here, with one line for the person."""

    exit_code: ClassVar[int] = 1

    def __init__(self, text: str, *, answered: bool = False) -> None:
        """Say what is wrong.

        Args:
            text: one line.
            answered: the command has printed its answer, and this only tells why it is no success.
        """
        super().__init__(text)
        self.answered = answered


class Failed(CommandError):
    """The thing asked for was tried, and failed."""

    exit_code = 1


class BadInput(CommandError):
    """What was given can't be used; nothing was changed."""

    exit_code = 2


class Refused(CommandError):
    """The person who asks lacks a role for it (`actors.core.people.roles`); nothing was changed."""

    exit_code = 2


class NotReachable(CommandError):
    """The farm, its database or a tool of this machine does not answer; nothing was changed."""

    exit_code = 3


INTERRUPTED = 130  #: exit code after Ctrl-C
