"""A farm of doubles (`tests.actors.supervision.small_farm`) for tests of supervision and console."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.addressed import Here
from actors.console.attach import Attached
from actors.core.timers import Timers
from actors.messages import Description
from actors.settings import Settings
from cli.given import Given
from console.obeying import Console
from tests.fix_farm import PROJECT
from tests.fix_postgres import new_database
from tests.waiting import wait_until


class SmallFarm:
    """A farm of doubles, and a way in."""

    def __init__(self, settings: Settings, process: subprocess.Popen[str]) -> None:
        self.settings = settings
        self.process = process
        self.attached = Attached(settings)

    def here(self, name: str) -> Here | None:
        return next((one for one in self.attached.census().here if one.name == name), None)

    def said(self, name: str) -> Description:
        found = self.here(name)
        assert found is not None
        return self.attached.describe((found,))[name]

    def facts(self) -> dict[str, str]:
        """What the double of the queue actor has heard."""
        return dict(self.said("queue").state) if self.here("queue") else {}

    def obey(self, line: str) -> str:
        out = io.StringIO()
        Console(self.attached, out, self.given, why="a test").obey(line)
        return out.getvalue()

    @property
    def given(self) -> Given:
        """What a command line says to mean this farm."""
        return Given(state_directory=self.settings.state_directory, database=self.settings.database)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        found = self.here(name)
        assert found is not None
        os.kill(found.pid, number)

    def generation(self, name: str) -> int:
        """Return which life of an actor runs."""
        found = self.here(name)
        assert found is not None
        return found.generation

    def wait_generation(self, name: str, generation: int) -> None:
        """Wait until this life of an actor runs."""
        wait_until(lambda: (one := self.here(name)) is not None and one.generation == generation)


@pytest.fixture(scope="session")
def run_small_farm(postgres_dsn: str, _template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallFarm]:
    """One small farm for all tests."""
    for database in new_database(postgres_dsn, _template):
        yield from _run(database, tmp_path_factory.mktemp("small") / "state", Timers(), crashes=8)


@pytest.fixture(scope="module")
def watchful_farm(postgres_dsn: str, _template: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SmallFarm]:
    """One small farm, for the tests of a module, whose actors hang after two seconds."""
    for database in new_database(postgres_dsn, _template):
        timers = Timers(hung=2.0)
        yield from _run(database, tmp_path_factory.mktemp("watchful") / "state", timers, crashes=2)


def _run(database: str, state_directory: Path, timers: Timers, *, crashes: int) -> Iterator[SmallFarm]:
    state_directory.mkdir()
    (state_directory / "builders").write_text("bob frog toad")
    settings = Settings(
        state_directory=state_directory,
        database=database,
        user="",
        builders_per_nursery=2,
        crashes=crashes,
        crash_window_seconds=5.0,
        timers=timers,
    )
    command = [sys.executable, "-m", "tests.actors.supervision.small_farm", settings.model_dump_json()]
    with (
        (state_directory / "log").open("w") as log,
        subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, stderr=log, text=True) as process,
    ):
        assert process.stdout is not None
        assert process.stdout.readline() == "READY\n", (state_directory / "log").read_text()
        farm = SmallFarm(settings, process)
        try:
            yield farm
        finally:
            farm.attached.close()
            process.terminate()
            assert process.stdout.readline() == "ASKED\n"


@pytest.fixture
def small_farm(run_small_farm: SmallFarm) -> SmallFarm:
    """The small farm, with everybody there."""
    wait_until(lambda: not run_small_farm.attached.census().absent)
    return run_small_farm
