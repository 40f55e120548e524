"""People are told what only they can mend: the real process, a real database, a real receiver."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from uuid import UUID

import psutil
import pytest

from actors.core.timers import Timers
from actors.master.webhook import WebhookProcess
from actors.messages import Assign
from actors.settings import Settings
from storage.database.connection import connect
from storage.events.webhook import WebhookLog
from storage.records import Outcome
from tests.fix_desk import Desk, finished, only
from tests.fix_farm import FarmUnderTest
from tests.fix_receiver import Receiver
from tests.fix_storage import Farm
from tests.waiting import wait_until

_WRITTEN = """SELECT 1 FROM webhook, (SELECT max(id) FROM event) AS newest
              WHERE newest.max > 0 AND (webhook.cursor >= newest.max OR newest.max = ANY (webhook.told))"""

pytestmark = pytest.mark.slow  # with all their processes they take more of the machine than the fast suite may


class Teller:
    """The process, and how a test has it begin and end."""

    def __init__(self, farm: Farm, dsn: str, url: str, state: Path) -> None:
        self.farm, self.process = farm, WebhookProcess()
        timers = Timers(webhook_answer=0.3, webhook_retry=0.05, webhook_retry_limit=0.1)
        self.settings = Settings(state_directory=state, webhook=url, timers=timers, log_level="INFO")
        self.dsn = dsn

    def start(self) -> None:
        """Start it, and wait until it knows where it stands."""
        self.process.take_up(self.settings, self.dsn)
        wait_until(lambda: self.farm.sql("SELECT 1 FROM webhook"))

    def kill(self) -> None:
        assert self.process.pid is not None
        os.kill(self.process.pid, signal.SIGKILL)
        wait_until(lambda: self.process._process.ended() is not None)


@pytest.fixture
def teller(farm: Farm, shared_database: str, receiver: Receiver, tmp_path: Path) -> Iterator[Teller]:
    made = Teller(farm, shared_database, receiver.url, tmp_path)
    yield made
    made.process.stop()


def pause(farm: Farm, why: str) -> None:
    with farm.acting("alice"):
        farm.farm_states.resume()
        farm.farm_states.pause(why)


def told(receiver: Receiver, *whys: str) -> Callable[[], bool]:
    return lambda: receiver.words() == [f"dispatch is paused by alice: {why}" for why in whys]


def wait_said(capfd: pytest.CaptureFixture[str], words: str) -> str:
    """Wait until the process has logged `words`, and return all that it has."""
    said: list[str] = []

    def _heard() -> bool:
        said.append(capfd.readouterr().err)
        return words in "".join(said)

    wait_until(_heard)
    return "".join(said)


def test_people_are_told_once_of_the_fifth_failure(desk: Desk, teller: Teller, receiver: Receiver) -> None:
    desk.farm.builder("zoe")
    desk.take()
    teller.start()
    for number in range(5):
        desk.farm.job(f"job{number}")
        desk.farm.sql("UPDATE builder_runtime SET quarantined_until = NULL")
        desk.farm.sql("UPDATE buildqueue SET cooling_until = NULL")
        desk.take()
        attempt: UUID = only(Assign, desk.ready()).order.attempt
        assert receiver.documents == []
        desk.take(finished(attempt, Outcome.BUILDERFAIL, text="disk broken"))
    wait_until(lambda: receiver.documents)
    pause(desk.farm, "last")
    wait_until(lambda: len(receiver.documents) > 1)
    ((at, farm_uuid),) = desk.farm.sql(
        "SELECT at, farm.id FROM event, farm WHERE subject = 'builder:bob' AND after ->> 'notok_kind' = 'failures'"
    )
    first, second = receiver.documents
    assert first == {
        "id": first["id"],
        "farm": str(farm_uuid),
        "what": "builder_disabled",
        "subject": "builder:bob",
        "words": "bob gets no work until a person sets it ok again: 5 failures in a row, the last one: disk broken",
        "when": at.isoformat(),
    }
    assert second["what"] == "dispatch_paused"


def test_a_chroot_is_named(farm: Farm, teller: Teller, receiver: Receiver) -> None:
    teller.start()
    attempt = farm.claim(farm.job(), farm.builder())
    with farm.acting("queue"):
        farm.verdicts.hold_back_chroot(attempt.id, "no apt in it")
    wait_until(lambda: receiver.documents)
    assert receiver.documents[0]["subject"] == "chroot:ubuntu/hoary/i386/RELEASE"
    assert receiver.documents[0]["words"].endswith("it is held back: no apt in it")


def test_what_happened_before_anybody_was_to_be_told_is_history(farm: Farm, teller: Teller, receiver: Receiver) -> None:
    pause(farm, "before")
    teller.start()
    pause(farm, "after")
    wait_until(told(receiver, "after"))


def test_a_receiver_that_was_down_is_told_in_order_when_it_is_back(
    farm: Farm, teller: Teller, receiver: Receiver, capfd: pytest.CaptureFixture[str]
) -> None:
    receiver.down()
    teller.start()
    for why in ("one", "two", "three"):
        pause(farm, why)
    wait_said(capfd, "Connection refused")
    receiver.up()
    wait_until(told(receiver, "one", "two", "three"))


def test_answers_of_failure_and_redirects_are_no_deliveries_and_the_id_stays(
    farm: Farm, teller: Teller, receiver: Receiver
) -> None:
    receiver.answers = [500, 302]
    teller.start()
    pause(farm, "one")
    wait_until(told(receiver, "one", "one", "one"))
    assert len({one["id"] for one in receiver.documents}) == 1
    assert set(receiver.paths) == {"/farm"}


def test_a_receiver_that_hangs_is_left_and_told_again(farm: Farm, teller: Teller, receiver: Receiver) -> None:
    receiver.hung.clear()
    teller.start()
    pause(farm, "one")
    wait_until(lambda: len(receiver.documents) > 1)
    receiver.hung.set()
    pause(farm, "two")
    wait_until(lambda: receiver.words()[-1].endswith("two"))
    assert receiver.documents[0] == receiver.documents[1]


@pytest.mark.parametrize("settled", [True, False])
def test_nothing_is_lost_nor_told_again_over_a_restart(
    farm: Farm, teller: Teller, receiver: Receiver, shared_database: str, settled: bool
) -> None:
    teller.start()
    with connect(shared_database, application="slow") as slow, slow.transaction():
        if not settled:  # an event might still turn up before the one that is told: the cursor stays behind
            slow.execute("SELECT pg_current_xact_id()")
        pause(farm, "one")
        wait_until(lambda: farm.sql(_WRITTEN))
        teller.kill()
        pause(farm, "two")
        teller.process.keep()
        wait_until(told(receiver, "one", "two"))


def test_a_database_that_drops_its_connections_is_found_again(farm: Farm, teller: Teller, receiver: Receiver) -> None:
    teller.start()
    pause(farm, "one")
    wait_until(told(receiver, "one"))
    before = teller.process.pid
    farm.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name ~ '^webhook'"
    )
    pause(farm, "two")
    wait_until(told(receiver, "one", "two"))
    assert teller.process.pid == before


def test_an_event_of_a_transaction_that_was_open_meanwhile_is_not_left_out(
    farm: Farm, teller: Teller, receiver: Receiver, shared_database: str
) -> None:
    bob = farm.builder()
    teller.start()
    with connect(shared_database, application="slow") as slow, slow.transaction():
        slow.execute(
            "UPDATE builder SET builderok = false, notok_by = 'machine', notok_kind = 'breach' WHERE name = %s",
            (bob,),
        )
        pause(farm, "one")
        wait_until(told(receiver, "one"))
    wait_until(lambda: [one["subject"] for one in receiver.documents] == ["farm", "builder:bob"])


def test_other_settings_count_at_once_and_none_tells_nobody(
    farm: Farm, teller: Teller, receiver: Receiver, shared_database: str
) -> None:
    teller.start()
    before = teller.process.pid
    teller.process.take_up(teller.settings, shared_database)
    assert teller.process.pid == before
    teller.process.take_up(teller.settings.model_copy(update={"webhook": receiver.url + "/other"}), shared_database)
    pause(farm, "one")
    wait_until(told(receiver, "one"))
    assert receiver.paths == ["/farm/other"]
    teller.process.take_up(teller.settings.model_copy(update={"webhook": ""}), shared_database)
    assert teller.process.pid is None
    teller.process.keep()
    assert teller.process.pid is None


def test_no_secret_of_the_url_is_in_the_log_nor_in_the_list_of_processes(
    farm: Farm, shared_database: str, receiver: Receiver, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    receiver.answers = [500]
    teller = Teller(farm, shared_database, receiver.url.replace("127", "me:geheim@127") + "/geheim", tmp_path)
    teller.start()
    try:
        commands = Path(f"/proc/{teller.process.pid}/cmdline").read_bytes()
        pause(farm, "one")
        said = wait_said(capfd, "was told")
    finally:
        teller.process.stop()
    assert told(receiver, "one", "one")()
    assert f"http://***@127.0.0.1:{receiver.port}/... is not told of farm, but later: it answers 500" in said
    assert "geheim" not in said + commands.decode()


def test_a_log_that_grew_for_long_is_read_in_pages(farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("storage.events.webhook._PAGE", 7)
    rows = WebhookLog(farm.conn)
    farm.sql(
        "INSERT INTO event (who, why, subject, what, after) SELECT 'x', '', 'x:1', 'y', '{}' FROM generate_series(1, 50)"
    )
    pause(farm, "one")
    found = [one for one in rows.events(0, ["paused"]) if "paused" in (one.after or {})]
    assert [(one.after or {})["paused"] for one in found] == ["one"]


def test_where_it_stands_is_never_behind_the_end_of_a_log_that_was_restored(farm: Farm) -> None:
    rows = WebhookLog(farm.conn)
    last = farm.events.last_id()
    assert rows.begin() == (last, ())
    rows.keep(last + 1000, (last + 1001,))
    assert rows.begin() == (last, (last + 1001,))


def test_a_farm_keeps_the_process_that_tells_and_ends_it(whole_farm: FarmUnderTest, receiver: Receiver) -> None:
    def tellers() -> list[int]:
        assert whole_farm.process is not None
        children = psutil.Process(whole_farm.process.pid).children(recursive=True)
        return [one.pid for one in children if "buildd_master.webhook" in one.cmdline()]

    whole_farm.lay_out()
    whole_farm.start(webhook=receiver.url)
    (first,) = tellers()
    wait_until(lambda: whole_farm.conn.execute("SELECT 1 FROM webhook").fetchall())
    os.kill(first, signal.SIGKILL)
    whole_farm.conn.execute("UPDATE farm SET paused = 'why'")
    wait_until(lambda: receiver.words() == ["dispatch is paused by test: why"])
    (second,) = tellers()
    assert second != first
    assert whole_farm.stop(signal.SIGKILL)
    wait_until(lambda: not psutil.pid_exists(second))
