"""A whole farm for end-to-end tests: run_master and its actors as processes, a fresh database, short timers.

`whole_farm` is not started yet, so that a test can lay out its database first; `whole_farm.start()` waits for READY.  Facts are
awaited with the `wait_…` methods, never slept for.
"""

from __future__ import annotations

import io
import itertools
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from actors.console.attach import Attached
from actors.messages import Description
from actors.settings import Settings
from cli.given import Given
from console.obeying import Console
from simulation.slaves.buildd.host import TOKEN
from storage.archives import Archives
from storage.build_queue import BuildQueue
from storage.builders import Builders
from storage.builds import Builds
from storage.chroots import Chroots
from storage.database.connection import connect
from storage.files.librarian import Librarian
from storage.files.library import Library
from storage.publications import Publications
from storage.records import (
    ArchivePurpose,
    Attempt,
    Build,
    Builder,
    BuildState,
    Job,
    NamedFile,
    NewSource,
    Pocket,
    Urgency,
)
from storage.series import Series
from storage.sources import Sources
from tests.fix_postgres import new_database
from tests.waiting import wait_until

PROJECT = Path(__file__).resolve().parent.parent
PATIENCE = 45.0  #: seconds until a fact that does not come is a failure; a busy machine is no bug

#: Short, so that tests of what waits are quick; long enough for a machine that is busy.
TIMERS = {
    "connect": 3.0,
    "first_retry": 0.05,
    "second_retry": 0.1,
    "background_retry": 0.2,
    "background_retry_limit": 0.5,
    "reconnect": 1.0,
    "hold": 2.0,
    "heartbeat": 0.5,
    "suspect": 1.5,
    "lost": 5.0,
    "resend": 0.5,
    "poll_building": 0.1,
    "poll_idle": 0.5,
}

_sources = itertools.count(1)


class FarmUnderTest:
    """One farm: its state directory, its database, and (once started) its processes."""

    def __init__(self, state_directory: Path, database: str) -> None:
        self.settings = Settings(state_directory=state_directory, database=database, user="")
        self.database = database
        self.process: subprocess.Popen[str] | None = None
        self.log = state_directory / "run_master.log"
        self.conn = connect(database, application="test")
        self.builders = Builders(self.conn)
        self.series, self.chroots = Series(self.conn), Chroots(self.conn)
        self.archives, self.sources = Archives(self.conn), Sources(self.conn)
        self.publications = Publications(self.conn)
        self.builds = Builds(self.conn)
        self.queue = BuildQueue(self.conn)
        self.library = Library(self.conn)
        self.librarian = Librarian(self.settings.librarian_directory)

    # --- laying out -------------------------------------------------------------------------------

    def lay_out(self, architecture: str = "i386", family: str = "x86") -> None:
        """Register ubuntu/hoary with one architecture and its chroot, the primary archive, and cprov's PPA."""
        self.series.add("ubuntu", "hoary", {architecture: family}, nominated_archindep=architecture)
        self.archives.add("primary", "ubuntu", ArchivePurpose.PRIMARY)
        self.archives.add("cprov/ppa", "ubuntu", ArchivePurpose.PPA, owner="cprov")
        self.set_chroot(f"ubuntu/hoary/{architecture}", self.librarian.add_bytes(b"a base system").sha256)

    def set_chroot(self, distroarchseries: str, sha256: str) -> None:
        """Register content of the librarian as the chroot of the RELEASE pocket."""
        path = self.librarian.path(sha256)
        alias = self.library.add(self.librarian.add_file(path), "chroot.tar.zst")
        self.chroots.set(self.series.named(distroarchseries).id, Pocket.RELEASE, alias.id)

    def add_source(self, name: str = "foo", *, stored: bool = True) -> int:
        """Register a source with one file, its `.dsc`; `stored` puts content into the librarian."""
        version = f"1.{next(_sources)}-1"
        dsc = f"{name}_{version}.dsc"
        content = self.librarian.add_bytes(f"Source: {name}\nVersion: {version}\n".encode())
        if stored:
            self.library.add(content, dsc)
        files = (NamedFile(dsc, content.sha256, content.size),)
        return self.sources.add(NewSource(name, version, "main", Urgency.LOW, ("any",), files))

    def queue_build(
        self, name: str = "foo", *, archive: str = "primary", architecture: str = "i386", source: int | None = None
    ) -> Job:
        """Create a build of a source (a new one unless given) and queue it."""
        source = self.add_source(name) if source is None else source
        to = self.archives.get("ubuntu", archive)
        self.publications.publish(source, to.id, "hoary", Pocket.RELEASE, "main")
        das = self.series.named(f"ubuntu/hoary/{architecture}")
        build = self.builds.create(source, das.id, to.id, Pocket.RELEASE, arch_indep=True)
        return self.builds.queue(build.id)

    # --- running ----------------------------------------------------------------------------------

    def start(self, *, timers: dict[str, float] | None = None, wait: bool = True, **settings: Any) -> None:
        """Run the farm; returns when it says READY.

        Args:
            timers: over those of this module.
            wait: False to return at once.
            settings: fields of `Settings`.
        """
        given = {"timers": {**TIMERS, **(timers or {})}, **settings}
        environment = {f"BUILDD_MASTER_{name.upper()}": _text(value) for name, value in given.items()}
        environment |= {
            "BUILDD_MASTER_STATE_DIRECTORY": str(self.settings.state_directory),
            "BUILDD_MASTER_DATABASE": self.database,
            "BUILDD_MASTER_USER": "",
        }
        self.settings.token_file.write_text(TOKEN + "\n")
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                [sys.executable, str(PROJECT / "run_master.py")],
                env={**os.environ, **environment},
                cwd=self.settings.state_directory,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until run_master says READY."""
        assert self.process is not None
        assert self.process.stdout is not None
        heard, _, _ = select.select([self.process.stdout], [], [], 2 * PATIENCE)
        line = self.process.stdout.readline() if heard else ""
        assert line.startswith("READY"), self.log.read_text()

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Stop the farm and return its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.wait_exit()

    def wait_exit(self, seconds: float = PATIENCE) -> int:
        """Wait until run_master has ended; return its exit code."""
        assert self.process is not None
        process, self.process = self.process, None
        with process:
            try:
                return process.wait(seconds)
            except subprocess.TimeoutExpired:
                process.kill()  # or leaving would wait for it without end
                raise

    def close(self) -> None:
        """Leave nothing behind, whatever the test did."""
        self.conn.close()
        if self.process is not None:
            self.stop(signal.SIGKILL)

    # --- looking and meddling ---------------------------------------------------------------------

    def console(self, *lines: str) -> str:
        """Obey lines typed into a debug console; return what it prints.  Refusals are raised."""
        out = io.StringIO()
        with Attached(self.settings) as attached:
            given = Given(state_directory=self.settings.state_directory, database=self.database)
            console = Console(attached, out, given, why="a test")
            for line in lines:
                console.obey(line)
            console.close()
        return out.getvalue()

    def actor(self, name: str) -> Description | None:
        """Return what an actor says of itself; None if it is not there."""
        with Attached(self.settings) as attached:
            here = tuple(one for one in attached.census().here if one.name == name)
            return attached.describe(here).get(name)

    def pid(self, name: str) -> int:
        """Return the process of an actor, waiting until there is one."""
        pids: dict[str, int] = {}

        def runs() -> bool:
            pids.update(self._pids())
            return name in pids

        self.wait_until(runs, f"{name} runs")
        return pids[name]

    def _pids(self) -> dict[str, int]:
        with Attached(self.settings) as attached:
            return {here.name: here.pid for here in attached.census().here}

    # --- waiting for facts ------------------------------------------------------------------------

    def wait_until(self, fact: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
        """Poll `fact` until it is true."""
        wait_until(fact, lambda: f"{what}\n{self._story()}", seconds=seconds)

    def wait_build(self, build: int, *states: BuildState, seconds: float = PATIENCE) -> Build:
        """Wait until a build is in one of `states`."""
        self.wait_until(lambda: self.builds.get(build).state in states, f"build {build} is {states}", seconds)
        return self.builds.get(build)

    def wait_builder(self, name: str, *, ok: bool, seconds: float = PATIENCE) -> Builder:
        """Wait until a builder is ok, or is not."""
        self.wait_until(lambda: self.builders.get(name).builderok is ok, f"{name} ok is {ok}", seconds)
        return self.builders.get(name)

    def wait_held(self, job: int, builder: str | None, seconds: float = PATIENCE) -> Job:
        """Wait until a builder, or nobody, holds a job."""
        self.wait_until(lambda: self.queue.job(job).builder == builder, f"{builder} holds job {job}", seconds)
        return self.queue.job(job)

    def open_attempt(self, build: int) -> Attempt:
        """Return the open attempt of a build."""
        return next(attempt for attempt in self.builds.attempts(build) if attempt.outcome is None)

    def wait_runtime(self, name: str, state: str, seconds: float = PATIENCE) -> None:
        """Wait until a builder's actor has said that its slave is in `state`."""

        def there() -> bool:
            return any(one.builder == name and one.state == state for one in self.builders.runtimes())

        self.wait_until(there, f"{name} is {state}", seconds)

    def _story(self) -> str:
        lines = self.log.read_text().splitlines()[-30:] if self.log.exists() else []
        rows = self.conn.execute("SELECT name, builderok, failnotes FROM builder").fetchall()
        runtimes = [(one.builder, str(one.state), one.connected) for one in self.builders.runtimes()]
        return "\n".join([*map(str, rows), *map(str, runtimes), *map(str, self.queue.jobs()), *lines])


def _text(value: object) -> str:
    return json.dumps(value) if isinstance(value, dict | list | tuple) else str(value)


def _farm(directory: Path, database: str) -> Iterator[FarmUnderTest]:
    state_directory = directory / "state"
    state_directory.mkdir(mode=0o700)
    under_test = FarmUnderTest(state_directory, database)
    try:
        yield under_test
    finally:
        under_test.close()


@pytest.fixture
def whole_farm(tmp_path: Path, farm_database: str) -> Iterator[FarmUnderTest]:
    """A farm on a fresh database; not started."""
    yield from _farm(tmp_path, farm_database)


@pytest.fixture(scope="module")
def shared_farm(tmp_path_factory: pytest.TempPathFactory, postgres_dsn: str, _template: str) -> Iterator[FarmUnderTest]:
    """A farm for all tests of a module; not started."""
    for database in new_database(postgres_dsn, _template):
        yield from _farm(tmp_path_factory.mktemp("farm"), database)


def session_processes(session: int) -> list[int]:
    """Return the processes of a session that still run."""
    found = []
    for directory in Path("/proc").iterdir():
        if directory.name.isdigit():
            try:
                fields = (directory / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(directory.name))
    return found
