"""Builders, and who may say that they are ok.  On PostgreSQL and in memory."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import BadValue, BuilderExists, SlaveTaken, UnknownBuilder, UnknownFamily
from storage.records import BuildState, NotOkBy, NotOkKind, Outcome, RuntimeState
from storage.words.builders import slave_url
from tests.fix_storage import Stage

HEALING = [NotOkKind.UNREACHABLE, NotOkKind.CRASH, NotOkKind.MISFIT]


def test_a_new_builder_is_ok_and_knows_the_architectures_of_its_families(stage: Stage) -> None:
    with stage.acting("cli"):
        bob = stage.builders.add(
            "bob", "buildd://bob.example:8221", ("x86", "amd64", "x86"), trusted=True, tags=("gpu", "big")
        )
    assert (bob.builderok, bob.failnotes, bob.notok_by, bob.manual, bob.trusted) == (True, "", None, False, True)
    assert (bob.families, bob.architectures, bob.tags) == (("amd64", "x86"), ("amd64", "i386"), ("big", "gpu"))
    assert stage.builders.get("bob") == bob
    stage.builder("ann")
    assert [builder.name for builder in stage.builders.all()] == ["ann", "bob"]


def test_two_builders_of_one_name_are_refused_and_the_first_stays(stage: Stage) -> None:
    stage.builder("bob")
    with pytest.raises(BuilderExists, match="'bob' already"), stage.acting("cli"):
        stage.builders.add("bob", "buildd://127.0.0.1:9999", ("amd64",))
    assert stage.builders.get("bob").families == ("x86",)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("bob", "the scheme must be buildd"),
        ("", "the scheme must be buildd"),
        ("https://bob:8221", "the scheme must be buildd, or http"),
        ("buildd://", "the host is missing"),
        ("buildd://:8221", "the host is missing"),
        ("buildd://b ob:8221", "the host is missing"),
        ("buildd://bob", "the port is missing"),
        ("buildd://bob:0", "the port is missing"),
        ("buildd://bob:99999", "Port out of range"),
        ("buildd://bob:eight", "Port could not be cast"),
        ("buildd://[::1", "Invalid IPv6"),
        ("buildd://me:secret@bob:8221", "name and password"),
        ("buildd://bob:8221/path", "nothing may follow"),
    ],
)
def test_a_url_that_is_none_is_refused_with_what_is_wrong(stage: Stage, url: str, why: str) -> None:
    with pytest.raises(BadValue, match=why), stage.acting("cli"):
        stage.builders.add("bob", url, ("x86",))
    stage.builder("ann")
    with pytest.raises(BadValue, match="buildd://HOST:PORT"), stage.acting("cli"):
        stage.builders.change("ann", url=url)
    assert [(builder.name, builder.url) for builder in stage.builders.all()] == [("ann", "buildd://ann.example:8221")]


@pytest.mark.slow
@given(st.text())
def test_any_text_is_a_url_or_a_bad_value(text: str) -> None:
    for url in (text, f"buildd://{text}", f"buildd://{text}:8221", f"buildd://bob:8221{text}"):
        with suppress(BadValue):
            assert slave_url(slave_url(url)) == slave_url(url)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("buildd://[::1]:8221", "buildd://[::1]:8221"),
        ("buildd://127.0.0.1:1", "buildd://127.0.0.1:1"),
        ("buildd://Bob.example:65535/", "buildd://bob.example:65535"),
        ("buildd://localhost:8221", "buildd://127.0.0.1:8221"),
    ],
)
def test_addresses_of_all_kinds_are_urls_and_kept_in_one_way_of_writing(stage: Stage, url: str, kept: str) -> None:
    with stage.acting("cli"):
        assert stage.builders.add("bob", url, ("x86",)).url == kept


@pytest.mark.parametrize("same", ["buildd://127.0.0.1:8221", "buildd://localhost:8221", "buildd://LocalHost:8221/"])
def test_one_slave_is_one_builder(stage: Stage, same: str) -> None:
    with stage.acting("cli"):
        stage.builders.add("bob", "buildd://127.0.0.1:8221", ("x86",), trusted=True)
        stage.builders.add("ann", "buildd://127.0.0.1:8222", ("x86",))
    with pytest.raises(SlaveTaken, match="'bob' already: one slave is one builder"), stage.acting("cli"):
        stage.builders.add("dup", same, ("x86",))
    with pytest.raises(SlaveTaken, match="'bob' already"), stage.acting("cli"):
        stage.builders.change("ann", url=same)
    with stage.acting("cli"):
        assert stage.builders.change("bob", url=same, manual=True).manual
    assert [(one.name, one.url) for one in stage.builders.all()] == [
        ("ann", "buildd://127.0.0.1:8222"),
        ("bob", "buildd://127.0.0.1:8221"),
    ]


@pytest.mark.parametrize("name", ["", "Bob", "b/ob", "-bob", "b" * 65, "b\nob", "böb"])
def test_names_that_can_not_be_are_refused(stage: Stage, name: str) -> None:
    with pytest.raises(BadValue, match="can't be"), stage.acting("cli"):
        stage.builders.add(name, "buildd://127.0.0.1:8221", ("x86",))
    with pytest.raises(BadValue, match="can't be"), stage.acting("cli"):
        stage.builders.add("bob", "buildd://127.0.0.1:8221", ("x86",), tags=(name,))


@pytest.mark.parametrize("name", ["supervisor", "queue", "console", "nursery-1"])
def test_names_of_other_actors_are_taken(stage: Stage, name: str) -> None:
    with pytest.raises(BadValue, match="an actor of the farm has this name"), stage.acting("cli"):
        stage.builders.add(name, "buildd://127.0.0.1:8221", ("x86",))


def test_an_unknown_family_is_named_beside_those_there_are(stage: Stage) -> None:
    with pytest.raises(UnknownFamily, match=r"'pdp11'.*amd64"), stage.acting("cli"):
        stage.builders.add("bob", "buildd://127.0.0.1:8221", ("x86", "pdp11"))
    with pytest.raises(BadValue, match="at least one processor family"), stage.acting("cli"):
        stage.builders.add("bob", "buildd://127.0.0.1:8221", ())
    stage.builder("bob")
    with pytest.raises(UnknownFamily), stage.acting("cli"):
        stage.builders.change("bob", families=("pdp11",), manual=True)
    assert not stage.builders.get("bob").manual


def test_a_change_leaves_alone_what_it_does_not_name(stage: Stage) -> None:
    stage.builder("bob")
    before = stage.builders.get("bob")
    with stage.acting("cli"):
        after = stage.builders.change("bob", manual=True, tags=("gpu",))
    assert (after.manual, after.tags) == (True, ("gpu",))
    assert (after.url, after.families, after.trusted) == (before.url, before.families, before.trusted)
    with stage.acting("cli"):
        assert not stage.builders.change("bob", manual=False, tags=()).tags


def test_what_is_not_there_is_named(stage: Stage) -> None:
    with pytest.raises(UnknownBuilder, match="'frog'"), stage.acting("cli"):
        stage.builders.get("frog")
    with pytest.raises(UnknownBuilder, match="'frog'"), stage.acting("cli"):
        stage.builders.change("frog", manual=True)
    with pytest.raises(UnknownBuilder, match="'frog'"), stage.acting("cli"):
        stage.builders.set_ok("frog", ok=True)
    with pytest.raises(UnknownBuilder, match="'frog'"), stage.acting("cli"):
        stage.builders.remove("frog")
    with pytest.raises(UnknownBuilder, match="'frog'"), stage.acting("queue"):
        stage.builders.mark_not_ok("frog", "", NotOkKind.CRASH)
    with pytest.raises(UnknownBuilder, match="'frog'"), stage.acting("queue"):
        stage.builders.heal("frog")
    with pytest.raises(UnknownBuilder, match="'frog'"), stage.acting("queue"):
        stage.builders.open_session("frog")
    with pytest.raises(UnknownBuilder, match="'frog'"), stage.acting("queue"):
        stage.builders.record_runtime("frog", RuntimeState.IDLE, connected=True)


@pytest.mark.parametrize("kind", HEALING)
def test_what_the_machine_marked_heals(stage: Stage, kind: NotOkKind) -> None:
    stage.builder("frog")
    notes = "connection to 127.0.0.1 port 8221 refused: Connection refused"
    with stage.acting("queue"):
        assert stage.builders.mark_not_ok("frog", notes, kind)
    frog = stage.builders.get("frog")
    assert (frog.builderok, frog.failnotes) == (False, notes)
    assert (frog.notok_by, frog.notok_kind) == (NotOkBy.MACHINE, kind)
    with stage.acting("queue"):
        assert stage.builders.heal("frog")
    frog = stage.builders.get("frog")
    assert (frog.builderok, frog.failnotes, frog.notok_by, frog.notok_kind) == (True, "", None, None)
    with stage.acting("queue"):
        assert not stage.builders.heal("frog")


def test_what_a_person_marked_only_a_person_clears(stage: Stage) -> None:
    stage.builder("bob")
    with stage.acting("anna"):
        stage.builders.set_ok("bob", ok=False, notes="being repaired")
    with stage.acting("queue"):
        assert not stage.builders.mark_not_ok("bob", "no answer", NotOkKind.UNREACHABLE)
        assert not stage.builders.heal("bob")
    bob = stage.builders.get("bob")
    assert (bob.builderok, bob.failnotes, bob.notok_by) == (False, "being repaired", NotOkBy.PERSON)
    with stage.acting("anna"):
        assert stage.builders.set_ok("bob", ok=True).builderok


def test_a_person_may_take_over_what_the_machine_marked(stage: Stage) -> None:
    stage.builder("bob")
    with stage.acting("queue"):
        stage.builders.mark_not_ok("bob", "no answer", NotOkKind.UNREACHABLE)
    with stage.acting("anna"):
        stage.builders.set_ok("bob", ok=False, notes="I pulled the plug")
    with stage.acting("queue"):
        assert not stage.builders.heal("bob")


def test_an_isolation_breach_does_not_heal_nor_turn_into_what_does(stage: Stage) -> None:
    stage.builder("bob")
    with stage.acting("queue"):
        stage.builders.mark_not_ok("bob", "crashed", NotOkKind.CRASH)
        assert stage.builders.mark_not_ok("bob", "was dirty", NotOkKind.BREACH)
        assert not stage.builders.mark_not_ok("bob", "no answer", NotOkKind.UNREACHABLE)
        assert not stage.builders.heal("bob")
    assert stage.builders.get("bob").failnotes == "was dirty"


def test_lowering_trust_fences_a_trusted_build_and_gives_the_job_back(stage: Stage) -> None:
    job = stage.job()
    attempt = stage.claim(job, stage.builder("bob"))
    with stage.acting("anna"):
        stage.builders.change("bob", trusted=False)
    closed = stage.queue.attempt(attempt.id)
    assert (closed.outcome, closed.text) == (Outcome.FENCED, "bob is not trusted any more")
    again = stage.queue.job(job.id)
    assert (again.builder, again.buildstart, again.created, again.state) == (
        None,
        None,
        job.created,
        BuildState.NEEDSBUILD,
    )
    assert stage.builders.get("bob").builderok
    assert stage.queue.open_attempts() == ()


def test_lowering_trust_while_a_build_is_being_cancelled_cancels_it(stage: Stage) -> None:
    job = stage.job()
    stage.claim(job, stage.builder("bob"))
    with stage.acting("anna"):
        stage.builds.cancel(job.build)
        stage.builders.change("bob", trusted=False)
    assert stage.builds.get(job.build).state == BuildState.CANCELLED


def test_raising_trust_lets_an_untrusted_build_go_on_and_count(stage: Stage) -> None:
    job = stage.job("foo", "cprov/ppa")
    attempt = stage.claim(job, stage.builder("bob", trusted=False))
    with stage.acting("anna"):
        stage.builders.change("bob", trusted=True)
    assert stage.queue.open_attempts() == (attempt,)
    assert not attempt.trusted
    with stage.acting("queue"):
        stage.queue.record(attempt.id, Outcome.OK, "", build_state=BuildState.FULLYBUILT, keep_job=False)
    assert stage.builds.get(job.build).state == BuildState.FULLYBUILT


def test_raising_and_lowering_again_leaves_an_untrusted_build_alone(stage: Stage) -> None:
    attempt = stage.claim(stage.job("foo", "cprov/ppa"), stage.builder("bob", trusted=False))
    with stage.acting("anna"):
        stage.builders.change("bob", trusted=True)
        stage.builders.change("bob", trusted=False)
    assert stage.queue.open_attempts() == (attempt,)


def test_removing_a_builder_fences_its_build_and_keeps_its_attempts(stage: Stage) -> None:
    job = stage.job()
    attempt = stage.claim(job, stage.builder("bob"))
    with stage.acting("anna"):
        stage.builders.remove("bob")
    assert stage.builders.all() == ()
    assert stage.builders.runtimes() == ()
    assert stage.queue.job(job.id).builder is None
    (closed,) = stage.builds.attempts(job.build)
    assert (closed.id, closed.builder, closed.outcome) == (attempt.id, "bob", Outcome.FENCED)


def test_session_epochs_rise_over_all_builders(stage: Stage) -> None:
    stage.builder("bob")
    stage.builder("eve")
    epochs = [stage.builders.open_session(name) for name in ("bob", "eve", "bob")]
    assert epochs == sorted(set(epochs))


def test_what_actors_say_is_kept_with_the_time_it_began(stage: Stage) -> None:
    stage.builder("bob")
    (first,) = stage.builders.runtimes()
    assert (first.builder, first.state, first.connected) == ("bob", RuntimeState.DISCONNECTED, False)
    last = stage.events.last_id()
    with stage.acting("queue"):
        stage.builders.record_runtime("bob", RuntimeState.IDLE, connected=True)
    (idle,) = stage.builders.runtimes()
    with stage.acting("queue"):
        stage.builders.record_runtime("bob", RuntimeState.IDLE, connected=True)
    assert stage.builders.runtimes() == (idle,)
    with stage.acting("queue"):
        stage.builders.record_runtime("bob", RuntimeState.BUILDING, connected=True, deadline=idle.since)
    (building,) = stage.builders.runtimes()
    assert (building.state, building.deadline, building.failures_in_row) == (RuntimeState.BUILDING, idle.since, 0)
    assert building.since > idle.since
    assert stage.events.last_id() == last


def test_restricted_tags_are_said_and_taken_back_like_others(stage: Stage) -> None:
    with stage.acting("cli"):
        bob = stage.builders.add(
            "bob", "buildd://bob.example:8221", ("x86",), tags=("big",), restricted_tags=("kvm", "gpu", "kvm")
        )
        assert (bob.tags, bob.restricted_tags) == (("big",), ("gpu", "kvm"))
        assert stage.builders.change("bob", manual=True).restricted_tags == ("gpu", "kvm")
        assert stage.builders.change("bob", restricted_tags=("gpu",)).restricted_tags == ("gpu",)
        assert stage.builders.change("bob", restricted_tags=()).restricted_tags == ()
    for odd in ("", "A", "a b"):
        with pytest.raises(BadValue, match="tag"), stage.acting("cli"):
            stage.builders.change("bob", restricted_tags=(odd,))
        with pytest.raises(BadValue, match="tag"), stage.acting("cli"):
            stage.builders.add("eve", "buildd://eve.example:8221", ("x86",), restricted_tags=(odd,))
    assert [one.name for one in stage.builders.all()] == ["bob"]
