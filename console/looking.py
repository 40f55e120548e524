"""`actors` and `show`: what there is, and what one of them thinks.  Changes nothing."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from actors.console.orders import TellStory, Told
from console.line import BadCommand

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from actors.addressed import Here
    from actors.console.attach import Attached
    from actors.console.orders import Census, Silence
    from actors.messages import Description

COLUMNS = (*("NAME", "KIND", "PID", "GENERATION", "STATE", "SILENT", "IN", "OUT", "LAST MESSAGE", "UPTIME", "MEMORY"),)
#: Columns that a narrow terminal can do without, the first one first; `show NAME` tells them too.
LESS = ("GENERATION", "MEMORY", "LAST MESSAGE", "KIND", "OUT", "IN", "UPTIME")
_LINE = re.compile(r"(\d+\.\d{3}) (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Seen:
    """One actor, as of now."""

    name: str
    depth: int  #: in the tree: 0 is the supervisor
    here: Here | None  #: None: it should be here, and is not
    said: Description | None  #: None: it does not answer
    silence: Silence | None
    absent: str = ""  #: why it is not here

    @property
    def state(self) -> str:
        """One or a few words."""
        if self.here is None:
            return self.absent
        if self.said is None:
            return "no answer"
        facts = dict(self.said.state)
        if self.said.frozen:
            return f"frozen {self.said.frozen}"
        if self.said.kind == "queue" and facts.get("database", "").startswith("away"):
            return "no database"
        return facts.get("stage", "running")

    def row(self) -> tuple[str, ...]:
        """The cells of a table's row."""
        name = "  " * self.depth + self.name
        if self.here is None:
            return (name, "-", "-", "-", self.state, *["-"] * 6)
        who = (name, self.here.kind, str(self.here.pid), str(self.here.generation), self.state, _silent(self.silence))
        weight = _megabytes(memory(self.here.pid))
        if self.said is None:
            return (*who, "-", "-", "-", "-", weight)
        counts = (str(self.said.messages_in), str(self.said.messages_out))
        return (*who, *counts, self.said.last_message, duration(self.said.uptime), weight)

    def document(self, parent: str | None) -> dict[str, object]:
        """What `--json` shows."""
        here, said, silence = self.here, self.said, self.silence
        return {
            "name": self.name,
            "parent": parent,
            "kind": here and here.kind,
            "pid": here and here.pid,
            "generation": here and here.generation,
            "state": self.state,
            "frozen": bool(said and said.frozen),
            "silent_seconds": silence and round(silence.seconds, 3),
            "waits_for": silence and (silence.excuse or None),
            "messages_in": said and said.messages_in,
            "messages_out": said and said.messages_out,
            "last_message": said and said.last_message,
            "uptime_seconds": said and round(said.uptime, 3),
            "memory_bytes": here and memory(here.pid),
        }


def look(farm: Attached) -> tuple[tuple[Seen, str | None], ...]:
    """Return every actor with its parent's name, parents before their children.

    Raises:
        NotAttached: the farm is gone.
    """
    census = farm.census()
    said, silent = farm.describe(census.here), {one.name: one for one in census.silent}
    absent = dict(census.absent)
    parents = _parents(census)

    def below(parent: str | None, depth: int) -> Iterator[tuple[Seen, str | None]]:
        for name in [one for one in parents if parents[one] == parent]:
            here = next((one for one in census.here if one.name == name), None)
            why = "" if here is not None else absent.get(name, "")
            yield Seen(name, depth, here, said.get(name), silent.get(name), why), parent
            yield from below(name, depth + 1)

    return tuple(below(None, 0))


def _parents(census: Census) -> dict[str, str | None]:
    """Return the parent of every actor; the supervisor has none, and who is unknown is the supervisor's."""
    root = census.here[0].name
    known = dict(census.nursery_of)
    names = [one.name for one in census.here] + [name for name, _ in census.absent]
    return {name: None if name == root else known.get(name, root) for name in names}


def find(farm: Attached, name: str) -> Here:
    """Return the actor of that name.

    Raises:
        BadCommand: there is none, or it does not run now.
        NotAttached: the farm is gone.
    """
    census = farm.census()
    for here in census.here:
        if here.name == name:
            return here
    why = dict(census.absent).get(name)
    raise BadCommand(f"{name} does not run now: {why}" if why else f"no actor {name!r}; `actors` lists them")


@dataclass(frozen=True, slots=True)
class Shown:
    """What one actor thinks."""

    said: Description
    story: tuple[str, ...]  #: with the times of day
    memory: int | None

    def facts(self) -> Sequence[tuple[str, str]]:
        """Names and values, for people."""
        said = self.said
        frozen = (("frozen", said.frozen),) if said.frozen else ()
        return (
            ("name", said.name),
            ("kind", said.kind),
            ("pid", str(said.pid)),
            ("generation", str(said.generation)),
            ("uptime", duration(said.uptime)),
            ("memory", _megabytes(self.memory)),
            ("messages", f"{said.messages_in} in, {said.messages_out} out, last {said.last_message}"),
            *frozen,
            *((name, value) for name, value in said.state if name != "last event"),  # the story tells
        )

    def document(self) -> dict[str, object]:
        """What `--json` shows."""
        said = self.said
        return {
            "name": said.name,
            "kind": said.kind,
            "pid": said.pid,
            "generation": said.generation,
            "uptime_seconds": round(said.uptime, 3),
            "memory_bytes": self.memory,
            "messages_in": said.messages_in,
            "messages_out": said.messages_out,
            "last_message": said.last_message,
            "frozen": said.frozen or None,
            "state": dict(said.state),
            "story": self.story,
        }


def show(farm: Attached, name: str) -> Shown:
    """Ask an actor what it thinks, and what led to it.

    Raises:
        BadCommand: there is none, or it does not answer.
        NotAttached: the farm is gone.
    """
    here = find(farm, name)
    said = farm.describe((here,)).get(name)
    told = None if said is None else farm.ask(here, TellStory(), Told)
    if said is None or told is None:
        raise BadCommand(f"{name} (pid {here.pid}) does not answer")
    return Shown(said, _in_time_of_day(told), memory(here.pid))


def _in_time_of_day(told: Told) -> tuple[str, ...]:
    """Return a story whose lines begin with monotonic seconds with the time of day instead."""
    offset = time.time() - told.now

    def worded(line: str) -> str:
        found = _LINE.fullmatch(line)
        if found is None:
            return f"{'':12} {line.strip()}"
        return f"{time_of_day(float(found[1]) + offset)} {found[2]}"

    return tuple(map(worded, told.lines))


def time_of_day(seconds: float) -> str:
    """Return a moment, in seconds since 1970, as this machine's clock shows it."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%H:%M:%S.%f")[:-3]


def memory(pid: int) -> int | None:
    """Return the proportional memory of a process in bytes; None: it is gone, or not ours to look at."""
    try:
        rows = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(row.split()[1]) * 1024 for row in rows if row.startswith("Pss:")), None)


def _megabytes(octets: int | None) -> str:
    return "-" if octets is None else f"{octets / 1e6:.1f} MB"


def _silent(silence: Silence | None) -> str:
    if silence is None:
        return "-"
    return f"{silence.seconds:.1f} s" + (f", waits for {silence.excuse}" if silence.excuse else "")


def duration(seconds: float) -> str:
    """Return seconds as hours, minutes and seconds."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
