"""What a publication supersedes: `actors.core.sources.publishing`."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from debian.debian_support import Version
from hypothesis import given
from hypothesis import strategies as st

from actors.core.sources.making import Refused
from actors.core.sources.publishing import LIVE, superseded, withdrawn
from storage.errors import BadValue
from storage.records import Pocket, Publication, PublishingStatus
from storage.words.sources import check_version

HOARY = Publication(
    id=1,
    source_id=1,
    source="foo",
    version="1.0-1",
    archive="primary",
    series="hoary",
    pocket=Pocket.RELEASE,
    component="main",
    status=PublishingStatus.PUBLISHED,
    created=datetime.now(UTC),
)

VERSIONS = ("1.0-1", "1.0-2", "1.0-10", "1.0~rc1-1", "1:0.1", "1.00-1", "0")
STORED = st.from_regex(r"([0-9]{1,3}:)?[0-9A-Za-z][0-9A-Za-z.+:~-]{0,12}", fullmatch=True)
PLACES = st.builds(
    lambda number, version, series, pocket, status: replace(
        HOARY, id=number, version=version, series=series, pocket=pocket, status=status
    ),
    st.integers(1, 99),
    st.sampled_from(VERSIONS),
    st.sampled_from(["hoary", "warty", "sid"]),
    st.sampled_from([Pocket.RELEASE, Pocket.SECURITY]),
    st.sampled_from(list(PublishingStatus)),
)


@pytest.mark.parametrize("version", ["1.0-2", "1.0-10", "1:0.1", "1.0-1+b1", "1.0.1"])
def test_a_newer_version_supersedes_the_older_one(version: str) -> None:
    assert superseded(version, {"hoary"}, Pocket.RELEASE, [HOARY]) == (HOARY,)


@pytest.mark.parametrize("version", ["1.0~rc1-1", "0.9", "1.0-0", "1.0"])
def test_an_older_version_is_refused_with_the_way_out(version: str) -> None:
    refused = superseded(version, {"hoary"}, Pocket.RELEASE, [HOARY])
    assert isinstance(refused, Refused)
    assert f"foo 1.0-1 is published in primary for hoary RELEASE, and {version} is older: give it" in refused.text
    assert "`buildd-master archive unpublish`" in refused.text


def test_a_version_that_is_the_same_to_dpkg_but_written_otherwise_is_refused() -> None:
    refused = superseded("0:1.0-1", {"hoary"}, Pocket.RELEASE, [HOARY])
    assert isinstance(refused, Refused)
    assert "0:1.0-1 is the same to dpkg" in refused.text


def test_the_very_version_published_again_supersedes_nothing() -> None:
    assert superseded("1.0-1", {"hoary"}, Pocket.RELEASE, [HOARY]) == ()


def test_other_series_and_pockets_keep_their_versions() -> None:
    assert superseded("2", {"warty"}, Pocket.RELEASE, [HOARY]) == ()
    assert superseded("2", {"hoary"}, Pocket.SECURITY, [HOARY]) == ()
    assert superseded("0.1", {"hoary"}, Pocket.SECURITY, [HOARY]) == ()


@pytest.mark.parametrize("status", [PublishingStatus.DELETED, PublishingStatus.SUPERSEDED])
def test_what_does_not_count_any_more_neither_refuses_nor_is_superseded(status: PublishingStatus) -> None:
    gone = replace(HOARY, status=status)
    assert superseded("2", {"hoary"}, Pocket.RELEASE, [gone]) == ()
    assert superseded("0.1", {"hoary"}, Pocket.RELEASE, [gone]) == ()


def test_what_is_pending_counts() -> None:
    pending = replace(HOARY, status=PublishingStatus.PENDING)
    assert superseded("2", {"hoary"}, Pocket.RELEASE, [pending]) == (pending,)


@given(version=st.sampled_from(VERSIONS), series=st.sets(st.sampled_from(["hoary", "warty"])), there=st.lists(PLACES))
def test_afterwards_one_version_counts_in_each_place_and_it_is_the_newest(
    version: str, series: set[str], there: list[Publication]
) -> None:
    decided = superseded(version, series, Pocket.RELEASE, there)
    mine = [one for one in there if one.series in series and one.pocket is Pocket.RELEASE and one.status in LIVE]
    newer = [one for one in mine if one.version != version and Version(one.version) >= Version(version)]
    assert isinstance(decided, Refused) == bool(newer)
    if not isinstance(decided, Refused):
        assert {one.version for one in mine if one not in decided} <= {version}
        assert all(one in mine and Version(one.version) < Version(version) for one in decided)


@given(one=STORED, other=STORED)
def test_any_versions_that_the_farm_stores_can_be_compared(one: str, other: str) -> None:
    try:
        check_version("foo", one)
        check_version("foo", other)
    except BadValue:
        return
    decided = superseded(one, {"hoary"}, Pocket.RELEASE, [replace(HOARY, version=other)])
    assert (
        decided == () if one == other else not isinstance(decided, Refused) or "can't be compared" not in decided.text
    )


def test_what_nobody_can_compare_is_refused_by_name() -> None:
    for one, other in (("0:", "1.0"), ("1.0", "0:")):
        refused = superseded(one, {"hoary"}, Pocket.RELEASE, [replace(HOARY, version=other)])
        assert isinstance(refused, Refused)
        assert "'0:' can't be compared" in refused.text


def test_what_is_withdrawn_is_what_was_named() -> None:
    sid = replace(HOARY, id=2, series="sid")
    security = replace(HOARY, id=3, pocket=Pocket.SECURITY, version="1.0-2")
    gone = replace(HOARY, id=4, status=PublishingStatus.DELETED)
    there = (HOARY, sid, security, gone)

    def ids(version: str | None = None, series: tuple[str, ...] = (), pocket: Pocket | None = None) -> list[int]:
        return [one.id for one in withdrawn(there, version=version, series=series, pocket=pocket)]

    assert ids() == [1, 2, 3]
    assert ids(version="1.0-2") == [3]
    assert ids(version="0:1.0-2") == []
    assert ids(series=("sid", "warty")) == [2]
    assert ids(pocket=Pocket.RELEASE) == [1, 2]
