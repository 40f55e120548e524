"""What others see of a private archive's builds: that there is one, where it stands and runs, and no more.

A builder is busy, a queue has a length and an order: whoever looks at the farm sees these, and so the row.  What the
archive keeps to itself are the names of source and archive, words of slaves and people about it, files and logs.
`actors.core.people.roles` says who may read them; files and logs are refused there.  Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Final

from actors.core.dispatch.explain import Explanation
from actors.core.dispatch.reasons import Reason
from actors.core.people.roles import Action, Caller, permit
from storage.records import Archive, Attempt, Build, Job, Limits

# Nothing of the farm can be called so: names have no blanks.
SOURCE: Final = "private source"
ARCHIVE: Final = "private archive"
FILE: Final = "private file"


def readable(caller: Caller, subject: Archive | Build | Job) -> bool:
    """Return whether `caller` may read everything about this."""
    return permit(caller, Action.READ_FILES, subject) is None


def seen_archives(caller: Caller, archives: Iterable[Archive]) -> tuple[Archive, ...]:
    """Return the archives that `caller` may know of."""
    return tuple(one for one in archives if readable(caller, one))


def seen_build(caller: Caller, build: Build) -> Build:
    """Return a build as `caller` sees it."""
    if readable(caller, build):
        return build
    return replace(
        build,
        source=SOURCE,
        version="",
        archive=ARCHIVE,
        dependencies=(),
        why="",
        limits=Limits(),
        tags=(),
        owner=None,
    )


def seen_attempts(caller: Caller, build: Build, attempts: Iterable[Attempt]) -> tuple[Attempt, ...]:
    """Return the attempts at a build as `caller` sees them."""
    if readable(caller, build):
        return tuple(attempts)
    return tuple(replace(one, text="", log=None, limits=Limits(), limits_from=(), verdict="") for one in attempts)


def seen_jobs(caller: Caller, jobs: Iterable[Job]) -> tuple[Job, ...]:
    """Return jobs as `caller` sees them, so that no answer about another job names them.

    What the matcher looks at is untouched: places and answers are the same.
    """
    return tuple(one if readable(caller, one) else _nameless(one) for one in jobs)


def seen_explanation(caller: Caller, told: Explanation) -> Explanation:
    """Return why a job waits as `caller` sees it: of a private archive's job each reason by its code only."""
    if readable(caller, told.job):
        return told
    job = replace(_nameless(told.job), owner=None, files_missing=(), tags=())
    answers = tuple(replace(one, reason=_in_short(one.reason)) for one in told.builders)
    return replace(told, job=job, job_reason=_in_short(told.job_reason), builders=answers)


def told_of(job: Job, text: str) -> str:
    """Return what may stand in notes that everybody reads, of a builder or a chroot, about the end of this job's attempt.

    Args:
        job: whose attempt it was.
        text: the words of slave or actor about it, which may name its files.
    """
    return f"build {job.build}, which is private: its attempts tell" if job.private else text


def _nameless(job: Job) -> Job:
    return replace(
        job, source=SOURCE, version="", archive=ARCHIVE, files_missing=tuple(FILE for _ in job.files_missing)
    )


def _in_short(reason: Reason | None) -> Reason | None:
    return None if reason is None else Reason(reason.code, reason.code.value.replace("_", " "))
