"""A source package release goes into an archive: it is published, older versions are superseded, builds are made.

`choose_places` and `plan` only look, and may be called before the files are in the librarian; `submit` writes, within
one transaction of the caller's, and decides about versions again there, while nobody else publishes sources of that name.
Decided is all of it in `actors.core`: `places`, `making`, `publishing`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TypeVar

from actors.core.people.roles import Caller
from actors.core.sources.making import (
    ArchitectureTable,
    Refused,
    SeriesBuilds,
    Step,
    builds_in,
    check_builds,
    remarks,
    step,
)
from actors.core.sources.places import Places, Wish, choose
from actors.core.sources.publishing import superseded
from publishing.stores import Stores
from storage.errors import BadValue
from storage.limits import LimitChanges
from storage.records import Build, BuildState, NewSource, Publication, PublishingStatus, StoredFile

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Plan:
    """What a submission is going to make."""

    places: Places
    series: tuple[SeriesBuilds, ...]  #: those with something to build
    remarks: tuple[str, ...]  #: for people: what they may have expected to be built, and is not


@dataclass(frozen=True, slots=True)
class Submission:
    """What is submitted."""

    source: NewSource
    contents: Mapping[str, StoredFile]  #: by filename; files without content yet keep the builds waiting
    component: str | None = None  #: that it is published in; None: the source's own
    tags: tuple[str, ...] | None = None  #: resource tags of its builds; None: none, or those that a build has already
    limits: LimitChanges = field(default_factory=lambda: MappingProxyType({}))  #: of its builds
    again: bool = False  #: what was built is built once more


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one target."""

    build: Build
    step: Step
    before: Build | None  #: the build that there was


@dataclass(frozen=True, slots=True)
class Submitted:
    """What a submission has made."""

    taken: tuple[Taken, ...]
    superseded: tuple[Publication, ...]  #: older versions that do not count any more
    waiting: int  #: builds of theirs that waited, and are superseded as well


def choose_places(stores: Stores, wish: Wish, caller: Caller) -> Places:
    """Return where a source goes; whether the caller may send one there is for the door to ask.

    Raises:
        BadValue: there is no such place, or more than one.
    """
    return _checked(choose(wish, stores.series.all(), stores.chroots.all(), stores.archives.all(), caller))


def plan(
    stores: Stores, places: Places, name: str, version: str, *, hints: Sequence[str], table: ArchitectureTable
) -> Plan:
    """Return what a submission of a source is going to make.

    Args:
        stores: only read.
        places: where it goes.
        name: of the source.
        version: of it.
        hints: its architecture hint list.
        table: dpkg's.

    Raises:
        BadValue: there is nothing to build, or the version is not newer than what counts there.
    """
    found = [
        builds_in(series, hints, places.ready, table, ppa=places.ppa, only=places.only) for series in places.series
    ]
    refused = check_builds(name, hints, found, every=places.every)
    if refused is not None:
        raise BadValue(refused.text)
    planned = Plan(places, tuple(one for one in found if one.targets), (*places.remarks, *remarks(name, found)))
    _superseded(stores, planned, name, version)
    return planned


def submit(stores: Stores, planned: Plan, submission: Submission) -> Submitted:
    """Make source, publications, builds and jobs, and supersede what is older; within the caller's transaction.

    Raises:
        BadValue, Unknown: it can't be; the caller's transaction is to be undone.
    """
    source, places = submission.source, planned.places
    stores.publications.hold(places.archive.id, source.name)
    gone = _superseded(stores, planned, source.name, source.version)
    for filename, content in submission.contents.items():
        stores.library.add(content, filename)
    release = stores.sources.add(source)
    stores.publications.publish(
        release,
        places.archive.id,
        [one.series for one in planned.series],
        places.pocket,
        submission.component or source.component,
    )
    stores.publications.set_status([one.id for one in gone], PublishingStatus.SUPERSEDED)
    waiting = stores.publications.waiting_for_nothing([one.id for one in gone])
    return Submitted(_make(stores, planned, submission, release), gone, waiting)


def _make(stores: Stores, planned: Plan, submission: Submission, release: int) -> tuple[Taken, ...]:
    """Make the builds that there are not, and queue all that are not built."""
    making, archive, pocket = stores.making, planned.places.archive.id, planned.places.pocket
    there = making.there(release, archive)
    targets = {one.distroarchseries.id: one for series in planned.series for one in series.targets}
    steps = {number: step(_state(there.get(number)), again=submission.again) for number in targets}
    builds = {number: build.id for number, build in there.items()}
    kept = [builds[number] for number, what in steps.items() if what is Step.QUEUE]
    making.change(kept, submission.limits, submission.tags)
    for what in (Step.MAKE, Step.MAKE_AGAIN):
        wanted = {number: target.arch_indep for number, target in targets.items() if steps[number] is what}
        made = making.create(
            release,
            archive,
            pocket,
            wanted,
            again=what is Step.MAKE_AGAIN,
            tags=submission.tags or (),
            limits=submission.limits,
        )
        builds |= dict(zip(wanted, made, strict=True))
    making.queue([builds[number] for number, what in steps.items() if what is not Step.KEEP])
    now = making.builds([builds[number] for number in targets])
    return tuple(
        Taken(build, what, there.get(number)) for build, (number, what) in zip(now, steps.items(), strict=True)
    )


def _state(build: Build | None) -> BuildState | None:
    return None if build is None else build.state


def _superseded(stores: Stores, planned: Plan, name: str, version: str) -> tuple[Publication, ...]:
    there = stores.publications.all(planned.places.archive.id, name, live=True)
    series = {one.series for one in planned.series}
    return _checked(superseded(version, series, planned.places.pocket, there))


def _checked(decided: T | Refused) -> T:
    if isinstance(decided, Refused):
        raise BadValue(decided.text)
    return decided
