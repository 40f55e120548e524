"""The invariants of architecture §9, looked at while a simulated farm runs: the counterpart of `storage.check`.

After every step the rows that it has touched are checked, and what hangs together with them: invariants 1, 2, 3, 6, 7.
Every `FULL_EVERY` touching steps (in large farms less often, so that looking never takes most of the time) and at the
end all rows are, and 8, events.  Every `_LOOK_SECONDS` of the farm's time come the two that need time: 4, deadlines, and
5.  Of that the first half is that every waiting job has a reason; the second that none is forgotten: a builder that
waits, and may run a waiting job by every rule (asked pair by pair, not by the matcher's indexes), and still does a while
later.

Slaves are watched as well, where the rows can't know: nothing is cleaned before its attempt is closed, nothing is built
for the wrong side.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from actors.core.attempts.own_disk import is_own
from actors.core.dispatch.candidates import waits
from actors.core.dispatch.explain import Snapshot, ready, views
from actors.core.dispatch.job_rules import held
from actors.core.dispatch.pair_rules import BuilderView, reason
from actors.core.dispatch.standing import Kind, kind_of
from simulation.environment.ground import Ground
from simulation.observers.ledger import Ledger
from storage.records import ArchivePurpose, BuildState, Exclusion, Job
from storage.transitions import HELD

FULL_EVERY: Final = 400  #: steps that touched something, at least
_ROWS_A_STEP: Final = 8  #: rows of all tables that are looked at for each such step, at most
_GRACE: Final = timedelta(minutes=1)
_LOOK_SECONDS: Final = 200.0  #: between two looks for what was forgotten
_FORGOTTEN: Final = 150.0  #: seconds after which a job that would be given away was forgotten: two sweeps, and some

INVARIANTS: Final = {
    0: "slaves do nothing that the rows forbid",
    1: "at most one open attempt per build and per builder",
    2: "a job has a builder if and only if its build has an open attempt there",
    3: "every attempt has the trust of its build, and none is open whose builder's trust was lowered",
    4: "no row is past its deadline by more than a minute",
    5: "every waiting job has a reason, or would be dispatched now",
    6: "every FULLYBUILT build has files, and the librarian has them all",
    7: "every closed attempt has exactly one outcome",
    8: "the last event of every build, job and builder tells its state",
}


class Broken(Exception):
    """An invariant that does not hold.

    Attributes:
        number: of the invariant.
        at: seconds.
        about: `build:17`, `builder:b1`, ...
    """

    def __init__(self, number: int, at: float, text: str, about: tuple[str, ...]) -> None:
        """Say which, when, and what breaks it."""
        super().__init__(f"at {at:.3f} s invariant {number} ({INVARIANTS[number]}) is broken: {text}")
        self.number, self.at, self.about = number, at, about


class Validator:
    """Looks."""

    def __init__(self, ground: Ground, ledger: Ledger) -> None:
        """Begin to look at a farm; `ledger` knows since when its jobs wait."""
        self.steps = 0  #: after which something was looked at
        self.looks = 0  #: at everything
        self._ground = ground
        self._ledger = ledger
        self._agenda = ground.agenda
        self._rows = ground.rows
        self._touched: set[tuple[str, Any]] = set()
        self._open: defaultdict[int | str, set[UUID]] = defaultdict(set)  # build or builder → open attempts
        self._look_at = FULL_EVERY  # number of the step after which to look at everything
        self._could: dict[tuple[str, int], float] = {}  # builder and job that would go together, and since when
        self._given: dict[str, float] = {}  # builder → when it was given something last
        self._told: dict[tuple[str, Any], Any] = {}  # what the events read so far say
        self._events_read = 0
        self._rows.watchers.append(self._changed)
        self._agenda.after(_LOOK_SECONDS, self._look_again)

    def _changed(self, table: str, before: Any, after: Any) -> None:  # noqa: ANN401 - rows of any table
        if table in _KEYS:
            row = before if after is None else after
            self._touched.add(
                (table, row.name if table == "builder" else row.build if table == "build_file" else row.id)
            )
            if table == "attempt" and after is not None:
                self._attempt_changed(before, after)

    def _attempt_changed(self, before: Any, after: Any) -> None:  # noqa: ANN401 - rows of `attempt`
        for of in (after.build, after.builder):
            (self._open[of].add if after.outcome is None else self._open[of].discard)(after.id)
        if before is None:
            self._given[after.builder] = self._agenda.now
            builder = self._rows.table("builder").get(after.builder)
            if builder is None or builder.trusted != after.trusted:
                self._break(3, f"attempt {after.id} was claimed for {after.builder}, which is of the other side", after)
        elif before.outcome is not None and after.outcome != before.outcome:
            self._break(7, f"attempt {after.id} was closed as {before.outcome}, then as {after.outcome}", after)

    def after_step(self) -> None:
        """Look at what the last step has touched."""
        if not self._touched:
            return
        touched, self._touched = self._touched, set()
        self.steps += 1
        for table, key in touched:
            _KEYS[table](self, key)
        if self.steps >= self._look_at:
            self.look_at_everything()

    def look_at_everything(self) -> None:
        """Look at all rows."""
        self.looks += 1
        rows = sum(len(self._rows.table(table)) for table in _KEYS)
        self._look_at = self.steps + max(FULL_EVERY, rows // _ROWS_A_STEP)
        for table, look in _KEYS.items():
            if table == "build_file":
                continue
            for key in list(self._rows.table(table)):
                look(self, key)
        self._look_at_deadlines()
        self._look_for_forgotten()
        self._look_at_events()

    # --- one row ----------------------------------------------------------------------------------

    def _build(self, key: int) -> None:
        row = self._rows.table("build").get(key)
        if row is None:
            return
        attempt = self._rows.open_by_build.get(key)
        if (row.state in HELD) != (attempt is not None):
            self._break(2, f"build {key} is {row.state}, its open attempt is {attempt}", row)
        job = self._rows.jobs_by_build.get(key)
        if job is not None and row.state.final:
            self._break(2, f"build {key} is {row.state}, and has job {job}", row)
        if row.state == BuildState.FULLYBUILT:
            self._files(key)

    def _files(self, build: int) -> None:
        row = self._rows.table("build").get(build)
        if row is None or row.state != BuildState.FULLYBUILT:
            return
        aliases = self._rows.files_by_build.get(build, ())
        if not aliases:
            self._break(6, f"build {build} is FULLYBUILT without a file", row)
        for alias in aliases:
            content = self._rows.table("library_alias")[alias].content
            if content not in self._ground.disk.held:
                self._break(6, f"build {build}: the librarian does not have {content}", row)

    def _job(self, key: int) -> None:
        row = self._rows.table("buildqueue").get(key)
        if row is None:
            return
        attempt = self._rows.open_by_build.get(row.build)
        holder = None if attempt is None else self._rows.table("attempt")[attempt].builder
        if row.builder != holder:
            self._break(2, f"job {key}: builder is {row.builder}, its build's open attempt is on {holder}", row)

    def _attempt(self, key: UUID) -> None:
        row = self._rows.table("attempt").get(key)
        if row is None:
            return
        if (row.outcome is None) != (row.ended is None):
            self._break(7, f"attempt {key}: outcome is {row.outcome}, ended is {row.ended}", row)
        archive = self._rows.table("archive")[self._rows.table("build")[row.build].archive]
        if row.trusted != (archive.purpose != ArchivePurpose.PPA):
            self._break(3, f"attempt {key} has not the trust of its build", row)
        if row.outcome is not None:
            return
        if self._open[row.build] != {key} or self._open[row.builder] != {key}:
            self._break(1, f"attempt {key} is not the only open one of build {row.build} and of {row.builder}", row)
        builder = self._rows.table("builder").get(row.builder)
        if builder is None or (row.trusted and not builder.trusted):
            self._break(3, f"attempt {key} is open on {row.builder}, which is not trusted any more", row)

    def _builder(self, key: str) -> None:
        attempt = self._rows.open_by_builder.get(key)
        if attempt is not None:
            self._attempt(attempt)

    # --- all rows ---------------------------------------------------------------------------------

    def _look_again(self) -> None:
        self._look_at_deadlines()
        self._look_for_forgotten()
        self._agenda.after(_LOOK_SECONDS, self._look_again)

    def _look_at_deadlines(self) -> None:
        if not self._ground.dispatching_since(120.0):
            return  # nobody was there to act on them
        limit = self._rows.now() - _GRACE
        attempts = self._rows.table("attempt")
        for row in map(attempts.__getitem__, self._rows.open_by_build.values()):
            if row.deadline < limit and not self._ground.clock.jumped_since(120.0):
                self._break(4, f"attempt {row.id} on {row.builder} should have ended at {row.deadline}", row)

    def _look_for_forgotten(self) -> None:
        server = self._ground.server
        jobs, farm, now = server.queue.jobs(), server.farm_states.get(), self._agenda.now
        by_a_person = farm.paused and not is_own(farm.paused)  # the farm's own pause has to end with its cause
        if by_a_person or not self._ground.dispatching_since(_FORGOTTEN):
            self._could.clear()
            return
        seen = Snapshot(jobs, views(server.builders.all(), server.builders.runtimes(), jobs), farm)
        alike: dict[tuple[Kind, tuple[Exclusion, ...]], Job] = {}
        for job in jobs:
            if waits(job) and held(job, farm) is None:
                alike.setdefault((kind_of(job), job.excluded), job)  # the first of each: it stays so while it waits
        could = [(view.builder.name, job) for view in seen.builders for job in _jobs_for(view, alike.values(), seen)]
        self._could = {(name, job.id): self._could.get((name, job.id), now) for name, job in could}
        for name, job in could:
            since = self._could[name, job.id]
            waited = self._ledger.waiting.get(job.id, now)
            if now - since > _FORGOTTEN and max(self._given.get(name, 0.0), waited) < since:
                text = f"{name} waits for work since {since:.3f} s, job {job.id} waits, and does not go there"
                raise Broken(5, now, text, (f"build:{job.build}", f"builder:{name}"))
        for job in alike.values():
            found = seen.explain(job.id)
            if found is None or found.position is None or found.job_reason is not None:
                continue
            if found.eligible_now is None and not any(answer.reason is not None for answer in found.builders):
                self._break(5, f"job {job.id} waits, and nothing says why", job)

    def _look_at_events(self) -> None:
        lines = self._rows.events.lines()
        for line in lines[self._events_read :]:
            if line.table in _TOLD:
                row = line.before if line.after is None else line.after
                self._told[line.table, row.name if line.table == "builder" else row.id] = line.after
        self._events_read = len(lines)
        for table in _TOLD:
            for key, row in self._rows.table(table).items():
                if self._told.get((table, key)) != row:
                    self._break(8, f"{table} {key} is not what its last event says", row)
        for (table, key), row in self._told.items():
            if row is not None and key not in self._rows.table(table):
                self._break(8, f"{table} {key} is gone, and no event says so", row)

    # --- slaves -----------------------------------------------------------------------------------

    def cleaned(self, builder: str, attempt: str) -> None:
        """A slave drops what is left of an attempt."""
        row = self._rows.table("attempt").get(UUID(attempt))
        if row is not None and row.outcome is None:
            self._break(0, f"{builder} was cleaned of attempt {attempt}, which is open", row)

    def began(self, builder: str, attempt: str, *, trusted: bool) -> None:
        """A slave begins to build."""
        row = self._rows.table("attempt").get(UUID(attempt))
        if row is None or row.builder != builder or row.trusted != trusted:
            self._break(0, f"{builder} builds attempt {attempt}, which was never its own, or of the other side", row)

    def _break(self, number: int, text: str, row: Any = None) -> None:  # noqa: ANN401 - a row of any table
        about = []
        if row is not None:
            build = getattr(row, "build", None)
            about.append(f"build:{row.id if build is None else build}")
            if getattr(row, "builder", None):
                about.append(f"builder:{row.builder}")
        raise Broken(number, self._agenda.now, text, tuple(about))


def _jobs_for(view: BuilderView, jobs: Iterable[Job], seen: Snapshot) -> list[Job]:
    """Return the jobs that a builder which waits may run by every rule, asked one by one."""
    if not ready(view):
        return []
    return [job for job in jobs if reason(job, view, alone=seen.capable(job) == 1) is None]


_TOLD: Final = ("build", "buildqueue", "builder")
_KEYS: Final[Mapping[str, Callable[[Validator, Any], None]]] = {
    "build": Validator._build,  # noqa: SLF001 - its own
    "buildqueue": Validator._job,  # noqa: SLF001
    "attempt": Validator._attempt,  # noqa: SLF001
    "builder": Validator._builder,  # noqa: SLF001
    "build_file": Validator._files,  # noqa: SLF001
}
