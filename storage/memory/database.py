"""The database under the twin: tables, transactions, events, and the rules that are triggers in SQL.

Every change goes through `MemoryFarm.put`, which remembers what to undo and writes the event.  Clock and ids are given, so
that a simulation is the same every time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Hashable
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID, uuid4

from storage.errors import BadValue, ImpossibleMove
from storage.memory.event_log import SUBJECTS, EventLog, Line
from storage.memory.indexes import Indexes
from storage.memory.rows import AttemptRow, BuildRow, JobRow, TeamRow
from storage.records import ADMINS, BuildState, Event, Outcome, ProcessorFamily
from storage.transitions import HELD, may_move

CANCELLING: Final = timedelta(seconds=70)  #: dispatch-rules §8: 10 s polite, 60 s forced

#: As seeded in migration 0001.
FAMILIES: Final = {
    "amd64": ("amd64",),
    "x86": ("i386",),
    "arm64": ("arm64",),
    "armhf": ("armhf",),
    "armel": ("armel",),
    "ppc64el": ("ppc64el",),
    "riscv64": ("riscv64",),
    "s390x": ("s390x",),
    "loong64": ("loong64",),
}
COMPONENTS: Final = frozenset(
    {"main", "restricted", "universe", "multiverse", "partner", "contrib", "non-free", "non-free-firmware"}
)

Watcher = Callable[[str, Any, Any], None]  #: table, row before, row after (None: there is none)
Undo = tuple[str, Hashable, Any, Any]  #: table, key, row before (None: there was none), row after


class Acting:
    """One transaction of `MemoryFarm`, as a context."""

    __slots__ = ("_before", "_farm", "_journal", "_said")

    def __init__(self, farm: MemoryFarm, who: str, why: str, cause: int | None) -> None:
        self._farm = farm
        self._said = (who, why, cause)
        self._journal: list[Undo] = []

    def __enter__(self) -> None:
        """Begin."""
        farm = self._farm
        self._before = (farm.who, farm.why, farm.cause, len(farm.events), farm.journal)
        farm.who, farm.why, farm.cause = self._said
        farm.journal = self._journal

    def __exit__(self, kind: type[BaseException] | None, *_error: object) -> None:
        """Commit, or undo what was done."""
        farm, outer = self._farm, self._before[4]
        try:
            if kind is not None:
                farm.undo(self._journal, self._before[3])
            elif outer is not None:
                outer.extend(self._journal)
            else:
                farm.committed(self._journal)
        finally:
            farm.who, farm.why, farm.cause, _, farm.journal = self._before


class MemoryFarm(Indexes):
    """All tables of one farm, in memory.

    Attributes:
        now: what the database's `now()` is.
        events: the event log.
        journal: what is done in the present transaction; None: there is none.
    """

    def __init__(
        self, now: Callable[[], datetime] = lambda: datetime.now(UTC), new_uuid: Callable[[], UUID] = uuid4
    ) -> None:
        """Make an empty farm with the reference rows of migrations 0001 and 0008."""
        super().__init__()
        self.now = now
        self.new_uuid = new_uuid
        self.events = EventLog()
        self.who = "sql"
        self.why = ""
        self.cause: int | None = None
        self.epoch = 0
        self.watchers: list[Watcher] = []  #: told of every row that was put, once that is committed
        self._tables: defaultdict[str, dict[Any, Any]] = defaultdict(dict)
        self._numbers: defaultdict[str, int] = defaultdict(int)
        self.journal: list[Undo] | None = None
        for name, architectures in FAMILIES.items():
            self._tables["processor_family"][name] = ProcessorFamily(name, architectures)
        self._tables["component"].update({name: name for name in COMPONENTS})
        self._tables["team"][ADMINS] = TeamRow(ADMINS)

    def table(self, name: str) -> dict[Any, Any]:
        """Return the rows of a table by key, in the order in which they came; not to be written."""
        return self._tables[name]

    def number(self, table: str) -> int:
        """Return the next id; as in SQL, a number once given is not given again."""
        self._numbers[table] += 1
        return self._numbers[table]

    def acting(self, who: str, why: str = "", cause: int | None = None) -> Acting:
        """Return a transaction to enter; an error undoes it.  See `storage.database.connection.acting`."""
        return Acting(self, who, why, cause)

    def put(self, table: str, key: Hashable, row: Any) -> None:  # noqa: ANN401 - a row of any table
        """Insert, change or (None) delete a row, and write the event."""
        rows = self._tables[table]
        before = rows.get(key)
        if before is row or before == row:
            return
        self.note(table, key, before, row)
        if row is None:
            del rows[key]
        else:
            rows[key] = row
        if table in SUBJECTS:
            self.events.add(Line(self.now(), self.who, self.why, self.cause, table, before, row))
        if self.journal is not None:
            self.journal.append((table, key, before, row))
        else:
            self.committed([(table, key, before, row)])

    def undo(self, journal: list[Undo], events: int) -> None:
        """Undo what was done in a transaction; only so many events were there before."""
        for table, key, row, _after in reversed(journal):
            self._set_back(table, key, row)
        self.events.cut(events)

    def committed(self, journal: list[Undo]) -> None:
        """Tell whoever watches what was done."""
        for table, _key, row, after in journal:
            for watcher in self.watchers:
                watcher(table, row, after)

    # --- the rules of migration 0002 --------------------------------------------------------------

    def move_build(self, build: int, state: BuildState, **columns: Any) -> None:  # noqa: ANN401 - columns of any type
        """Give a build another state; attempt and job follow (`check_move`, `follow_state`).

        Raises:
            ImpossibleMove: not in the table.
            BadValue: it would be held by nobody.
        """
        row: BuildRow = self._tables["build"][build]
        if row.state == state:
            self.put("build", build, row._replace(**columns))
            return
        if not may_move(row.state, state):
            raise ImpossibleMove(build, row.state, state, self.story(f"build:{build}"))
        if state in HELD and build not in self.open_by_build:
            raise BadValue(f"build {build} can't be {state}: no attempt at it is open")
        columns["dependencies"] = columns.get("dependencies", ()) if state == BuildState.MANUALDEPWAIT else ()
        ended = self.now() if state.final else None
        if state.final:
            columns["suspect"] = None
        self.put("build", build, row._replace(**columns, state=state, ended=ended))
        self._follow_state(build, state)

    def fence_attempt(self, attempt: UUID, text: str) -> bool:
        """Close an open attempt without blame (`fence_attempt`); False: it is closed."""
        row: AttemptRow = self._tables["attempt"][attempt]
        if row.outcome is not None:
            return False
        self.put("attempt", attempt, row._replace(outcome=Outcome.FENCED, ended=self.now(), text=text))
        state = self._tables["build"][row.build].state
        if state in HELD:
            to = BuildState.CANCELLED if state == BuildState.CANCELLING else BuildState.NEEDSBUILD
            self.move_build(row.build, to, why=text)
        return True

    def remove_job(self, job: int) -> bool:
        """Delete a job (`fence_removed_job`); False: there is none."""
        row: JobRow | None = self._tables["buildqueue"].get(job)
        if row is None:
            return False
        self.put("buildqueue", job, None)
        held = self.open_by_build.get(row.build)
        if held is not None:
            self.fence_attempt(held, f"job {job} was removed")
        return True

    def story(self, subject: str) -> tuple[Event, ...]:
        """Return all events of one subject."""
        return self.events.about(subject)

    # --- inside -----------------------------------------------------------------------------------

    def _follow_state(self, build: int, state: BuildState) -> None:
        held = self.open_by_build.get(build)
        attempt: AttemptRow | None = None if held is None else self._tables["attempt"][held]
        if state in HELD:
            if state == BuildState.CANCELLING and attempt is not None:
                soon = min(attempt.deadline, self.now() + CANCELLING)
                self.put("attempt", attempt.id, attempt._replace(deadline=soon))
            return
        if attempt is not None:
            text = self.why or f"the build was set to {state}"
            self.put("attempt", attempt.id, attempt._replace(outcome=Outcome.FENCED, ended=self.now(), text=text))
        job = self.jobs_by_build.get(build)
        if job is None:
            return
        if state == BuildState.NEEDSBUILD:
            row: JobRow = self._tables["buildqueue"][job]
            self.put("buildqueue", job, row._replace(builder=None, buildstart=None))
        else:
            self.put("buildqueue", job, None)

    def _set_back(self, table: str, key: Hashable, row: Any) -> None:  # noqa: ANN401 - a row of any table
        """Write a row and the indexes."""
        before = self._tables[table].get(key)
        self.note(table, key, before, row)
        if row is None:
            self._tables[table].pop(key, None)
        else:
            self._tables[table][key] = row
