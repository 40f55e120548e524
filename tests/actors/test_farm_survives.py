"""The whole farm, with slaves on sockets: whatever is killed or stopped, it comes back, and no build is lost or made twice."""

from __future__ import annotations

import os
import random
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Self

import psutil
import pytest

from actors.console.attach import Attached, NotAttached
from protocol.messages import WireOutcome
from simulation.slaves.buildd.host import SlaveHost
from simulation.slaves.script import Conduct, Script
from storage.check import check
from storage.records import BuildState, NotOkBy, Outcome
from tests.fix_farm import session_processes

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulation.slaves.buildd.slave import SimulatedSlave
    from tests.fix_farm import FarmUnderTest

pytestmark = pytest.mark.slow

HUNG = 2.0
ROOTS = ("supervisor", "admin")
KILL, STOP = signal.SIGKILL, signal.SIGSTOP


@pytest.fixture(scope="module")
def slave_host() -> Iterator[SlaveHost]:
    """A thread to put simulated slaves into."""
    with SlaveHost() as host:
        yield host


@pytest.fixture(scope="module")
def bob(slave_host: SlaveHost) -> SimulatedSlave:
    """A slave that builds until it is told to finish."""
    return slave_host.add("bob", Script(conducts=(Conduct(hangs=True),)))


@pytest.fixture(scope="module")
def farm(shared_farm: FarmUnderTest, bob: SimulatedSlave) -> FarmUnderTest:
    """A farm that runs, with bob as its only builder."""
    shared_farm.lay_out()
    shared_farm.builders.add("bob", bob.url, ["x86"], trusted=True)
    start(shared_farm)
    return shared_farm


def start(farm: FarmUnderTest) -> None:
    # A root that hangs would not stop politely within any time, so it must not be given any.
    farm.start(timers={"hung": HUNG}, crashes=50, fresh_starts=50, stop_seconds=60)


def process_of(farm: FarmUnderTest, name: str) -> int:
    """Return the process of an actor, or of Thespian's admin or logger; 0 if it does not run now."""
    try:
        with Attached(farm.settings) as attached:
            pids = {here.name: here.pid for here in attached.census().here}
        admin = psutil.Process(psutil.Process(pids["supervisor"]).ppid())
        others = [child.pid for child in admin.children() if child.pid != pids["supervisor"]]
        pids |= {"admin": admin.pid, "logger": others[0] if others else 0}
        return pids.get(name, 0)
    except (NotAttached, KeyError, psutil.NoSuchProcess):
        return 0


def wait_process(farm: FarmUnderTest, name: str, *, besides: int = 0) -> int:
    """Return the process of an actor, another than `besides`, waiting until there is one."""
    farm.wait_until(lambda: process_of(farm, name) not in {0, besides}, f"{name} runs")
    return process_of(farm, name)


@pytest.mark.parametrize(
    ("name", "how"),
    [("bob", STOP), ("queue", STOP), ("nursery-1", STOP), *((root, how) for root in ROOTS for how in (KILL, STOP))],
    ids=lambda value: value.name if isinstance(value, signal.Signals) else value,
)
def test_whoever_dies_or_hangs_is_replaced_and_the_running_build_is_adopted(
    farm: FarmUnderTest, slave_host: SlaveHost, bob: SimulatedSlave, name: str, how: signal.Signals
) -> None:
    build = farm.queue_build().build
    farm.wait_runtime("bob", "BUILDING")
    attempt, since = farm.open_attempt(build).id, last_event(farm)
    actors = os.getsid(wait_process(farm, "supervisor"))
    old = wait_process(farm, name)
    os.kill(old, how)
    wait_process(farm, name, besides=old)
    wait_process(farm, "bob", besides=old)
    assert not psutil.pid_exists(old)
    if name in ROOTS:
        assert session_processes(actors) == []
    finish(farm, slave_host, bob, build)
    assert [one.id for one in farm.builds.attempts(build)] == [attempt]
    farm.wait_builder("bob", ok=True)
    farm.wait_runtime("bob", "IDLE")
    blamed = fail_notes(farm, "bob", since)
    if name == "bob":
        why = f"hung: no sign of life for {HUNG:g} s (it was stopped: SIGSTOP?)"
        assert blamed == f"actor of the builder crashed: {why}, during attempt {attempt}"
    else:
        assert blamed == ""


def test_after_a_sleep_of_the_whole_machine_nobody_is_taken_for_hanging(
    farm: FarmUnderTest, slave_host: SlaveHost, bob: SimulatedSlave
) -> None:
    build = farm.queue_build().build
    farm.wait_runtime("bob", "BUILDING")
    assert farm.process is not None
    master = psutil.Process(farm.process.pid)
    everybody = [master, *master.children(recursive=True)]  # parents first: whoever watches wakes up before the others
    log = len(farm.log.read_text())
    for process in everybody:
        process.suspend()
    fell_asleep = time.monotonic()
    farm.wait_until(lambda: time.monotonic() - fell_asleep > 2 * HUNG, "they have slept for long")
    for process in everybody:
        process.resume()
    finish(farm, slave_host, bob, build)
    assert [one for one in everybody if not one.is_running()] == []
    assert "no sign of life" not in farm.log.read_text()[log:]


def finish(farm: FarmUnderTest, slave_host: SlaveHost, bob: SimulatedSlave, build: int) -> None:
    """Have bob come to the end of a build."""

    def built() -> bool:
        slave_host.call(bob.finish)  # again: the slave may not have come to where it waits
        return farm.builds.get(build).state is BuildState.FULLYBUILT

    farm.wait_until(built, f"build {build} is built")


def last_event(farm: FarmUnderTest) -> int:
    row = farm.conn.execute("SELECT coalesce(max(id), 0) FROM event").fetchone()
    assert row is not None
    return int(row[0])


def fail_notes(farm: FarmUnderTest, name: str, since: int = 0) -> str:
    """Return every fail notes a builder has had since an event, a line each."""
    rows = farm.conn.execute(
        "SELECT DISTINCT ON (after->>'failnotes') after->>'failnotes' FROM event"
        " WHERE subject = %s AND after ? 'failnotes' AND id > %s AND after->>'failnotes' <> ''",
        (f"builder:{name}", since),
    )
    return "\n".join(row[0] for row in rows)


# --- any sequence -----------------------------------------------------------------------------------------------------

BUILDERS = ("bob", "frog", "toad", "newt")  #: toad is untrusted; newt a person took away
VICTIMS = (*BUILDERS, "queue", "queue", "nursery-1", "nursery-2", "supervisor", "admin", "logger", "master")
STEPS = 5
JOBS = 10
SEEDS = os.environ.get("CHAOS_SEEDS", "1 20").split()  #: two that have a bit of everything; more in an idle hour


class Chaos:
    """What a seed does to a farm."""

    def __init__(self, farm: FarmUnderTest, seed: int) -> None:
        self.farm = farm
        self.random = random.Random(seed)
        self.story: list[str] = []
        self.sessions: set[int] = set()  # of all actor systems that were seen

    def __enter__(self) -> Self:
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        if error is not None:
            error.add_note("\n".join(self.story))

    def lay_out(self, host: SlaveHost) -> list[int]:
        """Register builders, slaves and jobs; return the builds."""
        farm = self.farm
        farm.lay_out()
        ways = (Conduct(), Conduct(seconds=1.0), Conduct(outcome=WireOutcome.PACKAGEFAIL, seconds=0.2))
        for name in BUILDERS:
            slave = host.add(name, Script(conducts=tuple(self.random.choices(ways, k=JOBS))))
            farm.builders.add(name, slave.url, ["x86"], trusted=name != "toad")
        farm.builders.set_ok("newt", ok=False, notes="a person took it away")
        return [farm.queue_build(archive="cprov/ppa" if n % 4 == 3 else "primary").build for n in range(JOBS)]

    def start(self) -> None:
        """Start the farm, with two builders in a nursery."""
        self.farm.start(timers={"hung": HUNG}, crashes=50, fresh_starts=50, builders_per_nursery=2)

    def strike(self) -> None:
        """Wait until the farm has done something, or not, and kill or stop somebody."""
        target = last_event(self.farm) + self.random.randrange(8)
        self.farm.wait_until(lambda: last_event(self.farm) >= target or self.over(), f"event {target}")
        name, how = self.random.choice(VICTIMS), self.random.choice((KILL, STOP))
        self.note_session()
        if name == "master":
            self.story.append("SIGKILL run_master, start it again")
            self.farm.stop(KILL)
            self.start()
            return
        pid = process_of(self.farm, name)
        self.story.append(f"{how.name} {name} ({pid or 'does not run'})")
        if pid:
            with suppress(ProcessLookupError):
                os.kill(pid, how)

    def note_session(self) -> None:
        pid = process_of(self.farm, "admin")
        if pid:
            with suppress(ProcessLookupError):
                self.sessions.add(os.getsid(pid))

    def over(self) -> bool:
        """Return whether every job has ended."""
        return not self.farm.queue.jobs()


@pytest.mark.parametrize("seed", [int(seed) for seed in SEEDS])
def test_after_any_sequence_of_deaths_and_hangs_all_is_well(whole_farm: FarmUnderTest, seed: int) -> None:
    farm = whole_farm
    with SlaveHost() as host, Chaos(farm, seed) as chaos:
        builds = chaos.lay_out(host)
        chaos.start()
        for _ in range(STEPS):
            chaos.strike()
        farm.wait_until(chaos.over, "every job has ended", seconds=60)
        for name in ("bob", "frog", "toad"):
            farm.wait_builder(name, ok=True, seconds=30)
            farm.wait_runtime(name, "IDLE", seconds=30)
        for build in builds:
            state = farm.builds.get(build).state
            outcomes = [attempt.outcome for attempt in farm.builds.attempts(build)]
            assert (state, outcomes) in [
                (BuildState.FULLYBUILT, [Outcome.OK]),
                (BuildState.FAILEDTOBUILD, [Outcome.PACKAGEFAIL]),
            ]
        newt = farm.builders.get("newt")
        assert (newt.builderok, newt.notok_by, newt.failnotes) == (False, NotOkBy.PERSON, "a person took it away")
        assert check(farm.conn, farm.librarian) == ()
        chaos.note_session()
        assert farm.stop() == 0
        assert [pid for session in chaos.sessions for pid in session_processes(session)] == []
