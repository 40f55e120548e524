"""What others see of a private archive's builds."""

from __future__ import annotations

from dataclasses import fields, replace
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.core.dispatch.explain import BuilderAnswer, Explanation, Snapshot, views
from actors.core.dispatch.reasons import Reason, ReasonCode
from actors.core.dispatch.score import score
from actors.core.people.private import (
    ARCHIVE,
    SOURCE,
    seen_archives,
    seen_attempts,
    seen_build,
    seen_explanation,
    seen_jobs,
)
from actors.core.people.roles import Caller
from storage.records import (
    ADMINS,
    Archive,
    ArchivePurpose,
    Attempt,
    Build,
    Builder,
    BuilderRuntime,
    BuildState,
    Job,
    Limits,
    Outcome,
    Person,
    Pocket,
    RuntimeState,
    Urgency,
)

NOW = datetime(2026, 1, 1, tzinfo=UTC)
SECRET = "kimono"  #: stands in everything that an archive keeps to itself
PPA = Archive(3, "cprov/ppa", "ubuntu", ArchivePurpose.PPA, "cprov", True, True, 0, Limits())
BUILD = Build(
    id=17,
    source=SECRET,
    version=f"1.0-{SECRET}",
    archive=f"cprov/{SECRET}",
    distroarchseries="ubuntu/hoary/i386",
    architecture="i386",
    family="x86",
    pocket=Pocket.RELEASE,
    component="main",
    urgency=Urgency.LOW,
    trusted=False,
    arch_indep=False,
    state=BuildState.MANUALDEPWAIT,
    dependencies=(f"lib{SECRET}-dev",),
    why=f"missing: lib{SECRET}-dev",
    created=NOW,
    started=NOW,
    ended=NOW,
    builder="bob",
    limits=Limits(processes=100),
    owner="cprov",
    private=True,
    tags=(SECRET,),
)
#: what everybody sees of a build, and of a job; a field that is new belongs here or into `seen_build` or `seen_explanation`
OPEN_OF_BUILD = frozenset(
    [
        "id",
        "distroarchseries",
        "architecture",
        "family",
        "pocket",
        "component",
        "urgency",
        "trusted",
        "arch_indep",
        "state",
        "created",
        "started",
        "ended",
        "builder",
        "private",
    ]
)
OPEN_OF_JOB = frozenset(
    [
        "id",
        "build",
        "family",
        "trusted",
        "distroarchseries",
        "pocket",
        "component",
        "urgency",
        "purpose",
        "private",
        "relative_score",
        "manual_score",
        "created",
        "builder",
        "buildstart",
        "state",
        "has_chroot",
        "archive_enabled",
        "series_status",
        "published",
        "assigned",
        "cooling_until",
        "given_back",
        "excluded",
        "chroot_held_back",
        "suspect",
    ]
)
OPEN_OF_ATTEMPT = frozenset(
    [
        "id",
        "build",
        "job",
        "builder",
        "session",
        "trusted",
        "started",
        "deadline",
        "ended",
        "outcome",
        "charged",
        "builder_induced",
    ]
)
JOB = Job(
    id=3,
    build=17,
    source=SECRET,
    version=f"1.0-{SECRET}",
    family="x86",
    trusted=False,
    archive=f"cprov/{SECRET}",
    distroarchseries="ubuntu/hoary/i386",
    pocket=Pocket.RELEASE,
    component="main",
    urgency=Urgency.LOW,
    purpose=ArchivePurpose.PPA,
    owner="cprov",
    private=True,
    relative_score=0,
    manual_score=None,
    created=NOW,
    builder=None,
    buildstart=None,
    state=BuildState.NEEDSBUILD,
    has_chroot=True,
    archive_enabled=True,
    files_missing=(f"{SECRET}.dsc",),
    tags=(SECRET,),
)
TOLD = Explanation(
    job=JOB,
    score=score(JOB),
    position=1,
    queue_length=1,
    job_reason=Reason(ReasonCode.FILES_MISSING, f"no content yet for {SECRET}.dsc", (("files", SECRET),)),
    builders=(
        BuilderAnswer("bob", Reason(ReasonCode.TRUST_MISMATCH, f"not for {SECRET}")),
        BuilderAnswer("frog", None),
    ),
)
ATTEMPT = Attempt(
    id=UUID(int=1),
    build=17,
    job=3,
    builder="bob",
    session=1,
    trusted=False,
    started=NOW,
    deadline=NOW,
    ended=NOW,
    outcome=Outcome.DEPFAIL,
    text=f"missing: lib{SECRET}-dev",
    log=5,
    limits=Limits(processes=100),
    limits_from=("processes=build",),
    verdict=f"{SECRET} can't be built",
)

MALLORY = Caller("mallory", Person(7, "mallory"))
READERS = [
    Caller("root"),
    Caller("anna", Person(8, "anna", (ADMINS,))),
    Caller("cprov", Person(9, "cprov")),
    Caller("bea", Person(10, "bea", ("cprov",))),  # a team of that name
]


def test_others_see_that_there_is_a_build_and_nothing_that_its_archive_keeps_to_itself() -> None:
    seen = seen_build(MALLORY, BUILD)
    assert (seen.source, seen.archive, seen.private) == (SOURCE, ARCHIVE, True)
    shown = {field.name for field in fields(Build) if getattr(seen, field.name) == getattr(BUILD, field.name)}
    assert shown == OPEN_OF_BUILD
    assert SECRET not in repr(seen)
    assert "cprov" not in repr(seen)


def test_others_see_where_a_job_stands_and_reasons_by_their_codes() -> None:
    seen = seen_explanation(MALLORY, TOLD)
    shown = {field.name for field in fields(Job) if getattr(seen.job, field.name) == getattr(JOB, field.name)}
    assert shown == OPEN_OF_JOB
    assert SECRET not in repr(seen)
    assert "cprov" not in repr(seen)
    assert (seen.position, seen.queue_length) == (1, 1)
    assert seen.job_reason == Reason(ReasonCode.FILES_MISSING, "files missing")
    assert [one.reason and one.reason.words for one in seen.builders] == ["trust mismatch", None]


def test_no_answer_about_another_job_names_a_private_one() -> None:
    other = replace(
        JOB, id=4, build=18, private=False, source="foo", version="1", archive="cprov/ppa", files_missing=(), tags=()
    )
    builder = Builder(
        id=1,
        name="bob",
        url="buildd://127.0.0.1:8221",
        families=("x86",),
        trusted=False,
        builderok=True,
        failnotes="",
        notok_by=None,
        notok_kind=None,
        manual=False,
        tags=(),
        architectures=("i386",),
    )
    at_work = BuilderRuntime("bob", RuntimeState.BUILDING, True, NOW, None, None, 0)
    running = replace(JOB, builder="bob", state=BuildState.BUILDING, buildstart=NOW)
    seen = seen_jobs(MALLORY, (running, other))
    told = Snapshot(seen, views((builder,), (at_work,), seen))
    assert SECRET not in repr(seen[0].source + seen[0].version + seen[0].archive + "".join(seen[0].files_missing))
    assert SECRET not in repr(told.explain(other.id))
    assert SOURCE in repr(told.explain(other.id))
    assert told.explain(other.id) == Snapshot((seen[0], other), told.builders).explain(other.id)
    assert seen_jobs(READERS[0], (running, other)) == (running, other)


def test_others_see_when_and_where_it_was_tried() -> None:
    (seen,) = seen_attempts(MALLORY, BUILD, [ATTEMPT])
    assert (seen.builder, seen.outcome, seen.text, seen.log, seen.limits_from) == ("bob", Outcome.DEPFAIL, "", None, ())
    shown = {field.name for field in fields(Attempt) if getattr(seen, field.name) == getattr(ATTEMPT, field.name)}
    assert shown == OPEN_OF_ATTEMPT
    assert SECRET not in repr(seen)


@pytest.mark.parametrize("caller", READERS, ids=lambda caller: caller.name)
def test_who_may_read_it_sees_it_whole(caller: Caller) -> None:
    assert seen_build(caller, BUILD) == BUILD
    assert seen_explanation(caller, TOLD) == TOLD
    assert seen_attempts(caller, BUILD, [ATTEMPT]) == (ATTEMPT,)
    assert seen_archives(caller, [PPA]) == (PPA,)


def test_what_is_public_is_seen_whole_by_everybody() -> None:
    public: dict[str, Any] = {"private": False}
    assert seen_build(MALLORY, replace(BUILD, **public)) == replace(BUILD, **public)
    told = replace(TOLD, job=replace(JOB, **public))
    assert seen_explanation(MALLORY, told) == told
    assert seen_archives(MALLORY, [PPA, replace(PPA, **public)]) == (replace(PPA, **public),)


@given(st.text(), st.text(), st.text(), st.lists(st.text()))
def test_two_private_builds_look_the_same_to_others_whatever_they_are_of(
    source: str, version: str, why: str, dependencies: list[str]
) -> None:
    other = replace(BUILD, source=source, version=version, why=why, dependencies=tuple(dependencies))
    assert seen_build(MALLORY, other) == seen_build(MALLORY, BUILD)
