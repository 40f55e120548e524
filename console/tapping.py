"""`tap`, `untap` and `ask`: live copies of what actors handle and send, on the screen or in a file.

Changes nothing in the farm.  The file's lines are those of `actors.console.tap`, with the peers' names; `replay` reads
them.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import queue
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from actors.console.lossless import NotLossless, read
from actors.console.message_text import message_types, spell
from console.line import BadCommand, Line, Options
from console.looking import find, time_of_day
from console.tapped import Tapped

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from actors.addressed import Here
    from actors.console.attach import Attached
    from console.listening import Copy

_LONGEST: Final = 10 * 86400.0  #: seconds
_ARROWS: Final = {"handled": "<-", "sent": "->", "held": "|-"}


@dataclass(slots=True)
class _Recording:
    """A tap into a file, which goes on while the person does other things."""

    path: Path
    file: IO[str]
    lines: int = 0
    lost: int = 0
    trouble: str = ""  #: why it could not be written to its end


class Tapping:
    """All taps of one console."""

    def __init__(self, farm: Attached, say: Callable[[str], None]) -> None:
        """Tap nobody yet."""
        self._farm = farm
        self._say = say
        self._recordings: list[tuple[_Recording, Tapped]] = []

    def tap(self, line: Line, *, endless: bool) -> None:
        """Do what a line `tap …` says.

        Args:
            line: as typed.
            endless: whether a person is there to end what has no end.

        Raises:
            BadCommand: it can't be done; nobody is tapped.
        """
        options = _options(line.words)
        actors = tuple(find(self._farm, name) for name in options.names)
        types = _types(options.only)
        if options.to is not None:
            self._record(Path(options.to), actors, types)
            return
        if options.seconds is None and not endless:
            raise BadCommand("say for how long: `tap NAME --for SECONDS`")
        self._watch(actors, types, options.seconds, as_json=line.as_json)

    def untap(self) -> list[dict[str, object]]:
        """End every tap into a file; return what is in each."""
        done = []
        while self._recordings:
            recording, tapped = self._recordings.pop()
            tapped.close()
            try:
                recording.file.close()
            except OSError as error:
                recording.trouble = error.strerror or type(error).__name__
            told: dict[str, object] = {
                "file": str(recording.path),
                "lines": recording.lines,
                "lost": recording.lost,
                "trouble": recording.trouble or None,
            }
            done.append(told)
        return done

    def reply(self, here: Here, message: object, peer: Here | None, send: Callable[[], None], seconds: float) -> str:
        """Have a message sent to an actor, and return what it then answers, as a person would type it.

        Args:
            here: the actor.
            message: what is sent.
            peer: who seems to send it: what is said to it is the answer, and so is what names the same builder.
            send: sends it.
            seconds: that are waited.

        Returns:
            Empty if it says nothing in time.
        """
        said: list[str] = []
        heard: list[Copy] = []
        builder = getattr(message, "builder", None)

        def note(copy: Copy) -> None:
            if copy.get("kind") == "handled" and copy.get("type") == type(message).__name__:
                heard.append(copy)
            if copy.get("kind") != "sent" or not heard:
                return
            to_peer = peer is not None and copy.get("peer") == peer.name
            if to_peer or (builder is not None and getattr(_read(copy), "builder", None) == builder):
                said.append(_worded(copy))

        tapped = Tapped(self._farm, (here,), note, frozenset(), cores=False)
        try:
            send()
            tapped.wait(lambda: bool(said), seconds)
        finally:
            tapped.close()
        return said[0] if said else ""

    # --- to the screen ----------------------------------------------------------------------------

    def _watch(self, actors: Sequence[Here], types: frozenset[str], seconds: float | None, *, as_json: bool) -> None:
        heard: queue.Queue[Copy] = queue.Queue()
        tapped = Tapped(self._farm, actors, heard.put, types, cores=False)
        try:
            deadline = None if seconds is None else time.monotonic() + seconds
            with contextlib.suppress(KeyboardInterrupt, queue.Empty):
                while not (tapped.over and heard.empty()):
                    left = None if deadline is None else deadline - time.monotonic()
                    if left is not None and left <= 0:
                        break
                    copy = heard.get(timeout=left)
                    self._say(json.dumps(copy) if as_json else _words(copy))
        finally:
            tapped.close()

    # --- to a file --------------------------------------------------------------------------------

    def _record(self, path: Path, actors: tuple[Here, ...], types: frozenset[str]) -> None:
        try:
            file = path.open("x", encoding="ascii", buffering=1)  # a line at a time: people follow it
        except FileExistsError as error:
            raise BadCommand(f"{path} is there already; name another file") from error
        except OSError as error:
            raise BadCommand(f"{path} can't be written: {error.strerror}") from error
        except ValueError as error:
            raise BadCommand(f"{str(path)!r} is no name of a file: {error}") from error

        def keep(copy: Copy) -> None:
            recording.lines += 1
            recording.lost += int(copy.get("lines", 0)) if copy.get("kind") == "lost" else 0
            try:
                file.write(json.dumps(copy) + "\n")
            except OSError as error:
                recording.trouble = error.strerror or type(error).__name__

        try:
            recording = _Recording(path, file)
            tapped = Tapped(self._farm, actors, keep, types, cores=not types)
        except BaseException:  # ^C, or the farm is gone
            file.close()
            path.unlink()
            raise
        self._recordings.append((recording, tapped))


def _options(words: Sequence[str]) -> argparse.Namespace:
    parser = Options(prog="tap", add_help=False, allow_abbrev=False)
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.add_argument("--only", default="", metavar="TYPE,TYPE")
    parser.add_argument("--for", dest="seconds", type=float, metavar="SECONDS")
    parser.add_argument("--to", metavar="FILE")
    options = parser.parse_args(list(words))
    if options.seconds is not None and not 0 < options.seconds < _LONGEST:
        raise BadCommand(f"tap: --for {options.seconds:g}: a number of seconds above 0 is wanted")
    if options.to is not None and options.seconds is not None:
        raise BadCommand("tap: --for is for the screen; a tap into a file ends with `untap`")
    return options


def _types(only: str) -> frozenset[str]:
    types = frozenset(filter(None, only.split(",")))
    unknown = sorted(types - message_types().keys() - OTHER_TYPES)
    if unknown:
        raise BadCommand(f"no message {unknown[0]!r}; `help` lists them")
    return types


#: messages of the actors that carry addresses and can't be typed, but seen
OTHER_TYPES: Final = frozenset(
    ("Start", "Here", "Fork", "QueueMoved", "WhoIsHere", "Census", "SettingsChanged", "Alive")
)


def _read(copy: Copy) -> object:
    """Return the message of a line; None if it is not one that can be read."""
    try:
        return read(copy.get("message"))
    except NotLossless:
        return None


def _worded(copy: Copy) -> str:
    message, found = copy.get("message"), _read(copy)
    if found is not None:
        return spell(found)
    return str(message["words"] if isinstance(message, dict) and "words" in message else copy.get("type"))


def _words(copy: Copy) -> str:
    """Return one line of a tap for people."""
    at = time_of_day(time.time() - time.monotonic() + float(copy.get("at") or 0))
    who = copy.get("actor")
    match copy.get("kind"):
        case "handled" | "sent" | "held" as kind:
            return f"{at} {who} {_ARROWS[kind]} {copy.get('peer')}  {_worded(copy)}"
        case "lost":
            return f"{at} {who}: {copy.get('lines')} lines were lost here; this console is too slow"
        case "begun":
            return f"{at} {who}, generation {copy.get('generation')}, is tapped"
        case "ended":
            return f"{at} {who}'s life is over: {copy.get('why')}; its next one will be tapped"
        case "gone":
            return f"{at} {who} is no more"
        case kind:
            return f"{at} {who} {kind}"
