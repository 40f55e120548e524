"""One run of chaos from beginning to end, and its record."""

from __future__ import annotations

import ctypes
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final, LiteralString

from psycopg import Connection

from storage.builders import Builders
from storage.database.connection import connect
from storage.files.librarian import Librarian
from tests.chaos import farm as farms
from tests.chaos.judge import judge, lost_and_double
from tests.chaos.monkey import Happened, Monkey
from tests.chaos.plan import plan
from tests.chaos.processes import descendants, reap
from tests.chaos.proxy import Cables

_PR_SET_CHILD_SUBREAPER: Final = 36
_CLONE_NEWNS: Final = 0x00020000
_GONE_SECONDS: Final = 5.0
_SETTLE_SECONDS: Final = 90.0
_STATE_MB, _POSTGRES_MB = 256, 640  #: of the small disks


@dataclass
class Orders:
    """What a run is to be."""

    seed: int
    jobs: int = 300
    slaves: int = 10
    faults: int = 30
    seconds: float = 1.2  #: of a build, on average
    stories: Path = Path(".state/chaos")  #: where to keep what happened
    keep: bool = False  #: all of it, also if nothing is wrong
    mixed: bool = False  #: every second slave is one of launchpad-buildd


@dataclass
class Record:
    """What came of a run; written as JSON."""

    orders: Orders
    mounts: bool  #: disks could be filled
    began: str
    seconds: float = 0.0
    ended: dict[str, int] = field(default_factory=dict)  #: builds by state
    outcomes: dict[str, int] = field(default_factory=dict)  #: attempts by outcome
    lost: int = -1
    double: int = -1
    restarts: int = 0  #: of the master, by whoever keeps it running
    faults: list[dict[str, Any]] = field(default_factory=list)
    acts: list[dict[str, Any]] = field(default_factory=list)  #: of the operator
    wrong: list[str] = field(default_factory=list)  #: empty: the farm has survived

    def write(self, directory: Path) -> Path:
        """Write it to `directory`; return where."""
        directory.mkdir(parents=True, exist_ok=True)
        file = directory / f"seed-{self.orders.seed}.json"
        file.write_text(json.dumps(asdict(self), indent=1, default=str) + "\n")
        return file


def chaos(orders: Orders) -> Record:
    """Do one run."""
    ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)
    began = time.monotonic()
    with _disks() as (directory, mounts):
        record = Record(orders, mounts, time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime()))
        before = _mounts()
        with Cables() as cables:
            farm = farms.ChaosFarm(directory, cables)
            try:
                _play(farm, orders, record)
            finally:
                farm.close()
        _wait_until_gone()
        record.wrong += [f"process {pid} is left: {words}" for pid, words in descendants(os.getpid()).items()]
        record.wrong += [f"a mount is left: {line}" for line in _mounts() - before]
        record.seconds = round(time.monotonic() - began, 1)
        _keep_story(directory, orders.stories / f"seed-{orders.seed}", everything=orders.keep or bool(record.wrong))
    return record


def _keep_story(directory: Path, story: Path, *, everything: bool) -> None:
    """Keep what happened, for whoever has to understand it."""
    shutil.rmtree(story, ignore_errors=True)
    story.mkdir(parents=True)
    for file in ("master.log", "events", "attempts", "builders"):
        if (directory / file).exists():
            shutil.copy(directory / file, story)
    if everything:
        shutil.copytree(directory, story / "farm", ignore=shutil.ignore_patterns("postgres", "content", "*.filler"))


def _play(farm: farms.ChaosFarm, orders: Orders, record: Record) -> None:
    farm.start(orders.slaves, orders.jobs, orders.seed, orders.seconds, mixed=orders.mixed)
    names = farms.names(orders.slaves)
    faults = plan(
        orders.seed,
        orders.jobs,
        names,
        faults=orders.faults,
        nurseries=farms.nurseries(names),
        mounts=record.mounts,
    )
    _say(f"seed {orders.seed}: {orders.jobs} jobs, {len(names)} builders, {len(faults)} faults")
    monkey = Monkey(farm, faults, orders.jobs, say=_say)
    ended = monkey.run()
    if not ended:
        record.wrong.append(f"nothing moves any more: {monkey.progress} of {orders.jobs} jobs have ended")
    settled = _settle(farm)
    if not settled:
        record.wrong.append(f"builders are not themselves after {_SETTLE_SECONDS:g} s")
    with connect(farm.server.dsn, application="harness") as connection:
        record.wrong += judge(connection, Librarian(farm.settings.librarian_directory), monkey.happened)
        record.lost, record.double = lost_and_double(connection)
        record.ended = _counts(connection, "SELECT state::text, count(*) FROM build GROUP BY 1")
        record.outcomes = _counts(
            connection, "SELECT coalesce(outcome::text, 'open'), count(*) FROM attempt GROUP BY 1"
        )
        _dump(connection, farm.directory)
    code = farm.stop_master()
    if code:
        record.wrong.append(f"the master ended with exit code {code}")
    record.restarts = farm.restarts
    record.faults = [_plain(one) for one in monkey.happened]
    record.acts = [asdict(one) for one in monkey.acts]


def _settle(farm: farms.ChaosFarm) -> bool:
    """Wait until every builder is connected, or has been taken out for good."""
    deadline = time.monotonic() + _SETTLE_SECONDS
    while time.monotonic() < deadline:
        farm.keep()
        rows = farm.ask(
            "SELECT count(*) FROM builder LEFT JOIN builder_runtime AS runtime ON runtime.builder = builder.name"
            " WHERE CASE WHEN builderok THEN connected IS NOT TRUE OR state <> 'IDLE' ELSE notok_kind <> 'failures' END"
        )
        if rows and rows[0][0] == 0:
            return True
        time.sleep(0.1)
    return False


def _wait_until_gone() -> None:
    """Wait for the last processes, which go by themselves; those that do not are found afterwards."""
    deadline = time.monotonic() + _GONE_SECONDS
    while time.monotonic() < deadline:
        reap()
        if not descendants(os.getpid()):
            return
        time.sleep(0.01)


def _counts(connection: Connection[Any], query: LiteralString) -> dict[str, int]:
    return dict(connection.execute(query).fetchall())


def _plain(one: Happened) -> dict[str, Any]:
    fault = one.fault
    return {
        "after": fault.after,
        "kind": fault.kind.value,
        "target": fault.target,
        "lasts": fault.seconds,
        "begun": round(one.begun, 3),
        "ended": None if one.ended is None else round(one.ended, 3),
        "recovered": one.recovered,
        "note": one.note,
    }


def _dump(connection: Connection[Any], directory: Path) -> None:
    """Write what happened beside the logs, for whoever has to understand it."""
    with (directory / "events").open("w") as file:
        for row in connection.execute("SELECT at, who, subject, what, before, after, why FROM event ORDER BY id"):
            file.write(" | ".join(map(str, row)) + "\n")
    with (directory / "attempts").open("w") as file:
        columns = "started, ended, builder, build, job, id, session, outcome, text, charged, verdict, deadline"
        for row in connection.execute(f"SELECT {columns} FROM attempt ORDER BY started"):
            file.write(" | ".join(map(str, row)) + "\n")
    with (directory / "builders").open("w") as file:
        for builder in Builders(connection).all():
            file.write(f"{builder}\n")
        for runtime in Builders(connection).runtimes():
            file.write(f"{runtime}\n")


@contextmanager
def _disks() -> Iterator[tuple[Path, bool]]:
    """Yield a directory, and whether state and database have small disks of their own in it.

    As root, in a mount namespace of our own: nobody else sees them, and they go with us.
    """
    directory = Path(tempfile.mkdtemp(prefix="chaos-"))
    mounts = os.geteuid() == 0 and _own_namespace()
    for name, size in (("state", _STATE_MB), ("postgres", _POSTGRES_MB)):
        place = directory / name
        place.mkdir(mode=0o700)
        mounts = mounts and _mount(place, size)
    try:
        yield directory, mounts
    finally:
        for name in ("state", "postgres") if mounts else ():
            subprocess.run(["umount", "--lazy", str(directory / name)], check=False)
        shutil.rmtree(directory, ignore_errors=True)


def _own_namespace() -> bool:
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNS) != 0:
        return False
    return subprocess.run(["mount", "--make-rprivate", "/"], check=False, capture_output=True).returncode == 0


def _mount(place: Path, megabytes: int) -> bool:
    options = f"size={megabytes}m,mode=0700"
    return (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "none", str(place)], check=False, capture_output=True
        ).returncode
        == 0
    )


def _mounts() -> set[str]:
    return set(Path("/proc/self/mountinfo").read_text().splitlines())


def _say(line: str) -> None:
    sys.stderr.write(f"{time.strftime('%H:%M:%S')} {line}\n")
    sys.stderr.flush()
