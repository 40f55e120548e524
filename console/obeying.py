"""The debug console, one line after the other.

A command `NAME` is a method `do_NAME` of one of the classes that have commands; its docstring is its help.  Those that
look are `console.look_commands`', deeds are `console.deed_commands`'.  Never starts a farm and never ends one.
"""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Final, TextIO

from actors.console.message_text import describe_message, message_types
from console import deed_commands, look_commands
from console.deed_commands import DeedCommands
from console.deeds import Deeds
from console.line import BadCommand, Line, read_line
from console.look_commands import FileCommands, LookCommands, recorded
from console.screen import Screen
from console.tapping import Tapping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from actors.console.attach import Attached
    from cli.given import Given

_PREFIX: Final = "do_"
_USAGE: Final = 30  #: characters for a command and its arguments
_ARGUMENTS: Final = {
    **look_commands.ARGUMENTS,
    **deed_commands.ARGUMENTS,
    "replay": "FILE",
    "help": "[COMMAND | MESSAGE]",
}


class Console:
    """Obeys one line after the other."""

    def __init__(
        self,
        farm: Attached | None,
        out: TextIO,
        given: Given,
        *,
        read_only: bool = False,
        why: str = "",
        as_json: bool = False,
        ask_why: Callable[[], str] | None = None,
    ) -> None:
        """Speak to `farm`, print on `out`.

        Args:
            farm: None: only what needs none.
            out: gets what was found.
            given: with which the commands of the command line are called.
            read_only: refuse whatever changes something.
            why: the reason of every deed whose line gives none.
            as_json: print JSON, whatever a line says.
            ask_why: asks the person; None: there is nobody to ask.
        """
        self._read_only, self._why, self._as_json, self._ask_why = read_only, why, as_json, ask_why
        self._screen = screen = Screen(out, person=ask_why is not None)
        self._rooms: list[object] = [self, FileCommands(screen)]
        self._taps: Tapping | None = None
        if farm is not None:
            self._taps = taps = Tapping(farm, screen.say)
            self._rooms.append(LookCommands(farm, screen, taps, given))
            self._rooms.append(DeedCommands(farm, screen, taps, Deeds(given, farm.farm), self._reason))

    def obey(self, text: str) -> int:
        """Do what one line says.

        Returns:
            An exit code: 0 done, 1 it was done, and the answer is no.

        Raises:
            BadCommand, BadMessage: it can't be done; nothing was changed.
            NotAttached: the farm is gone.
        """
        line = read_line(text)
        if not line.command:
            return 0
        if self._as_json:
            line = replace(line, as_json=True)
        for room in self._rooms:
            method: Callable[[Line], int | None] | None = getattr(room, _PREFIX + line.command, None)
            if method is not None:
                return method(line) or 0
        if line.command in commands():
            raise BadCommand(f"{line.command} needs a running farm")
        raise BadCommand(f"no command {line.command!r}; there are: {', '.join(commands())}")

    def close(self) -> None:
        """End the taps; the farm goes on."""
        done = self._taps.untap() if self._taps is not None else []
        if self._as_json and done:
            self._screen.print_json({"taps": done})
            return
        for told in done:
            self._screen.say(recorded(told))

    def do_help(self, line: Line) -> None:
        """Say what the commands are, or more of one, or the fields of a message and what it is for."""
        told = _help(line.rest)
        if line.as_json:
            self._screen.print_json({"help": told})
        else:
            self._screen.say("\n".join(told))

    def _reason(self, line: Line) -> str:
        """Return why something is done.

        Raises:
            BadCommand: nobody says, or it must not be.
        """
        if self._read_only:
            raise BadCommand(f"this console only looks (--read-only), and {line.command} changes the farm")
        why = line.why or self._why or (self._ask_why() if self._ask_why is not None else "")
        why = " ".join(why.split())
        if not why or not why.isprintable():
            raise BadCommand(f"{line.command} goes into the event log with its reason: add `--why REASON`")
        return why


def commands() -> dict[str, str]:
    """Return what every command does, by its name."""
    found = {
        name.removeprefix(_PREFIX): inspect.cleandoc(method.__doc__ or "")
        for room in (LookCommands, FileCommands, DeedCommands, Console)
        for name, method in vars(room).items()
        if name.startswith(_PREFIX)
    }
    return {**found, "quit": "Leave; the farm goes on, taps end."}


def _help(about: str) -> list[str]:
    told = commands()
    if about in told:
        return [_usage(about), *told[about].splitlines()]
    if about:
        return describe_message(about).splitlines()
    lines = []
    for name, text in told.items():
        usage = _usage(name)
        if len(usage) > _USAGE:
            lines.append(usage)
            usage = ""
        lines.append(f"{usage.ljust(_USAGE)} {text.splitlines()[0]}")
    return [
        *lines,
        "every line may end with --json; a deed with --why REASON",
        "messages: " + " ".join(message_types()),
    ]


def _usage(name: str) -> str:
    return f"{name} {_ARGUMENTS.get(name, '')}".rstrip()


def needs_no_farm(lines: Iterable[str]) -> bool:
    """Return whether a farm need not run for any of these lines."""
    return all(read_line(text).command in {"", "help", "replay", "quit"} for text in lines)
