"""The debug console: look at the actors of a running farm, and send them messages.

`buildd-master console [COMMAND]`; commands may be piped in, one a line.  The farm is entered by `actors.attach`,
messages are read by `actors.message_text`; every message sent is in the farm's log.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, TextIO

from actors.attach import Attached, NotAttached
from actors.message_text import BadMessage, describe_message, message_types, read_message

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from actors.farm_actor import Here, Silence
    from actors.messages import Description
    from actors.settings import Settings

COMMANDS = {
    "actors": "list every actor: name, kind, pid, generation, state, for how long it was silent, messages, uptime",
    "show": "show NAME: what the actor is thinking",
    "send": "send NAME Message(field=…): have the actor handle a message",
    "help": "help [MESSAGE]: this, or the fields of a message and what it is for",
    "quit": "leave; the farm goes on",
}


class BadCommand(Exception):
    """What was typed is no command; the text says why."""


class Console:
    """Obeys one line after the other."""

    def __init__(self, farm: Attached, out: TextIO) -> None:
        """Speak to `farm`, print on `out`."""
        self._farm = farm
        self._out = out

    def obey(self, line: str) -> None:
        """Do what one line says.

        Raises:
            BadCommand, BadMessage: it can't be done; nothing was sent.
            NotAttached: the farm is gone.
        """
        command, _, rest = line.strip().partition(" ")
        rest = rest.strip()
        match command:
            case "" | "#":
                pass
            case "actors":
                self._print_table(self._rows())
            case "show":
                self._show(rest)
            case "send":
                self._send(rest)
            case "help":
                self._help(rest)
            case _:
                raise BadCommand(f"no command {command!r}; there are: {', '.join(COMMANDS)}")

    def names(self) -> list[str]:
        """Return the names of the actors that are there."""
        return [here.name for here in self._farm.census().here]

    def _rows(self) -> Iterator[tuple[str, ...]]:
        census = self._farm.census()
        said = self._farm.describe(census.here)
        silent = {one.name: one for one in census.silent}
        yield "NAME", "KIND", "PID", "GENERATION", "STATE", "SILENT", "IN", "OUT", "LAST MESSAGE", "UPTIME"
        for here in census.here:
            yield _row(here, said.get(here.name), silent.get(here.name))
        for name, why in census.absent:
            yield name, "-", "-", "-", why, "-", "-", "-", "-", "-"

    def _print_table(self, rows: Iterable[tuple[str, ...]]) -> None:
        table = list(rows)
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        for row in table:
            self._say("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())

    def _show(self, name: str) -> None:
        here = self._find(name)
        said = self._farm.describe((here,)).get(name)
        if said is None:
            raise BadCommand(f"{name} (pid {here.pid}) does not answer")
        facts = [
            ("name", said.name),
            ("kind", said.kind),
            ("pid", str(said.pid)),
            ("generation", str(said.generation)),
            ("uptime", _duration(said.uptime)),
            ("messages", f"{said.messages_in} in, {said.messages_out} out, last {said.last_message}"),
            *said.state,
        ]
        width = max(len(key) for key, _ in facts)
        for key, value in facts:
            self._say(f"{key.ljust(width)}  {value}")

    def _send(self, rest: str) -> None:
        name, _, text = rest.partition(" ")
        here = self._find(name)
        if not text:
            raise BadCommand("send NAME Message(field=…): the message is missing")
        message = read_message(text)
        # Who speaks of a builder is that builder's actor, unless it is spoken to: answers must reach it, not us.
        speaker = getattr(message, "builder", None)
        others = {one.name: one for one in self._farm.census().here if one.name != name}
        sender = others.get(speaker) if isinstance(speaker, str) else None
        if not self._farm.inject(here, message, sender or others.get("queue")):
            raise BadCommand(f"{name} (pid {here.pid}) does not take messages now; it may take this one later")
        self._say(f"sent to {name}, generation {here.generation}: {message}")

    def _help(self, name: str) -> None:
        if name:
            self._say(describe_message(name))
            return
        for command, words in COMMANDS.items():
            self._say(f"{command.ljust(8)} {words}")
        self._say("messages " + " ".join(message_types()))

    def _find(self, name: str) -> Here:
        if not name:
            raise BadCommand("name an actor; `actors` lists them")
        census = self._farm.census()
        for here in census.here:
            if here.name == name:
                return here
        why = dict(census.absent).get(name)
        raise BadCommand(f"{name} does not run now: {why}" if why else f"no actor {name!r}; `actors` lists them")

    def _say(self, text: str) -> None:
        self._out.write(text + "\n")


def run_console(settings: Settings, command: str | None = None) -> int:
    """Run one command, or those on stdin, or a prompt where stdin is a terminal.

    Returns:
        The exit code: 0 done, 2 a command was refused, 3 no farm runs there.
    """
    try:
        with Attached(settings) as farm:
            console = Console(farm, sys.stdout)
            lines = [command] if command is not None else _typed(console) if sys.stdin.isatty() else sys.stdin
            return _obey_all(console, lines)
    except NotAttached as error:
        sys.stderr.write(f"buildd-master: {error}\n")
        return 3


def _obey_all(console: Console, lines: Iterable[str]) -> int:
    code = 0
    for line in lines:
        if line.strip() in {"quit", "exit"}:
            break
        try:
            console.obey(line)
        except (BadCommand, BadMessage) as error:
            sys.stderr.write(f"refused: {error}\n")
            code = 2
    return code


def _typed(console: Console) -> Iterator[str]:
    """Yield what a person types on the terminal."""
    from prompt_toolkit import PromptSession  # noqa: PLC0415 - 0.1 s that pipes need not wait
    from prompt_toolkit.completion import WordCompleter  # noqa: PLC0415

    words = [*COMMANDS, *console.names(), *message_types()]
    session: PromptSession[str] = PromptSession("farm> ", completer=WordCompleter(words))
    while True:
        try:
            yield session.prompt()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return


def _row(here: Here, said: Description | None, silence: Silence | None) -> tuple[str, ...]:
    who = (here.name, here.kind, str(here.pid), str(here.generation))
    if said is None:
        return (*who, "no answer", _silent(silence), "-", "-", "-", "-")
    state = dict(said.state).get("stage", "")
    counts = (str(said.messages_in), str(said.messages_out))
    return (*who, state, _silent(silence), *counts, said.last_message, _duration(said.uptime))


def _silent(silence: Silence | None) -> str:
    if silence is None:
        return "-"
    return f"{silence.seconds:.1f} s" + (f", waits for {silence.excuse}" if silence.excuse else "")


def _duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
