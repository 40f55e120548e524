"""The story of a run: one JSON line for each thing that happened, so that anybody can tell it again.

Rows are told once they are committed, what slaves do when they do it, faults and deeds as they come.  Seconds are
virtual, from the beginning; by the clock that never jumps.  docs/simulator.md says how to read it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from simulation.environment.agenda import Agenda
    from storage.memory.database import MemoryFarm

Line = dict[str, object]


class Story:
    """Writes lines."""

    def __init__(self, rows: MemoryFarm, agenda: Agenda, write: Callable[[Line], object]) -> None:
        """Begin.

        Args:
            rows: whose changes are told.
            agenda: for the time.
            write: takes each line.
        """
        self._rows = rows
        self._agenda = agenda
        self._write = write
        rows.watchers.append(self._changed)

    def tell(self, what: str, **fields: object) -> None:
        """Write a line."""
        self._write({"at": round(self._agenda.now, 4), "what": what, **fields})

    def _changed(self, table: str, before: Any, after: Any) -> None:  # noqa: ANN401 - rows of any table
        told = _TOLD.get(table)
        if told is not None:
            told(self, before, after)

    def _job(self, before: Any, after: Any) -> None:  # noqa: ANN401 - rows of `buildqueue`
        if before is None:
            rows = self._rows
            build = rows.table("build")[after.build]
            source = rows.table("source_release")[build.source]
            family = rows.table("distroarchseries")[build.distroarchseries].family
            name = f"{source.name} {source.version}"
            self.tell("queued", job=after.id, build=after.build, source=name, family=family)
        elif after is None:
            self.tell("gone", job=before.id, build=before.build)
        elif before.builder is not None and after.builder is None:
            self.tell("waits", job=after.id, build=after.build)

    def _attempt(self, before: Any, after: Any) -> None:  # noqa: ANN401 - rows of `attempt`
        if before is None:
            self.tell("dispatched", attempt=str(after.id), job=after.job, build=after.build, builder=after.builder)
        elif before.outcome is None and after.outcome is not None:
            attempt = {"attempt": str(after.id), "build": after.build, "builder": after.builder}
            self.tell("closed", **attempt, outcome=str(after.outcome), text=after.text)

    def _build(self, before: Any, after: Any) -> None:  # noqa: ANN401 - rows of `build`
        if before is not None and before.state != after.state:
            self.tell("build", build=after.id, state=str(after.state), why=after.why)

    def _file(self, _before: Any, after: Any) -> None:  # noqa: ANN401 - rows of `build_file`
        if after is None:
            return
        sha256 = self._rows.table("library_alias")[after.alias].content
        self.tell("accepted", build=after.build, attempt=str(after.attempt), sha256=sha256)

    def _builder(self, before: Any, after: Any) -> None:  # noqa: ANN401 - rows of `builder`
        if after is None:
            self.tell("removed", builder=before.name)
        elif before is None:
            self.tell("registered", builder=after.name, family=after.families[0], trusted=after.trusted)
        elif (before.builderok, before.notok_kind, before.trusted) != (
            after.builderok,
            after.notok_kind,
            after.trusted,
        ):
            kind = str(after.notok_kind or "")
            state = {"ok": after.builderok, "kind": kind, "trusted": after.trusted}
            self.tell("builder", builder=after.name, **state, why=after.failnotes)

    def _runtime(self, before: Any, after: Any) -> None:  # noqa: ANN401 - rows of `builder_runtime`
        if before is None or after is None:
            return
        if after.quarantined_until is not None and before.quarantined_until != after.quarantined_until:
            self.tell("quarantined", builder=after.builder, why=after.quarantine_why)


_TOLD: Final[Mapping[str, Callable[[Story, Any, Any], None]]] = {
    "buildqueue": Story._job,  # noqa: SLF001 - its own
    "attempt": Story._attempt,  # noqa: SLF001
    "build": Story._build,  # noqa: SLF001
    "build_file": Story._file,  # noqa: SLF001
    "builder": Story._builder,  # noqa: SLF001
    "builder_runtime": Story._runtime,  # noqa: SLF001
}


def as_text(line: Mapping[str, object]) -> str:
    """Return a line as it stands in a file."""
    return json.dumps(line, separators=(",", ":"))
