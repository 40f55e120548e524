"""Sources in archives; on PostgreSQL and in memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.errors import (
    BadValue,
    UnknownArchive,
    UnknownComponent,
    UnknownSeries,
    UnknownSource,
)
from storage.records import (
    NewSource,
    Pocket,
    PublishingStatus,
    Urgency,
)
from tests.fix_storage import Stage, named

FOO = NewSource("foo", "1.0-1", "main", Urgency.LOW, ("any", "all"), (named("foo_1.0-1.dsc"), named("foo_1.0.tar.xz")))


def test_publishing_twice_is_once_with_the_later_component_and_status(stage: Stage) -> None:
    primary = stage.archives.get("ubuntu", "primary")
    with stage.acting("cli"):
        source = stage.sources.add(FOO)
        first = stage.publications.publish(
            source, primary.id, "hoary", Pocket.RELEASE, "main", status=PublishingStatus.PENDING
        )
        assert stage.publications.publish(source, primary.id, "hoary", Pocket.RELEASE, "universe") == first
        assert stage.publications.publish(source, primary.id, "hoary", Pocket.UPDATES, "main") != first


def test_a_source_is_published_in_several_series_by_one_call(stage: Stage) -> None:
    primary = stage.archives.get("ubuntu", "primary")
    with stage.acting("cli"):
        stage.series.add("ubuntu", "warty", {"i386": "x86"}, nominated_archindep="i386")
        source = stage.sources.add(FOO)
        stage.publications.publish(source, primary.id, ("warty", "hoary", "warty"), Pocket.RELEASE, "universe")
    found = stage.publications.all(primary.id)
    assert [(one.source, one.version, one.archive, one.series, one.component) for one in found] == [
        ("foo", "1.0-1", "primary", "hoary", "universe"),
        ("foo", "1.0-1", "primary", "warty", "universe"),
    ]
    for series in ((), ("hoary", "sarge")):
        with pytest.raises(UnknownSeries), stage.acting("cli"):
            stage.publications.publish(source, primary.id, series, Pocket.UPDATES, "main")
    assert stage.publications.all(primary.id) == found


def test_publications_are_found_by_name_and_by_whether_they_count(stage: Stage) -> None:
    primary = stage.archives.get("ubuntu", "primary")
    with stage.acting("cli"):
        bar = stage.source("bar")
        for source in (bar, stage.sources.add(FOO)):
            stage.publications.publish(source, primary.id, "hoary", Pocket.RELEASE, "main")
        ids = [one.id for one in stage.publications.all(primary.id, "bar")]
        stage.publications.set_status([*ids, 999], PublishingStatus.DELETED)
    assert [one.source for one in stage.publications.all(primary.id)] == ["bar", "foo"]
    assert [one.source for one in stage.publications.all(primary.id, live=True)] == ["foo"]
    assert stage.publications.all(primary.id, "bar", live=True) == ()
    assert stage.publications.all(stage.archives.get("ubuntu", "cprov/ppa").id) == ()


def test_a_publication_that_can_not_be_is_refused(stage: Stage) -> None:
    primary = stage.archives.get("ubuntu", "primary")
    with stage.acting("cli"):
        source = stage.sources.add(FOO)
        stage.publications.publish(source, primary.id, "hoary", Pocket.RELEASE, "main")
        rival = stage.sources.add(replace(FOO, files=(named("foo_1.0-1.dsc", "other"), *FOO.files[1:])))
    last = stage.events.last_id()
    for error, match, wanted, archive, series, component in (
        (UnknownSource, "999", 999, primary.id, "hoary", "main"),
        (UnknownArchive, "999", source, 999, "hoary", "main"),
        (UnknownSeries, "warty", source, primary.id, "warty", "main"),
        (UnknownComponent, "mainly", source, primary.id, "hoary", "mainly"),
        (BadValue, "foo 1.0-1 is published in that archive with other content", rival, primary.id, "hoary", "main"),
    ):
        with pytest.raises(error, match=match), stage.acting("cli"):
            stage.publications.publish(wanted, archive, series, Pocket.RELEASE, component)
    assert stage.events.last_id() == last
