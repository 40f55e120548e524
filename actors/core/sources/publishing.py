"""What the publication of a source does to those that are there (dispatch-rules §1: a source counts while it is PUBLISHED).

One version of a source counts in each archive, series and pocket: the newest, as dpkg compares versions.  Pure; the
shell is the room `publishing`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from actors.core.sources.making import Refused, in_short
from storage.records import Pocket, Publication, PublishingStatus

LIVE = frozenset({PublishingStatus.PENDING, PublishingStatus.PUBLISHED})


def superseded(
    version: str, series: Collection[str], pocket: Pocket, there: Iterable[Publication]
) -> tuple[Publication, ...] | Refused:
    """Return the publications that a version supersedes: the older ones of its series and pocket.

    A version that is not newer than what counts there is refused: it would be superseded in the moment in which it is
    published, and nothing of it be built.

    Args:
        version: of the source that is to be published.
        series: names of the series it is to be published in, as `hoary`.
        pocket: of each of them.
        there: publications of sources of this name in the archive.
    """
    from debian.debian_support import Version  # noqa: PLC0415 - takes 60 ms, and most commands submit nothing

    same_place = [
        one
        for one in there
        if one.series in series and one.pocket is pocket and one.status in LIVE and one.version != version
    ]
    try:
        new = Version(version)
        stronger = [one for one in same_place if Version(one.version) >= new]
    except ValueError as error:  # plain SQL may have put anything there
        return Refused(f"{error} can't be compared: withdraw it with `buildd-master archive unpublish`")
    if stronger:
        newest = max(stronger, key=lambda one: Version(one.version))
        where = in_short([f"{one.series} {one.pocket}" for one in stronger if one.version == newest.version], ", ", 3)
        how = "is older" if Version(newest.version) > new else "is the same to dpkg"
        return Refused(
            f"{newest.source} {newest.version} is published in {newest.archive} for {where}, and {version} {how}: give it "
            f"a higher version, or withdraw that one with `buildd-master archive unpublish`"
        )
    return tuple(same_place)


def withdrawn(
    there: Iterable[Publication], *, version: str | None, series: Collection[str], pocket: Pocket | None
) -> tuple[Publication, ...]:
    """Return the publications that are meant by what was said of them; None and no series: whatever they are.

    A version is meant as it is written, not as dpkg compares it.
    """
    return tuple(
        one
        for one in there
        if one.status in LIVE
        and version in {None, one.version}
        and (not series or one.series in series)
        and pocket in {None, one.pocket}
    )
