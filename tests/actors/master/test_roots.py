"""How long a master waits for its actors, and how often it wants signs of life."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from actors.addressed import FarmAwaited, FarmUp
from actors.core.timers import Timers
from actors.master import roots
from actors.master.head_start import CannotStart
from actors.master.roots import Roots
from actors.settings import Settings
from actors.system import signs
from actors.wiring import Farm
from tests.fix_journal import NotifySocket

if TYPE_CHECKING:
    from pathlib import Path

UP = FarmUp(supervisor_pid=1, admin_pid=1, builders=3, trouble="")


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
def founded(monkeypatch: pytest.MonkeyPatch) -> Roots:
    monkeypatch.setattr(signs, "_here", signs._Here())
    made = Roots(hung=6.0)
    made._page = signs.lay_out(limit=6.0)
    return made


def test_a_large_farm_is_waited_for_as_long_as_actors_are_born(founded: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    assert founded._page is not None
    births = founded._system = _Births(founded._page, births=10)
    monkeypatch.setattr(roots, "time", SimpleNamespace(monotonic=lambda: births.now))
    assert founded.ask(FarmAwaited(), FarmUp, "the actors did not come up") is UP


def test_systemd_waits_as_long_and_is_told_how_far_a_start_is(
    founded: Roots, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert founded._page is not None
    births = founded._system = _Births(founded._page, births=3)
    monkeypatch.setattr(roots, "time", SimpleNamespace(monotonic=lambda: births.now))
    with NotifySocket(tmp_path / "notify") as systemd:
        monkeypatch.setenv("NOTIFY_SOCKET", str(systemd.path))
        founded.ask(FarmAwaited(), FarmUp, "the actors did not come up")
        assert systemd.next() == ["STATUS=starting: 1 processes", "EXTEND_TIMEOUT_USEC=60000000", "WATCHDOG=1"]
        assert systemd.next() == ["STATUS=starting: 2 processes", "EXTEND_TIMEOUT_USEC=60000000", "WATCHDOG=1"]


def test_actors_that_are_not_born_are_given_up(founded: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
    births = founded._system = SimpleNamespace(now=0.0)

    def listen(*_: object) -> None:
        births.now += 20.0

    births.ask = births.listen = listen
    monkeypatch.setattr(roots, "time", SimpleNamespace(monotonic=lambda: births.now))
    with pytest.raises(CannotStart, match="the actors did not come up within 30 s"):
        founded.ask(FarmAwaited(), FarmUp, "the actors did not come up")


def test_a_farm_that_is_given_another_limit_has_its_processes_give_signs_as_often_as_that_wants(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    farm = Farm(Settings(timers=Timers(hung=30.0)))
    monkeypatch.setattr(farm._roots, "answers", lambda *_: True)
    farm._roots._page = signs.Page(30.0)
    assert farm.reload(Settings(timers=Timers(hung=6.0)))
    assert farm._roots._page.every == 2.0
    assert farm._roots._hangs.limit == 6.0
