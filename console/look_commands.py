"""Commands that look, and change nothing."""

from __future__ import annotations

import contextlib
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cli.errors import INTERRUPTED
from cli.main import run
from console.line import BadCommand, Line
from console.looking import COLUMNS, LESS, look, show
from console.replay import replay

if TYPE_CHECKING:
    from actors.console.attach import Attached
    from cli.given import Given
    from console.screen import Screen
    from console.tapping import Tapping

#: what stands after each command
ARGUMENTS: Final = {
    "actors": "",
    "show": "NAME",
    "tap": "NAME… [--only TYPE,TYPE] [--for SECONDS] [--to FILE]",
    "untap": "",
    "explain": "JOB | --builder NAME",
    "check": "",
    "events": "[-f] [--build N] [--builder NAME] [--who NAME] [--since TIME]",
    "status": "",
}


class LookCommands:
    """Those that need a running farm."""

    def __init__(self, farm: Attached, screen: Screen, taps: Tapping, given: Given) -> None:
        """Look at `farm`; `given` says to the command line's commands which that is."""
        self._farm, self._screen, self._taps, self._given = farm, screen, taps, given

    def do_actors(self, line: Line) -> None:
        """List every actor as a tree: name, kind, pid, generation, state, for how long it gave no sign of life.

        Also messages handled and sent, the last one, uptime, and memory (its share of what is shared included).
        """
        if line.rest:
            raise BadCommand("actors takes no arguments; `show NAME` tells of one")
        seen = look(self._farm)
        if line.as_json:
            self._screen.print_json({"actors": [one.document(parent) for one, parent in seen]})
        else:
            self._screen.print_table([COLUMNS, *(one.row() for one, _ in seen)], LESS)

    def do_show(self, line: Line) -> None:
        """Tell what the actor is thinking, and its story: the last 200 events and orders, with times."""
        found = show(self._farm, line.alone())
        if line.as_json:
            self._screen.print_json(found.document())
            return
        facts = found.facts()
        width = max(len(key) for key, _ in facts)
        for key, value in facts:
            self._screen.say(f"{key.ljust(width)}  {value}")
        if found.story:
            self._screen.say("story")
            for one in found.story:
                self._screen.say(f"  {one}")

    def do_tap(self, line: Line) -> None:
        """Copy every message that actors handle and send.

        On the screen until ^C or for so long; or into a file, with what cores hear and answer (for `replay`), until
        `untap`.  A console that is too slow loses lines, and is told how many; actors never wait for it.  An actor
        that dies is tapped again in its next life.
        """
        self._taps.tap(line, endless=self._screen.person)

    def do_untap(self, line: Line) -> None:
        """End every tap into a file."""
        done = self._taps.untap()
        if line.as_json:
            self._screen.print_json({"taps": done})
            return
        for told in done:
            self._screen.say(recorded(told))
        if not done:
            self._screen.say("nobody is tapped into a file")

    def do_explain(self, line: Line) -> int:
        """Say why a job is not building, or a builder idle."""
        return self._command("explain", line)

    def do_events(self, line: Line) -> int:
        """Tell what happened, who did it and why; `-f` goes on until ^C."""
        follows = any(word == "--follow" or word.startswith("-f") for word in line.words)  # as in -fn5, too
        if follows and not self._screen.person:
            raise BadCommand("events -f goes on until ^C, which is for a terminal; `events` tells what there is")
        return self._command("events", line, endless=follows)

    def do_check(self, line: Line) -> int:
        """Check every invariant of the farm, and every byte in the librarian."""
        return self._command("check", line)

    def do_status(self, line: Line) -> int:
        """Say in one glance how the farm is."""
        return self._command("status", line)

    def _command(self, name: str, line: Line, *, endless: bool = False) -> int:
        given = self._given
        options = {"--config": given.config, "--state-directory": given.state_directory, "--database": given.database}
        before = [word for option, value in options.items() if value for word in (option, str(value))]
        after = [name, *line.words, *(["--json"] if line.as_json else [])]
        found = io.StringIO()
        with contextlib.redirect_stdout(found if line.as_json and not endless else self._screen.out):
            code = run([*before, *after])
        self._print_found(found.getvalue())
        return 0 if code == INTERRUPTED else code

    def _print_found(self, found: str) -> None:
        """Print a command's JSON on one line, or the words of one that was asked for its help."""
        if not found:
            return
        try:
            self._screen.print_json(json.loads(found))
        except ValueError:
            self._screen.print_json({"help": found.splitlines()})


class FileCommands:
    """Those that need none."""

    def __init__(self, screen: Screen) -> None:
        """Look at files."""
        self._screen = screen

    def do_replay(self, line: Line) -> int:
        """Put a tapped story into a fresh core: the same orders, or the first difference.

        Needs no farm.
        """
        words = line.words
        if len(words) != 1:
            raise BadCommand("replay takes one file, as `tap NAME --to FILE` makes it")
        done = replay(Path(words[0]))
        difference = done.difference
        if line.as_json:
            told = difference and {"line": difference.line, "core": difference.who, "heard": difference.event}
            now = difference and {**(told or {}), "then": difference.told, "now": difference.now}
            self._screen.print_json({"events": done.events, "skipped": done.skipped, "difference": now})
        else:
            for core, number in done.events.items():
                self._screen.say(f"{core}: {number} events")
            if done.skipped:
                self._screen.say(f"{done.skipped} events were passed over: no state of their core stands before them")
            self._screen.say("no difference" if difference is None else difference.words())
        return 0 if difference is None else 1


def recorded(told: dict[str, object]) -> str:
    """Return what is in a tap's file, in words."""
    lost = f", {told['lost']} lost" if told["lost"] else ""
    trouble = f", and it is not whole: {told['trouble']}" if told["trouble"] else ""
    return f"{told['file']}: {told['lines']} lines{lost}{trouble}"
