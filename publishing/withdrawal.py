"""A source is taken out of an archive again: its publications are DELETED, and what waits to be built is superseded."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from actors.core.sources.publishing import withdrawn
from publishing.stores import Stores
from storage.errors import UnknownSource
from storage.records import Archive, Pocket, Publication, PublishingStatus


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """What does not count any more."""

    publications: tuple[Publication, ...]
    waiting: int  #: builds that waited, and are superseded


def unpublish(
    stores: Stores,
    archive: Archive,
    name: str,
    *,
    version: str | None = None,
    series: Collection[str] = (),
    pocket: Pocket | None = None,
) -> Withdrawn:
    """Delete publications of a source; within the caller's transaction.

    Args:
        stores: written.
        archive: which.
        name: of the source.
        version: only this; None: all.
        series: only in these, by name; none: in all.
        pocket: only this; None: all.

    Raises:
        UnknownSource: nothing of that is published there; says what is.
    """
    stores.publications.hold(archive.id, name)
    there = stores.publications.all(archive.id, name, live=True)
    gone = withdrawn(there, version=version, series=series, pocket=pocket)
    if not gone:
        shown = f"{name} {version}" if version else name
        raise UnknownSource(shown, known=[f"{one.version} in {one.series} {one.pocket}" for one in there])
    ids = [one.id for one in gone]
    stores.publications.set_status(ids, PublishingStatus.DELETED)
    return Withdrawn(gone, stores.publications.waiting_for_nothing(ids))
