"""Why something happened: which earlier event led to one of the event log.

A trigger writes what changed and who changed it, within the transaction of the change.  What led to it is found when
somebody asks: the latest earlier event of whatever can lead to such a change.  What people do has no cause in the farm;
what follows from it in the same transaction (a fence, a job that is gone) has.  Pure; `storage.events.log` reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from actors.core.dependencies.waits import names_what_came
from storage.records import BuildState, Event, NotOkKind, Relatives

#: Who of the event log is the farm itself, and acts because of something.
FARM: Final = frozenset({"queue", "enrolment", "webhook"})
_PUBLISHED: Final = "packages: insert"  #: what of the events that packages are published by
_SOON: Final = timedelta(minutes=1)  #: in which what a console does to an actor is seen in the rows


@dataclass(frozen=True, slots=True)
class Sought:
    """Where the cause of an event is to be sought: the latest one before it that fits."""

    subjects: tuple[str, ...]
    same_transaction: bool  #: what a person did: only what is part of it can have a cause
    what: str = ""  #: how its `what` begins
    since: datetime | None = None  #: not earlier


def sought(event: Event, kin: Relatives) -> Sought | None:
    """Return where the cause of `event` is to be sought; None: it has none."""
    deed = _deed(event, kin)
    if deed:
        return Sought((event.subject,), same_transaction=False, what=deed, since=event.at - _SOON)
    if _released(event) and kin.archives:
        return Sought(tuple(f"archive:{one}" for one in kin.archives), same_transaction=False, what=_PUBLISHED)
    subjects = tuple(one for one in _subjects(event, kin) if one)
    return Sought(subjects, event.who not in FARM) if subjects else None


def _subjects(event: Event, kin: Relatives) -> tuple[str, ...]:
    attempts = tuple(f"attempt:{one}" for one in kin.attempts)
    jobs = tuple(f"job:{one}" for one in kin.jobs)
    build = "" if kin.build is None else f"build:{kin.build}"
    match event.subject.partition(":")[0], event.what:
        case "build", "insert":
            return ("" if kin.source is None else f"source:{kin.source}",)
        case "build", _:
            return (*attempts, *jobs)
        case "job", "insert":
            return (build,)
        case "job", _:
            return (build, *attempts)
        case "attempt", "insert":
            return jobs
        case "attempt", _:
            return (event.subject, build, "" if kin.builder is None else f"builder:{kin.builder}", *jobs)
        case "build_file", _:
            return attempts
        case "archive", what if what.startswith(_PUBLISHED):
            return (build,)
        case "builder", what if "failures_in_row" in what or "quarantine" in what or _blamed(event):
            return tuple(f"attempt:{one}" for one in kin.last_attempts)
        case _:
            return ()


def _released(event: Event) -> bool:
    """Return whether a build was queued because a package came that it lacked (`actors.core.dependencies.waits`)."""
    after = event.after or {}
    return event.who in FARM and after.get("state") == BuildState.NEEDSBUILD and names_what_came(event.why)


def _deed(event: Event, kin: Relatives) -> str:
    """Return how the deed of a debug console is noted that may have ended this builder's actor; empty: none has."""
    failnotes = (event.after or {}).get("failnotes")
    if failnotes is None or kin.notok_kind is not NotOkKind.CRASH:
        return ""
    return "console: crash" if "InjectedCrash" in str(failnotes) else "console: kill"


def _blamed(event: Event) -> bool:
    """Return whether a builder was marked for what its attempts came to."""
    return (event.after or {}).get("notok_kind") in {NotOkKind.FAILURES, NotOkKind.BLACKHOLE}
