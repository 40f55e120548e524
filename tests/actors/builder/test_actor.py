"""The shell of a builder's actor against simulated slaves on real sockets, with a real librarian and real log files."""

from __future__ import annotations

import errno
import json
import os

import pytest
import zstandard

from actors.addressed import SettingsChanged
from actors.builder.attempt_files import AttemptFiles
from actors.core.supervision.hangs import Excuse
from actors.messages import (
    Adopt,
    AdoptionWanted,
    Assign,
    BuilderTroubled,
    Cancel,
    Disown,
    Finished,
    JobRefused,
    ProbePassed,
    Ready,
    Recorded,
    Retire,
    RuntimeChanged,
    Started,
)
from actors.system import signs
from protocol.messages import (
    Accepted,
    Build,
    ChunkAck,
    Clean,
    EnsurePresent,
    FetchData,
    Heartbeat,
    Hello,
    LogFrom,
    PutChunk,
    Status,
    WireOutcome,
)
from simulation.slaves.lies import other_bytes, wrong_attempt, wrong_hash
from simulation.slaves.script import Act, Conduct, Script, Twist
from storage.files.librarian import LibrarianUnwritable
from storage.records import NotOkKind, Outcome, RuntimeState
from tests.fix_builder_shell import BuilderStage, StagedBuilder, digest

CLOSED_PORT = "buildd://127.0.0.1:9"


def heard_by(slave: object) -> list[str]:
    """Return the names of the messages a simulated slave has heard, in order, without heartbeats."""
    names = [type(passed.message).__name__ for passed in slave.heard]  # type: ignore[attr-defined]
    return [name for name in names if name not in {"Heartbeat", "Query"}]


def built(stage: BuilderStage, script: Script, chroot: bytes = b"a chroot") -> tuple[StagedBuilder, Finished]:
    """Have one build done by a slave of that script; return how it was reported."""
    slave = stage.slaves.add("bob", script)
    builder = stage.builder(slave.url)
    builder.wait_told(Ready)
    builder.hear(Assign("bob", 1, stage.order(chroot)))
    return builder, builder.wait_told(Finished)


def test_a_build_goes_from_assignment_to_files_in_the_librarian(builder_stage: BuilderStage) -> None:
    slave = builder_stage.slaves.add("bob", Script(conducts=(Conduct(log=b"line\n" * 1000),)))
    builder = builder_stage.builder(slave.url)
    assert builder.wait_told(Ready) == Ready("bob", 1, 1)
    builder.wait_told(ProbePassed)
    order = builder_stage.order()
    builder.hear(Assign("bob", 1, order))
    assert builder.wait_told(Started).attempt == order.attempt
    end = builder.wait_told(Finished)
    assert (end.outcome, end.text, end.slave_usable) == (Outcome.OK, "", True)
    assert sorted(result.filename for result in end.results) == ["foo_1.0-1_i386.changes", "foo_1.0-1_i386.deb"]
    for result in end.results:
        assert digest(builder_stage.librarian.path(result.content.sha256).read_bytes()) == result.content.sha256
    assert end.log is not None
    with builder_stage.librarian.path(end.log.content.sha256).open("rb") as packed:
        assert zstandard.ZstdDecompressor().stream_reader(packed).read() == b"line\n" * 1000
    assert builder_stage.log_file(order).read_bytes() == b"line\n" * 1000
    assert "Clean" not in heard_by(slave)
    builder.hear(Recorded("bob", 1, order.attempt))
    builder.wait_told(Ready)
    assert not builder_stage.log_file(order).exists()
    names = heard_by(slave)
    assert names[:2] == ["Hello", "Echo"]
    assert [name for name in names[2:] if name not in {"LogFrom", "Fetch"}] == [
        *["EnsurePresent"] * 2,
        *["PutChunk"] * 2,
        "Build",
        "Clean",
    ]


def test_whatever_touches_the_disk_says_so_meanwhile_or_a_slow_disk_would_be_a_hang(
    builder_stage: BuilderStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signs, "_here", signs._Here())
    page = signs.lay_out(15.0)
    signs.born(signs._FIRST)
    said: dict[str, set[Excuse]] = {}

    def spied(what: type, name: str) -> None:
        real = getattr(what, name)

        def spy(*args: object, **kwargs: object) -> object:
            said.setdefault(name, set()).add(page.sign(signs._FIRST, "bob", 1).excuse)
            return real(*args, **kwargs)

        monkeypatch.setattr(what, name, spy)

    of_files = {name for name in vars(AttemptFiles) if not name.startswith("_")} - {"close"}
    for name in of_files:
        spied(AttemptFiles, name)
    spied(AttemptFiles, "_log_path")  # by `keep_log` in its first step: it is a generator
    builder, end = built(builder_stage, Script())
    builder.hear(Recorded("bob", 1, end.attempt))
    builder.wait_told(Ready)
    assert of_files <= said.keys()
    assert {name for name, excuses in said.items() if excuses != {Excuse.DISK}} == set()


def test_a_big_chroot_arrives_whole_and_its_progress_can_be_watched(builder_stage: BuilderStage) -> None:
    chroot = os.urandom(1 << 20) * 9
    slave = builder_stage.slaves.add("bob", Script(twists=(Twist(on=Build, act=Act.MUTE),)))
    builder = builder_stage.builder(slave.url)
    builder.wait_told(Ready)
    order = builder_stage.order(chroot)
    notes: list[dict[str, object]] = []
    note = builder_stage.settings.logs_directory / f"{order.attempt}.push"

    def pushed() -> bool:
        if note.exists():
            notes.append(json.loads(note.read_text()))
        return "Build" in heard_by(slave)

    builder.hear(Assign("bob", 1, order))
    builder.wait_until(pushed)
    assert slave.cache.files[digest(chroot)] == chroot
    assert notes[0]["name"] == "chroot.tar.zst"
    assert notes[0]["size"] == len(chroot)
    assert not note.exists()


def test_a_note_on_a_push_that_can_not_be_written_stops_nothing(builder_stage: BuilderStage) -> None:
    order = builder_stage.order()
    (builder_stage.settings.logs_directory / f"{order.attempt}.push-new").mkdir()
    slave = builder_stage.slaves.add("bob")
    builder = builder_stage.builder(slave.url)
    builder.wait_told(Ready)
    builder.hear(Assign("bob", 1, order))
    assert builder.wait_told(Finished).outcome is Outcome.OK


def test_a_second_build_pushes_nothing_again(builder_stage: BuilderStage) -> None:
    slave = builder_stage.slaves.add("bob")
    builder = builder_stage.builder(slave.url)
    builder.wait_told(Ready)
    first, second = builder_stage.order(), builder_stage.order()
    builder.hear(Assign("bob", 1, first))
    builder.wait_told(Finished)
    pushed = heard_by(slave).count("PutChunk")
    builder.hear(Recorded("bob", 1, first.attempt, second))
    assert builder.wait_told(Finished).attempt == second.attempt
    assert heard_by(slave).count("PutChunk") == pushed
    assert not builder.heard(JobRefused)


def test_a_slave_that_answers_to_nobody_is_troubled_with_the_sockets_words(builder_stage: BuilderStage) -> None:
    builder_stage.use(first_retry=0.05, second_retry=0.1)
    trouble = builder_stage.builder(CLOSED_PORT).wait_told(BuilderTroubled)
    assert trouble.kind is NotOkKind.UNREACHABLE
    assert "127.0.0.1 port 9" in trouble.failnotes
    assert "connection refused" in trouble.failnotes


def test_an_unreachable_builder_heals_by_itself(builder_stage: BuilderStage) -> None:
    builder_stage.use(first_retry=0.05, second_retry=0.1, background_retry=0.1)
    slave = builder_stage.slaves.add("bob")
    builder_stage.slaves.run(slave.go_away())
    builder = builder_stage.builder(slave.url)
    builder.wait_told(BuilderTroubled)
    builder_stage.slaves.run(slave.start())
    builder.wait_told(ProbePassed)
    builder.wait_told(Ready)


def test_only_loopback_is_spoken_to_in_plain_text(builder_stage: BuilderStage) -> None:
    builder_stage.use(first_retry=0.01, second_retry=0.02)
    trouble = builder_stage.builder("buildd://192.0.2.1:8221").wait_told(BuilderTroubled)
    assert "this master can't show a certificate" in trouble.failnotes


def test_a_wrong_token_is_a_misfit_and_never_shown(builder_stage: BuilderStage) -> None:
    builder_stage.settings.token_file.write_text("something-else\n")
    slave = builder_stage.slaves.add("bob")
    builder = builder_stage.builder(slave.url)
    trouble = builder.wait_told(BuilderTroubled)
    assert trouble.kind is NotOkKind.MISFIT
    assert "token" in trouble.failnotes
    assert "something-else" not in f"{trouble} {builder.described()} {list(builder._core.story)}"


def test_a_token_file_that_is_gone_is_named(builder_stage: BuilderStage) -> None:
    builder_stage.use(first_retry=0.01, second_retry=0.02)
    builder_stage.settings.token_file.unlink()
    trouble = builder_stage.builder(builder_stage.slaves.add("bob").url).wait_told(BuilderTroubled)
    assert str(builder_stage.settings.token_file) in trouble.failnotes


def test_a_slave_of_another_architecture_is_a_misfit_that_says_so(builder_stage: BuilderStage) -> None:
    slave = builder_stage.slaves.add("bob", architectures=("riscv64",))
    trouble = builder_stage.builder(slave.url).wait_told(BuilderTroubled)
    assert "riscv64" in trouble.failnotes
    assert "i386" in trouble.failnotes


@pytest.mark.parametrize("act", [Act.GARBAGE, Act.OVERSIZED, Act.FLOOD])
def test_a_slave_that_breaks_the_protocol_in_mid_build_has_failed(builder_stage: BuilderStage, act: Act) -> None:
    script = Script(conducts=(Conduct(hangs=True),), twists=(Twist(on=LogFrom, act=act),))
    _, end = built(builder_stage, script)
    assert end.outcome is Outcome.BUILDERFAIL
    assert "broke the protocol" in end.text


@pytest.mark.slow
def test_a_frame_that_never_becomes_whole_takes_no_memory_and_ends(builder_stage: BuilderStage) -> None:
    builder_stage.use(suspect=0.2, lost=0.5, reconnect=0.5)
    script = Script(
        conducts=(Conduct(hangs=True),),
        twists=(Twist(on=LogFrom, act=Act.ENDLESS), Twist(on=Hello, act=Act.MUTE, after=1, times=9)),
    )
    _, end = built(builder_stage, script)
    assert end.outcome in {Outcome.LOST, Outcome.BUILDERFAIL}


def test_a_slave_that_announces_other_results_than_it_has_is_not_verified(builder_stage: BuilderStage) -> None:
    builder, end = built(builder_stage, Script(twists=(Twist(on=Status, act=Act.LIE, lie=wrong_hash, times=99),)))
    assert (end.outcome, end.results) == (Outcome.UNVERIFIED, ())
    assert "SHA-256" in end.text
    builder.hear(Recorded("bob", 1, end.attempt))
    builder.wait_told(Ready)


def test_a_slave_that_sends_other_bytes_is_not_verified(builder_stage: BuilderStage) -> None:
    _, end = built(builder_stage, Script(twists=(Twist(on=FetchData, act=Act.LIE, lie=other_bytes, times=99),)))
    assert end.outcome is Outcome.UNVERIFIED


def test_a_slave_that_names_another_attempt_is_a_breach(builder_stage: BuilderStage) -> None:
    _, end = built(builder_stage, Script(twists=(Twist(on=Status, act=Act.LIE, lie=wrong_attempt, times=99),)))
    assert (end.outcome, end.slave_usable) == (Outcome.BREACH, False)


@pytest.mark.parametrize("where", [EnsurePresent, PutChunk, ChunkAck, Build, Accepted, LogFrom, FetchData, Clean])
def test_a_connection_that_breaks_anywhere_costs_nothing(builder_stage: BuilderStage, where: type) -> None:
    builder_stage.use(first_retry=0.01, second_retry=0.02)
    chroot = os.urandom(1 << 18) * 5
    builder, end = built(builder_stage, Script(twists=(Twist(on=where, act=Act.DROP),)), chroot)
    assert end.outcome is Outcome.OK
    builder.hear(Recorded("bob", 1, end.attempt))
    builder.wait_told(Ready)
    assert not builder.heard(BuilderTroubled)


def test_a_killed_actors_build_is_adopted_and_its_log_has_neither_gap_nor_repetition(
    builder_stage: BuilderStage,
) -> None:
    slave = builder_stage.slaves.add("bob", Script(conducts=(Conduct(hangs=True, log=b"0123456789" * 600),)))
    first = builder_stage.builder(slave.url)
    first.wait_told(Ready)
    order = builder_stage.order()
    first.hear(Assign("bob", 1, order))
    first.wait_until(
        lambda: builder_stage.log_file(order).exists() and builder_stage.log_file(order).stat().st_size > 0
    )
    first._link.release()  # as the kernel does it for a process that was killed
    second = builder_stage.builder(slave.url, generation=2)
    wish = second.wait_told(AdoptionWanted)
    assert wish.attempt == order.attempt
    second.hear(Adopt("bob", 2, order))
    second.wait_told(ProbePassed)
    builder_stage.slaves.call(slave.finish)
    assert second.wait_told(Finished).outcome is Outcome.OK
    assert builder_stage.log_file(order).read_bytes() == b"0123456789" * 600
    assert heard_by(slave).count("Build") == 1
    builder_stage.builders.remove(first)


def test_a_disowned_build_is_aborted_and_cleaned(builder_stage: BuilderStage) -> None:
    slave = builder_stage.slaves.add("bob", Script(conducts=(Conduct(hangs=True),)))
    builder = builder_stage.builder(slave.url)
    builder.wait_told(Ready)
    order = builder_stage.order()
    builder.hear(Assign("bob", 1, order))
    builder.wait_told(Started)
    builder.hear(Disown("bob", 1, order.attempt, "trust was lowered"))
    builder.wait_told(Ready)
    assert heard_by(slave)[-2:] == ["Abort", "Clean"]
    assert not builder.heard(Finished)


def test_a_cancelled_build_is_reported_aborted(builder_stage: BuilderStage) -> None:
    slave = builder_stage.slaves.add("bob", Script(conducts=(Conduct(hangs=True),)))
    builder = builder_stage.builder(slave.url)
    builder.wait_told(Ready)
    order = builder_stage.order()
    builder.hear(Assign("bob", 1, order))
    builder.wait_told(Started)
    builder.hear(Cancel("bob", 1, order.attempt))
    assert builder.wait_told(Finished).outcome is Outcome.ABORTED


def test_missing_dependencies_are_handed_on(builder_stage: BuilderStage) -> None:
    conduct = Conduct(outcome=WireOutcome.DEPFAIL, dependencies=("libnowhere-dev",))
    _, end = built(builder_stage, Script(conducts=(conduct,)))
    assert (end.outcome, end.dependencies) == (Outcome.DEPFAIL, ("libnowhere-dev",))


def test_a_full_disk_is_waited_out_and_nobody_is_blamed(
    builder_stage: BuilderStage, monkeypatch: pytest.MonkeyPatch
) -> None:
    builder_stage.use(librarian_retry=0.05)
    refusals = {"append_log": 2, "write_result": 2, "keep_result": 1}

    def refusing(name: str) -> None:
        real = getattr(AttemptFiles, name)

        def act(files: AttemptFiles, *args: object, **more: object) -> object:
            if refusals[name] > 0:
                refusals[name] -= 1
                if name == "append_log":
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                files._forget_incoming()
                raise LibrarianUnwritable(os.strerror(errno.ENOSPC))
            return real(files, *args, **more)

        monkeypatch.setattr(AttemptFiles, name, act)

    for name in refusals:
        refusing(name)
    log = b"0123456789" * 60
    _, end = built(builder_stage, Script(conducts=(Conduct(log=log),)))
    assert end.outcome is Outcome.OK
    assert not any(refusals.values())
    assert end.log is not None
    packed = builder_stage.librarian.path(end.log.content.sha256).read_bytes()
    assert zstandard.ZstdDecompressor().stream_reader(packed).read() == log


def test_a_file_that_the_librarian_lost_is_the_masters_own_fault(builder_stage: BuilderStage) -> None:
    slave = builder_stage.slaves.add("bob")
    builder = builder_stage.builder(slave.url)
    builder.wait_told(Ready)
    order = builder_stage.order()
    builder_stage.librarian.path(order.chroot.sha256).unlink()
    builder.hear(Assign("bob", 1, order))
    refused = builder.wait_told(JobRefused)
    assert order.chroot.sha256 in refused.why
    assert not builder.heard(Finished)


def test_a_long_log_is_compressed_in_steps(builder_stage: BuilderStage) -> None:
    log = os.urandom(1 << 20) * 13
    builder, end = built(builder_stage, Script(conducts=(Conduct(log=log),)))
    assert end.log is not None
    packed = builder_stage.librarian.path(end.log.content.sha256).read_bytes()
    assert digest(zstandard.ZstdDecompressor().stream_reader(packed).read()) == digest(log)
    assert builder.occupation() == f"attempt {end.attempt}"


def test_the_state_that_lasts_is_told_and_a_busy_cycle_is_not(builder_stage: BuilderStage) -> None:
    slave = builder_stage.slaves.add("bob", Script(conducts=(Conduct(hangs=True),)))
    builder = builder_stage.builder(slave.url)
    builder.wait_told(RuntimeChanged, lambda told: told.state is RuntimeState.IDLE and told.connected)
    builder.hear(Assign("bob", 1, builder_stage.order()))
    builder.wait_told(RuntimeChanged, lambda told: told.state is RuntimeState.BUILDING)
    builder_stage.slaves.call(slave.finish)
    builder.wait_told(RuntimeChanged, lambda told: told.state is RuntimeState.GATHERING)


def test_a_silent_master_sends_heartbeats(builder_stage: BuilderStage) -> None:
    builder_stage.use(heartbeat=0.05)
    slave = builder_stage.slaves.add("bob")
    builder = builder_stage.builder(slave.url)
    builder.wait_until(lambda: sum(isinstance(passed.message, Heartbeat) for passed in slave.heard) > 2)


def test_a_retired_builder_leaves(builder_stage: BuilderStage) -> None:
    builder = builder_stage.builder(builder_stage.slaves.add("bob").url)
    builder.wait_told(Ready)
    builder.receive(Retire("bob"), None)
    assert builder.left


def test_messages_for_another_builder_are_dropped(builder_stage: BuilderStage) -> None:
    builder = builder_stage.builder(builder_stage.slaves.add("bob").url)
    builder.wait_told(Ready)
    builder.hear(Assign("frog", 1, builder_stage.order()))
    assert builder.occupation() == ""


def test_changed_settings_change_the_cores_timers_and_log_lines_tell_what_they_are_about(
    builder_stage: BuilderStage,
) -> None:
    slave = builder_stage.slaves.add("bob", Script(conducts=(Conduct(hangs=True),)))
    builder = builder_stage.builder(slave.url)
    builder.wait_told(Ready)
    assert builder.about() == {"builder": "bob"}
    builder_stage.use(heartbeat=0.05)
    builder.receive(SettingsChanged(builder_stage.settings), None)
    builder.wait_until(lambda: sum(isinstance(passed.message, Heartbeat) for passed in slave.heard) > 2)
    order = builder_stage.order()
    builder.hear(Assign("bob", 1, order))
    assert builder.about() == {"builder": "bob", "build": order.build, "attempt": str(order.attempt)}
