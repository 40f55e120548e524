"""What can go wrong in the slave, and whose fault it is.

SlaveError
├── CannotStart          the operator's: a setting, a second instance, a missing program; one line says what to do
├── ImpossibleMove       our own bug: an event that the state does not allow; carries the story
├── CorruptRecord        the disk's: what was saved can't be read back
└── SandboxBroken        this machine's: namespaces or mounts could not be set up; no build ever ran

A failed build is none of these: it is a `slave.core.outcomes.Ending`, a value.
"""

from __future__ import annotations


class SlaveError(Exception):
    """Base of all errors of this room."""


class CannotStart(SlaveError):
    """The slave refuses to start; the text is one line for the operator."""


class CorruptRecord(SlaveError):
    """A saved record does not describe a state of the slave."""


class SandboxBroken(SlaveError):
    """This machine could not set up what a build runs in."""


class ImpossibleMove(SlaveError):
    """An event reached a state that has no answer to it: a bug in the slave.

    Args:
        what: the event or move.
        story: what happened before, oldest first.
    """

    def __init__(self, what: str, story: tuple[str, ...]) -> None:
        super().__init__("\n  ".join((f"impossible move: {what}; the story so far:", *story)))
        self.story = story
