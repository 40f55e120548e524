"""What a master begins before it is loaded, and how long it waits for its actors."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from actors import wiring
from actors.addressed import FarmAwaited, FarmUp
from actors.master.head_start import CannotStart, HeadStart
from actors.settings import Settings
from actors.system import signs
from tests.fix_farm import PROJECT

UP = FarmUp(supervisor_pid=1, admin_pid=1, builders=3, trouble="")


def test_neither_actors_nor_database_client_are_loaded_before_the_server_is_started() -> None:
    heavy = "psycopg", "thespian", "debian", "actors.wiring", "actors.messages"
    check = f"import sys, run_master; print(*sorted({set(heavy)!r} & sys.modules.keys()))"
    ran = subprocess.run([sys.executable, "-c", check], cwd=PROJECT, check=True, capture_output=True, text=True)
    assert ran.stdout.split() == []


def test_a_directory_is_its_masters_until_that_one_stops(tmp_path: Path) -> None:
    settings = Settings(state_directory=tmp_path / "state", database="dbname=elsewhere")
    with HeadStart(settings) as first:
        assert first.server is None
        ready, done = os.pipe()
        rival = os.fork()
        if rival == 0:
            try:
                HeadStart(settings)
            except CannotStart as error:
                os.write(done, str(error).encode())
            finally:
                os._exit(0)
        os.waitpid(rival, 0)
        os.write(done, b".")
        assert os.read(ready, 1000).startswith(b"another master runs in")
    HeadStart(settings).stop()


class _Births:
    """An actor system in which an actor is born every 20 seconds, and all are there after the last of them."""

    def __init__(self, page: signs.Page, births: int) -> None:
        self.now = 0.0
        self._page, self._slots = page, iter(range(signs.SUPERVISOR + 1, signs.SUPERVISOR + 1 + births))

    def ask(self, *_: object) -> object:
        return self.listen()

    def listen(self, _seconds: float = 0.0) -> object:
        self.now += 20.0
        slot = next(self._slots, None)
        if slot is None:
            return UP
        self._page.born(slot)
        return None


@pytest.fixture
def farm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[wiring.Farm]:
    monkeypatch.setattr(signs, "_here", signs._Here())
    made = wiring.Farm(Settings(state_directory=tmp_path))
    made._page = signs.lay_out(limit=6.0)
    yield made
    made._page = made._system = None


def test_a_large_farm_is_waited_for_as_long_as_actors_are_born(
    farm: wiring.Farm, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert farm._page is not None
    births = farm._system = _Births(farm._page, births=10)
    monkeypatch.setattr(wiring, "time", SimpleNamespace(monotonic=lambda: births.now))
    assert farm._ask(FarmAwaited(), FarmUp, "the actors did not come up") is UP


def test_actors_that_are_not_born_are_given_up(farm: wiring.Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    births = farm._system = SimpleNamespace(now=0.0)

    def listen(*_: object) -> None:
        births.now += 20.0

    births.ask = births.listen = listen
    monkeypatch.setattr(wiring, "time", SimpleNamespace(monotonic=lambda: births.now))
    with pytest.raises(CannotStart, match="the actors did not come up within 30 s"):
        farm._ask(FarmAwaited(), FarmUp, "the actors did not come up")
