"""One line as a person types it: a command, its arguments, and what may follow every command.

    crash bob out of memory --why to see the fail notes      (`--why` takes the rest of the line, but for `--json` at its end)
    actors --json

Never looks at the farm.
"""

from __future__ import annotations

import argparse
import shlex
from dataclasses import dataclass
from typing import Final, NoReturn

_JSON: Final = "--json"


class BadCommand(Exception):
    """What was typed can't be done; the text says why, and nothing was done."""


class Options(argparse.ArgumentParser):
    """A command's options; what is wrong is a refusal, and not the end of the program."""

    def error(self, message: str) -> NoReturn:
        """Refuse the line."""
        raise BadCommand(f"{self.prog}: {message}")


@dataclass(frozen=True, slots=True)
class Line:
    """What was typed."""

    command: str  #: empty: nothing, or a comment
    rest: str  #: all of its arguments
    why: str  #: the reason given on the line; empty: none
    as_json: bool

    @property
    def words(self) -> list[str]:
        """The arguments, one by one; quotes hold together.

        Raises:
            BadCommand: a quote is open.
        """
        try:
            return shlex.split(self.rest)
        except ValueError as error:
            raise BadCommand(f"{self.rest!r} can't be read: {str(error).lower()}") from error

    def name(self) -> tuple[str, str]:
        """Return the first argument, which names an actor, and the rest.

        Raises:
            BadCommand: there is none.
        """
        name, _, rest = self.rest.partition(" ")
        if not name:
            raise BadCommand("name an actor; `actors` lists them")
        return name, rest.strip()

    def alone(self) -> str:
        """Return the only argument, the name of an actor.

        Raises:
            BadCommand: there is none, or more.
        """
        name, rest = self.name()
        if rest:
            raise BadCommand(f"{self.command} takes one name; {rest!r} is too much")
        return name


def read_line(text: str) -> Line:
    """Take a line apart.

    Raises:
        BadCommand: `--why` says nothing.
    """
    text = text.strip()
    if text.startswith("#"):
        return Line("", "", "", as_json=False)
    text, last = _without_json(text)
    said, given, why = f" {text} ".partition(" --why ")
    why = " ".join(why.split())
    if given and not (why and why.isprintable()):
        raise BadCommand("--why says nothing that a person can read")
    said, before_why = _without_json(said)
    command, _, rest = said.strip().partition(" ")
    return Line(command, rest.strip(), why, last or before_why)


def wants_json(text: str) -> bool:
    """Return whether a line ends with the wish for JSON."""
    return f" {text}".rstrip().endswith(f" {_JSON}")


def _without_json(text: str) -> tuple[str, bool]:
    wanted = wants_json(text)
    return text.rstrip().removesuffix(_JSON) if wanted else text, wanted
