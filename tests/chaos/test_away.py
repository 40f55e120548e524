"""The database away, or a disk full, under load, on a real farm: running builds go on, nothing is lost or counted twice, nobody is blamed.

Every process is real but the slaves' builds; PostgreSQL is stopped, killed or frozen, disks are small and are filled.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from actors.console.attach import Attached, NotAttached
from actors.queue.pause_note import read_note
from storage.database.connection import connect
from storage.files.librarian import Librarian
from tests.chaos.farm import CHECKOUT, ChaosFarm
from tests.chaos.judge import judge, lost_and_double
from tests.chaos.monkey import ENDED, fill
from tests.chaos.proxy import Cables
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.slow

SLAVES, JOBS = 4, 24  #: jobs of each test
NEEDS_MOUNTS = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount a small disk")


class Loaded:
    """A farm under load."""

    def __init__(self, farm: ChaosFarm) -> None:
        self.farm, self.jobs = farm, 0

    def load(self) -> None:
        """Queue jobs, and wait until some of them have ended."""
        before = self.jobs
        self.farm.queue(range(before + 1, before + JOBS + 1), seed=4)
        self.jobs += JOBS
        self.until(lambda: self.ended() >= before + 4, "some jobs have ended")

    def ended(self) -> int:
        """Return how many builds have ended, as far as the database tells."""
        rows = self.farm.ask("SELECT count(*) FROM build WHERE state::text = ANY (%s)", list(ENDED))
        return int(rows[0][0]) if rows else -1

    def until(self, fact: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
        """Keep the farm running until a fact is there."""
        wait_until(
            fact,
            lambda: f"{what}; {self.says('queue')}\n{self.farm.log.read_text()[-3000:]}",
            seconds=seconds,
            meanwhile=self._keep,
        )

    def _keep(self) -> None:
        self.farm.keep()
        time.sleep(0.05)

    def says(self, kind: str) -> dict[str, dict[str, str]]:
        """Return what actors of a kind say of themselves, by name; those that do not answer are left out."""
        try:
            with Attached(self.farm.settings) as attached:
                here = tuple(one for one in attached.census().here if one.kind == kind)
                return {name: dict(said.state) for name, said in attached.describe(here).items()}
        except NotAttached:
            return {}

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the operator's."""
        return subprocess.run(
            [sys.executable, "-m", "buildd_master", *arguments],
            check=False,
            capture_output=True,
            text=True,
            env=os.environ
            | {
                "PYTHONPATH": str(CHECKOUT),
                "BUILDD_MASTER_STATE_DIRECTORY": str(self.farm.state),
                "BUILDD_MASTER_DATABASE": self.farm.server.dsn,
                "BUILDD_MASTER_USER": "",
            },
        )

    def results_wait(self) -> bool:
        """Return whether every builder's build has ended, with its results on disk, and waits to be recorded."""
        stages = [said["stage"] for said in self.says("builder").values()]
        return stages == ["working/reporting"] * SLAVES

    def expect_all_is_well(self) -> None:
        """Wait for every build's end; nothing is lost, nothing counts twice, nobody was blamed for anything."""
        self.until(lambda: self.ended() == self.jobs, "every job has ended")
        self.until(self._idle, "every builder is idle")
        with connect(self.farm.server.dsn, application="test") as connection:
            assert lost_and_double(connection) == (0, 0)
            assert list(judge(connection, Librarian(self.farm.settings.librarian_directory), ())) == []
            attempts = connection.execute("SELECT count(*) FROM attempt WHERE outcome <> 'FENCED'").fetchone()
            assert attempts == (self.jobs,), "no build was tried twice"

    def _idle(self) -> bool:
        rows = self.farm.ask("SELECT bool_and(connected AND state = 'IDLE') FROM builder_runtime")
        return bool(rows and rows[0][0])


@pytest.fixture(scope="module")
def disks() -> Iterator[Path]:
    """A directory with a short name, in which state and database have small disks of their own if we are root."""
    directory = Path(tempfile.mkdtemp(prefix="away-"))
    mounted = []
    for name in ("state", "postgres"):
        (directory / name).mkdir(mode=0o700)
        if os.geteuid() == 0:
            subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200m,mode=0700", "none", directory / name], check=True)
            mounted.append(directory / name)
    yield directory
    for place in mounted:
        subprocess.run(["umount", place], check=True)
    shutil.rmtree(directory)


@pytest.fixture(scope="module")
def running(disks: Path) -> Iterator[Loaded]:
    """A farm that runs, for all tests."""
    with Cables() as cables:
        farm = ChaosFarm(disks, cables)
        try:
            farm.start(SLAVES, 0, seed=4, seconds=0.8)
            yield Loaded(farm)
            assert farm.stop_master() == 0
            assert farm.restarts == 0
        finally:
            farm.close()


@pytest.fixture
def loaded(running: Loaded) -> Loaded:
    """The farm under load."""
    running.load()
    return running


def test_postgresql_is_stopped_under_load_and_started_again(loaded: Loaded) -> None:
    loaded.farm.want_server(wanted=False)
    loaded.farm.server.stop()
    loaded.until(loaded.results_wait, "running builds went on to their end, and their results wait")
    said = loaded.command("status")
    assert (said.returncode, said.stdout) == (3, "")
    assert "the master here waits for it since" in said.stderr
    assert "nothing is given away, running builds go on, their results wait" in said.stderr
    assert "away" in loaded.says("queue")["queue"]["database"]
    loaded.farm.want_server(wanted=True)
    loaded.expect_all_is_well()
    assert read_note(loaded.farm.settings.pause_file) is None


def test_postgresql_hangs_under_load_and_goes_on(loaded: Loaded) -> None:
    loaded.farm.server.freeze()
    loaded.until(loaded.results_wait, "running builds went on to their end, and their results wait")
    began = time.monotonic()
    said = loaded.command("status")
    assert said.returncode == 3, said.stdout
    assert "the master here waits for it since" in said.stderr
    assert time.monotonic() - began < PATIENCE, "nobody waits for a database that hangs for ever"
    loaded.farm.server.thaw()
    loaded.expect_all_is_well()


def test_postgresql_is_killed_under_load_again_and_again(loaded: Loaded) -> None:
    for _ in range(3):
        before = loaded.ended()
        loaded.farm.server.kill()
        loaded.until(lambda: loaded.farm.server.ended, "it is dead")
        loaded.until(lambda: loaded.ended() > before, "dispatch goes on by itself")  # noqa: B023 - called at once
    loaded.expect_all_is_well()


@NEEDS_MOUNTS
def test_the_disk_of_librarian_and_logs_is_full_under_load_and_is_freed(loaded: Loaded) -> None:
    free = fill(loaded.farm.state)
    loaded.until(lambda: _paused(loaded).startswith("the master's own disk: "), "dispatch pauses, and says why")
    said = loaded.command("status")
    assert "dispatch is paused: the master's own disk: " in said.stdout
    assert "No space left on device" in said.stdout
    assert "goes on by itself when that is mended" in said.stdout
    waiting = loaded.farm.ask("SELECT min(id) FROM buildqueue WHERE builder IS NULL")
    assert waiting
    explained = loaded.command("explain", str(waiting[0][0]), "--json")
    assert "dispatch_paused" in explained.stdout
    free()
    loaded.until(lambda: _paused(loaded) == "", "it goes on by itself")
    loaded.expect_all_is_well()


@NEEDS_MOUNTS
def test_the_disk_of_postgresql_is_full_under_load_and_is_freed(loaded: Loaded) -> None:
    free = fill(loaded.farm.directory / "postgres")
    loaded.until(lambda: read_note(loaded.farm.settings.pause_file), "dispatch pauses, and leaves a note that says why")
    said = loaded.command("status")
    told = "dispatch is paused: the database" if said.returncode == 0 else "the master here waits for it since"
    assert told in said.stdout + said.stderr
    free()
    loaded.expect_all_is_well()
    assert read_note(loaded.farm.settings.pause_file) is None


def _paused(loaded: Loaded) -> str:
    rows = loaded.farm.ask("SELECT paused FROM farm")
    return str(rows[0][0]) if rows else ""
