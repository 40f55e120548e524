"""The known weaknesses of another farm's failure counting (W1-W15), each as a farm in virtual time.

Every scenario has an end state that must be reached, and a bound in seconds of the farm's time.
"""

from __future__ import annotations

import pytest

from tests.fix_simulation import HOUR, Act, BuildState, Tale, Trouble, when

pytestmark = pytest.mark.slow  # all together they take more of the machine than the fast suite may

BUILT = {BuildState.FULLYBUILT}


def test_w1_a_builder_that_dies_in_every_build_is_given_up_after_five_jobs_within_an_hour() -> None:
    tale = Tale()
    tale.builder("a-killer", "b", "c")
    for number in range(40):
        tale.job(f"s{number}", at=60.0 * number, seconds=100.0)
    tale.fault(0.0, Trouble.KILLS, "a-killer", seconds=6 * HOUR)
    tale.run()
    given_up = tale.first("builder", builder="a-killer", kind="failures")
    assert given_up - tale.first("dispatched", builder="a-killer") < HOUR
    assert "failures in a row" in tale.world.ground.server.builders.get("a-killer").failnotes
    assert tale.times("closed", builder="a-killer") <= 8
    assert tale.states == BUILT
    assert (tale.ok("b"), tale.ok("c")) == (True, True)


def test_w2_the_only_builder_does_not_try_one_job_for_ever_and_no_other() -> None:
    tale = Tale(hours=6.0)
    tale.builder("only")
    tale.job("first", "second", "third")
    tale.fault(0.0, Trouble.SLAVE_DISK_FULL, "only", seconds=2 * HOUR)
    tale.run()
    before = [line for line in tale.told("dispatched") if when(line) < 2 * HOUR]
    assert {line["build"] for line in before} == {tale.build(source) for source in ("first", "second", "third")}
    assert len(before) < 60, "one a minute would be a loop"
    assert tale.states == BUILT, "and nobody has failed"
    assert max(when(line) for line in tale.told("build", state="FULLYBUILT")) < 6 * HOUR  # they have cooled down, too


def test_w3_a_builder_that_fails_packages_in_seconds_is_found_out_and_they_are_built_elsewhere() -> None:
    tale = Tale()
    tale.builder("a-hole", "b", "c")
    for number in range(30):
        tale.job(f"s{number}", at=100.0 * number, seconds=200.0)
    tale.fault(0.0, Trouble.BLACK_HOLE, "a-hole", seconds=8 * HOUR)
    tale.run()
    quarantined = tale.first("quarantined", builder="a-hole")
    began = tale.first("dispatched", builder="a-hole")
    assert quarantined - began < 600.0
    assert tale.times("closed", builder="a-hole") <= 8
    disabled = tale.first("builder", builder="a-hole", kind="blackhole")
    assert disabled - began < HOUR
    assert tale.states == BUILT
    induced = [
        row.builder_induced for row in tale.world.ground.rows.table("attempt").values() if row.builder == "a-hole"
    ]
    assert any(induced)


def test_w4_what_a_job_met_long_ago_does_not_condemn_it_at_the_first_glitch() -> None:
    long = 8 * HOUR
    tale = Tale(hours=9.0)
    tale.builder("a-flaky", "b-flaky", "c")
    tale.job("warm-a", "warm-b", at=1.0, seconds=30.0)  # both have completed a build: what fails next is charged
    tale.job("poor", at=400.0)
    tale.fault(390.0, Trouble.BROKEN, "a-flaky", seconds=400.0)
    tale.fault(390.0, Trouble.BROKEN, "b-flaky", seconds=400.0)
    tale.deed(0.0, Act.SET_NOT_OK, name="c", seconds=long)
    tale.deed(800.0, Act.SET_NOT_OK, name="a-flaky", seconds=long + HOUR)
    tale.deed(800.0, Act.SET_NOT_OK, name="b-flaky", seconds=long + HOUR)
    tale.fault(long + 100.0, Trouble.RESET, "c")
    tale.run()
    assert tale.where("poor")[-1] == "c"
    assert tale.state("poor") is BuildState.FULLYBUILT
    assert tale.first("build", build=tale.build("poor"), state="FULLYBUILT") < long + 330.0


def test_w5_a_slave_that_says_it_is_broken_is_believed_at_once() -> None:
    tale = Tale()
    tale.builder("a-broken", "b")
    tale.job("foo", seconds=300.0)
    tale.fault(0.0, Trouble.BROKEN, "a-broken", seconds=HOUR)
    tale.run()
    said = tale.first("ended", builder="a-broken", outcome="BUILDERFAIL")
    assert tale.first("dispatched", after=said, builder="b") - said < 1.0
    assert tale.states == BUILT


def test_w6_a_missing_chroot_blames_no_builder_and_fails_no_job() -> None:
    tale = Tale()
    tale.builder("a", "b")
    tale.job("foo")
    chroots = tale.world.ground.rows.table("chroot")
    (key,) = chroots
    row = chroots[key]
    tale.world.ground.rows.put("chroot", key, None)
    tale.world.ground.agenda.at(1000.0, tale.world.ground.rows.put, "chroot", key, row)
    tale.run()
    assert tale.where("foo") == [tale.where("foo")[0]]
    assert 1000.0 <= tale.first("dispatched") < 1001.0
    assert tale.states == BUILT
    assert tale.times("builder", ok=False) == 0
    assert (tale.failures("a"), tale.failures("b")) == (0, 0)


def test_w7_a_slave_that_never_becomes_clean_is_out_within_two_minutes_and_comes_back_by_itself() -> None:
    tale = Tale()
    tale.builder("a-dirty", "b")
    tale.job("foo", seconds=60.0)
    tale.job("bar", at=200.0, seconds=60.0)
    tale.fault(0.0, Trouble.NEVER_CLEAN, "a-dirty", seconds=1800.0)
    tale.run()
    ended = tale.first("closed", builder="a-dirty")
    out = tale.first("builder", builder="a-dirty", ok=False)
    assert 119.0 < out - ended < 125.0
    back = tale.first("builder", after=1800.0, builder="a-dirty", ok=True)
    assert back - 1800.0 < 700.0
    assert tale.states == BUILT


@pytest.mark.parametrize(
    ("trouble", "bound"),
    [
        (Trouble.HOST_DEAD, 60.0),
        (Trouble.SLAVE_HANG, 60.0),
        (Trouble.CUT, 60.0),
        (Trouble.CUT_TO_MASTER, 60.0),
        (Trouble.CUT_TO_SLAVE, 60.0),
        (Trouble.SLAVE_RESTART, 12.0),
    ],
)
def test_w8_however_a_host_fails_its_job_is_back_in_the_queue_within_a_minute(trouble: Trouble, bound: float) -> None:
    tale = Tale()
    tale.builder("a-host", "b")
    tale.job("foo", seconds=1000.0)
    tale.fault(300.0, trouble, "a-host", seconds=900.0)
    tale.run()
    assert tale.where("foo")[:2] == ["a-host", "b"]
    assert tale.first("waits") - 300.0 < bound
    assert tale.states == BUILT


@pytest.mark.parametrize(
    ("who", "builder", "seconds"),
    [
        (Trouble.ACTOR_CRASH, "a", 0.0),
        (Trouble.NURSERY_CRASH, "", 0.0),
        (Trouble.QUEUE_CRASH, "", 0.0),
        (Trouble.MASTER_RESTART, "", 5.0),
    ],
)
def test_a_host_that_fails_together_with_who_followed_its_build_keeps_the_job_no_longer(
    who: Trouble, builder: str, seconds: float
) -> None:
    tale = Tale(hours=12.0)
    tale.builder("a")
    tale.job("first", at=10.0, seconds=HOUR)
    tale.fault(59.9, Trouble.HOST_DEAD, "a", seconds=11 * HOUR)
    tale.fault(60.0, who, builder, seconds=seconds)
    tale.run()
    assert tale.first("waits", build=tale.build("first"), after=60.0) < 120.0
    assert (tale.outcomes("first")[0], tale.states) == ("LOST", BUILT)


def test_a_build_that_is_cancelled_as_its_host_and_its_actor_fail_is_cancelled_soon() -> None:
    tale = Tale(hours=12.0)
    tale.builder("a")
    tale.job("first", at=10.0, seconds=HOUR)
    tale.fault(59.9, Trouble.HOST_DEAD, "a", seconds=11 * HOUR)
    tale.fault(60.0, Trouble.ACTOR_CRASH, "a")
    tale.deed(60.2, Act.CANCEL)
    tale.run()
    assert tale.first("build", state="CANCELLED") < 120.0


def test_w9_a_builder_that_fails_for_a_while_is_quarantined_and_comes_back_without_anybody() -> None:
    tale = Tale()
    tale.builder("a-sick", "b")
    for number in range(60):
        tale.job(f"s{number}", at=60.0 * number, seconds=50.0)
    tale.fault(120.0, Trouble.BROKEN, "a-sick", seconds=400.0)
    tale.run()
    assert tale.times("quarantined", builder="a-sick") >= 1
    assert tale.ok("a-sick")
    assert tale.failures("a-sick") == 0
    assert tale.first("ended", after=520.0, builder="a-sick", outcome="OK") - 520.0 < 1500.0
    assert tale.states == BUILT


def test_w10_a_job_does_not_go_straight_back_to_where_it_failed() -> None:
    tale = Tale()
    tale.builder("a-broken", "b-broken", "c")
    tale.job("foo", "bar", "baz")
    tale.job("qux", at=1000.0)
    for name in ("a-broken", "b-broken"):
        tale.fault(0.0, Trouble.BROKEN, name, seconds=300.0)
    tale.run()
    for source in ("foo", "bar", "baz", "qux"):
        where = tale.where(source)
        assert len(set(where)) == len(where), f"{source} went to {where}"
    assert tale.states == BUILT


def test_w11_a_full_disk_of_the_master_blames_nobody_and_loses_nothing() -> None:
    tale = Tale()
    tale.builder("a", "b", "c")
    for number in range(6):
        tale.job(f"s{number}", at=10.0 + number, seconds=200.0)
    tale.fault(100.0, Trouble.DISK_FULL, seconds=1200.0)
    tale.run()
    assert tale.states == BUILT
    assert tale.times("builder", ok=False) == 0
    assert {tale.failures(name) for name in "abc"} == {0}
    ran = {line["build"] for line in tale.told("dispatched") if when(line) < 100.0}
    done = {line["build"]: when(line) for line in tale.told("build", state="FULLYBUILT")}
    assert max(done[build] for build in ran) - 1300.0 < 60.0


@pytest.mark.parametrize("before", [-0.02, -0.005, -0.001, 0.0, 0.0005, 0.001, 0.002, 0.003, 0.005, 0.02])
def test_w12_a_build_that_is_cancelled_as_it_ends_ends_once_and_soon(before: float) -> None:
    quiet = Tale()
    quiet.builder("a")
    quiet.job("foo", "bar", seconds=100.0)
    ends = quiet.run().first("ended", builder="a")
    tale = Tale()
    tale.builder("a")
    tale.job("foo", "bar", seconds=100.0)
    tale.deed(ends + before, Act.CANCEL, target=0.0)
    tale.run()
    states = [tale.state("foo"), tale.state("bar")]
    assert sorted(states) in ([BuildState.CANCELLED, BuildState.FULLYBUILT], [BuildState.FULLYBUILT] * 2)
    ended = [when(line) for line in tale.told("closed")]
    assert max(ended[:1]) - ends < 70.0
    assert tale.failures("a") == 0


def test_w13_a_hundred_best_jobs_that_are_gone_keep_nobody_idle() -> None:
    tale = Tale()
    tale.builder("a")
    tale.job("running", at=5.0, seconds=200.0)
    for number in range(100):
        tale.job(f"stale{number:03}", at=20.0, seconds=10.0, score=5000)
    tale.job("last", at=30.0, seconds=10.0)
    for number in range(100):
        tale.world.ground.agenda.at(150.0 + number / 2, _cancel, tale, f"stale{number:03}")
    tale.run()
    freed = tale.first("closed", build=tale.build("running"))
    assert tale.first("dispatched", build=tale.build("last")) - freed < 1.0
    assert tale.state("last") is BuildState.FULLYBUILT


def test_w14_what_an_earlier_attempt_left_on_the_same_slave_is_not_taken_for_the_next_one() -> None:
    tale = Tale()
    tale.builder("only")
    tale.job("foo", seconds=200.0)
    tale.fault(100.0, Trouble.CUT, "only", seconds=110.0)  # the first attempt ends behind it
    tale.run()
    assert tale.outcomes("foo") == ["LOST", "OK"]
    first, second = (line["attempt"] for line in tale.told("dispatched"))
    assert {line["attempt"] for line in tale.told("accepted")} == {second}
    assert tale.times("made", attempt=first) == 2, "it had results, which nobody took"
    assert tale.first("build", state="FULLYBUILT") < 600.0


@pytest.mark.parametrize("lost", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("crash", [False, True])
def test_w15_results_are_accepted_once_whatever_is_lost_between_hand_over_and_commit(lost: int, *, crash: bool) -> None:
    quiet = Tale()
    quiet.builder("a", "b")
    quiet.job("foo", seconds=100.0)
    ends = quiet.run().first("ended")
    tale = Tale()
    tale.builder("a", "b")
    tale.job("foo", seconds=100.0)
    tale.fault(ends + lost * 0.001, Trouble.QUEUE_CRASH if crash else Trouble.COMMIT_LOST)
    tale.run()
    assert tale.outcomes("foo") == ["OK"]
    assert tale.times("accepted") == 2
    assert tale.states == BUILT
    assert tale.first("build", state="FULLYBUILT") - ends < 10.0


def _cancel(tale: Tale, source: str) -> None:
    with tale.world.ground.rows.acting("operator"):
        tale.world.ground.server.builds.cancel(tale.build(source))
