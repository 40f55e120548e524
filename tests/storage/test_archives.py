"""Series, archives, chroots, sources and files.  On PostgreSQL and in memory."""

from __future__ import annotations

from dataclasses import replace

import pytest

from storage.errors import (
    ArchiveExists,
    BadValue,
    ChrootInUse,
    SeriesInUse,
    UnknownArchive,
    UnknownComponent,
    UnknownFamily,
    UnknownFile,
    UnknownSeries,
    UnknownSource,
)
from storage.records import (
    ArchivePurpose,
    BuildState,
    NamedFile,
    NewSource,
    Outcome,
    Pocket,
    PublishingStatus,
    SeriesStatus,
    Urgency,
)
from storage.words.sources import dsc_of
from tests.fix_storage import Stage, named, stored

FOO = NewSource("foo", "1.0-1", "main", Urgency.LOW, ("any", "all"), (named("foo_1.0-1.dsc"), named("foo_1.0.tar.xz")))


def test_a_series_names_its_architectures_and_who_builds_arch_indep(stage: Stage) -> None:
    with stage.acting("cli"):
        made = stage.archives.add_series(
            "debian", "sarge", {"i386": "x86", "amd64": "amd64"}, nominated_archindep="i386"
        )
    assert [str(one) for one in made] == ["debian/sarge/amd64", "debian/sarge/i386"]
    assert [one.nominated_archindep for one in made] == [False, True]
    assert [one.family for one in made] == ["amd64", "x86"]
    assert stage.archives.distroarchseries("debian/sarge/i386") == made[1]


def test_a_series_added_twice_is_one_and_may_gain_architectures(stage: Stage) -> None:
    before = stage.archives.series()
    with stage.acting("cli"):
        stage.archives.add_series("ubuntu", "hoary", {"i386": "x86"}, nominated_archindep="i386")
    assert stage.archives.series() == before
    with stage.acting("cli"):
        made = stage.archives.add_series("ubuntu", "hoary", {"amd64": "amd64"}, nominated_archindep="amd64")
    assert [(str(one), one.nominated_archindep) for one in made] == [
        ("ubuntu/hoary/amd64", True),
        ("ubuntu/hoary/i386", False),
    ]


def test_a_series_that_can_not_be_is_refused_whole(stage: Stage) -> None:
    before = (stage.archives.series(), stage.events.last_id())
    for error, match, architectures, nominated in (
        (UnknownFamily, "'pdp11'", {"i386": "x86", "pdp11": "pdp11"}, "i386"),
        (BadValue, "'arm64' is none of the processor family 'x86'", {"arm64": "x86"}, "arm64"),
        (BadValue, "can't nominate 'amd64'.*it has i386", {"i386": "x86"}, "amd64"),
    ):
        with pytest.raises(error, match=match), stage.acting("cli"):
            stage.archives.add_series("debian", "sarge", architectures, nominated_archindep=nominated)
    for distribution, series in (("Debian", "sarge"), ("debian", "../sarge"), ("debian", "")):
        with pytest.raises(BadValue, match="can't be"), stage.acting("cli"):
            stage.archives.add_series(distribution, series, {"i386": "x86"}, nominated_archindep="i386")
    assert (stage.archives.series(), stage.events.last_id()) == before


def test_an_unknown_series_is_named_beside_those_there_are(stage: Stage) -> None:
    with pytest.raises(UnknownSeries, match=r"'ubuntu/hoary/arm64' here \(there are: ubuntu/hoary/i386\)"):
        stage.archives.distroarchseries("ubuntu/hoary/arm64")
    for text in ("hoary", "ubuntu/hoary", "a/b/c/d", ""):
        with pytest.raises(BadValue, match="DISTRIBUTION/SERIES/ARCHITECTURE"):
            stage.archives.distroarchseries(text)


def test_families_are_those_of_the_field_and_more_can_be_added(stage: Stage) -> None:
    assert stage.archives.family_of("i386") == "x86"
    with pytest.raises(UnknownFamily, match="'pdp11'"):
        stage.archives.family_of("pdp11")
    with stage.acting("cli"):
        stage.archives.add_family("pdp", ("pdp11",))
    assert stage.archives.family_of("pdp11") == "pdp"
    for name, tags in (("other", ("i386",)), ("pdp", ()), ("P DP", ("pdp10",)), ("pdp", ("pdp 10",))):
        with pytest.raises(BadValue), stage.acting("cli"):
            stage.archives.add_family(name, tags)
    assert stage.archives.family_of("i386") == "x86"


def test_a_ppa_belongs_to_its_owner_whichever_way_it_is_named(stage: Stage) -> None:
    ppa = stage.archives.archive("ubuntu", "cprov/ppa")
    assert (ppa.owner, ppa.purpose) == ("cprov", ArchivePurpose.PPA)
    with stage.acting("cli"):
        other = stage.archives.add_archive("tools", "ubuntu", ArchivePurpose.PPA, owner="mark", relative_score=-5)
    assert (other.name, other.owner, other.relative_score) == ("mark/tools", "mark", -5)
    assert [person.name for person in stage.people.all()] == ["cprov", "mark"]


def test_an_archive_that_can_not_be_is_refused(stage: Stage) -> None:
    last = stage.events.last_id()
    for error, name, distribution, purpose, owner in (
        (ArchiveExists, "primary", "ubuntu", ArchivePurpose.PRIMARY, None),
        (ArchiveExists, "cprov/ppa", "ubuntu", ArchivePurpose.PPA, None),
        (UnknownSeries, "primary", "debian", ArchivePurpose.PRIMARY, None),
        (BadValue, "ppa", "ubuntu", ArchivePurpose.PPA, None),
        (BadValue, "cprov/new", "ubuntu", ArchivePurpose.PPA, "mark"),
        (BadValue, "cprov/copy", "ubuntu", ArchivePurpose.COPY, None),
        (BadValue, "Primary", "ubuntu", ArchivePurpose.PRIMARY, None),
        (BadValue, "a/b/c", "ubuntu", ArchivePurpose.PPA, None),
    ):
        with pytest.raises(error), stage.acting("cli"):
            stage.archives.add_archive(name, distribution, purpose, owner=owner)
    assert stage.events.last_id() == last


def test_an_archive_changes_in_what_is_named(stage: Stage) -> None:
    with stage.acting("cli"):
        changed = stage.archives.change_archive("ubuntu", "primary", enabled=False, relative_score=7)
    assert (changed.enabled, changed.private, changed.relative_score) == (False, False, 7)
    assert stage.archives.archive("ubuntu", "primary") == changed
    with stage.acting("cli"):
        assert stage.archives.change_archive("ubuntu", "primary", private=True).relative_score == 7
    with pytest.raises(UnknownArchive), stage.acting("cli"):
        stage.archives.change_archive("ubuntu", "partner", enabled=True)
    with pytest.raises(BadValue, match="10000000"), stage.acting("cli"):
        stage.archives.change_archive("ubuntu", "primary", relative_score=10_000_000)


def test_an_archive_asks_for_tags_until_others_are_said(stage: Stage) -> None:
    with stage.acting("cli"):
        added = stage.archives.add_archive("big/ppa", "ubuntu", ArchivePurpose.PPA, tags=("kvm", "big", "kvm"))
        assert added.tags == ("big", "kvm")
        assert stage.archives.change_archive("ubuntu", "big/ppa", private=True).tags == ("big", "kvm")
        assert stage.archives.change_archive("ubuntu", "big/ppa", tags=("gpu",)).tags == ("gpu",)
        assert stage.archives.change_archive("ubuntu", "big/ppa", tags=()).tags == ()
    last = stage.events.last_id()
    for odd in ("", "Big", "a b", "-x", "x" * 65, "ä", "a\n", "a,b"):
        with pytest.raises(BadValue, match=r"tag .* can't be: 1 to 64 of a-z"), stage.acting("cli"):
            stage.archives.change_archive("ubuntu", "big/ppa", tags=("kvm", odd))
        with pytest.raises(BadValue, match="tag"), stage.acting("cli"):
            stage.archives.add_archive("new/ppa", "ubuntu", ArchivePurpose.PPA, tags=(odd,))
    assert stage.events.last_id() == last


def test_a_series_has_a_status_and_its_architectures_say_whether_ppas_are_built(stage: Stage) -> None:
    with stage.acting("cli"):
        stage.archives.add_series("ubuntu", "warty", {"i386": "x86", "amd64": "amd64"}, nominated_archindep="i386")
    before = [one for one in stage.archives.series() if one.series == "warty"]
    assert {(one.status, one.ppas) for one in before} == {(SeriesStatus.DEVELOPMENT, True)}
    with stage.acting("cli"):
        changed = stage.archives.change_series(
            "ubuntu", "warty", status=SeriesStatus.CURRENT, ppas=False, architectures=("i386",)
        )
    assert [(one.architecture, one.status, one.ppas) for one in changed] == [
        ("amd64", SeriesStatus.CURRENT, True),
        ("i386", SeriesStatus.CURRENT, False),
    ]
    with stage.acting("cli"):
        assert stage.archives.change_series("ubuntu", "warty") == changed
        assert {one.ppas for one in stage.archives.change_series("ubuntu", "warty", ppas=False)} == {False}
        assert {one.ppas for one in stage.archives.change_series("ubuntu", "warty", ppas=True)} == {True}
    with stage.acting("cli"):
        stage.archives.add_series("ubuntu", "warty", {"arm64": "arm64"}, nominated_archindep="arm64")
    assert {one.status for one in stage.archives.series() if one.series == "warty"} == {SeriesStatus.CURRENT}
    assert stage.archives.distroarchseries("ubuntu/hoary/i386").status is SeriesStatus.DEVELOPMENT


def test_the_jobs_of_a_series_know_its_status(stage: Stage) -> None:
    job = stage.job()
    with stage.acting("cli"):
        stage.archives.change_series("ubuntu", "hoary", status=SeriesStatus.FROZEN)
    assert stage.queue.job(job.id).series_status is SeriesStatus.FROZEN


def test_a_series_or_architecture_that_is_not_there_can_not_be_changed(stage: Stage) -> None:
    last = stage.events.last_id()
    with pytest.raises(UnknownSeries, match=r"'ubuntu/warty' here \(there are: ubuntu/hoary\)"), stage.acting("cli"):
        stage.archives.change_series("ubuntu", "warty", ppas=False)
    with pytest.raises(UnknownSeries, match=r"'ubuntu/hoary/vax'.*ubuntu/hoary/i386"), stage.acting("cli"):
        stage.archives.change_series("ubuntu", "hoary", status=SeriesStatus.FROZEN, architectures=("i386", "vax"))
    assert stage.events.last_id() == last


def test_an_unknown_archive_is_named_beside_those_there_are(stage: Stage) -> None:
    with pytest.raises(UnknownArchive, match=r"'ubuntu/partner'.*ubuntu/cprov/ppa, ubuntu/primary"):
        stage.archives.archive("ubuntu", "partner")


def test_a_chroot_is_added_or_updated_and_never_doubled(stage: Stage) -> None:
    where = stage.archives.distroarchseries("ubuntu/hoary/i386")
    with stage.acting("cli"):
        foo = stage.library.add(stored("foo"), "foo.tar.gz")
        first = stage.archives.set_chroot(where.id, Pocket.RELEASE, foo.id)
        assert stage.archives.set_chroot(where.id, Pocket.RELEASE, foo.id) == first
    assert (first.distroarchseries, first.pocket, first.filename) == ("ubuntu/hoary/i386", "RELEASE", "foo.tar.gz")
    with stage.acting("cli"):
        bar = stage.library.add(stored("bar"), "bar.tar.gz")
        stage.archives.set_chroot(where.id, Pocket.RELEASE, bar.id)
    assert [chroot.filename for chroot in stage.archives.chroots()] == ["bar.tar.gz"]


def test_a_chroot_is_removed_but_not_under_a_running_build(stage: Stage) -> None:
    where = stage.archives.distroarchseries("ubuntu/hoary/i386")
    job = stage.job()
    attempt = stage.claim(job, stage.builder())
    before = stage.archives.chroots()
    told = rf"running builds \({job.build}\): .*give-back {job.build}`"
    with pytest.raises(ChrootInUse, match=told), stage.acting("cli"):
        stage.archives.remove_chroot(where.id, Pocket.RELEASE)
    with pytest.raises(UnknownSeries, match="UPDATES"), stage.acting("cli"):
        stage.archives.remove_chroot(where.id, Pocket.UPDATES)
    assert stage.archives.chroots() == before
    with stage.acting("queue"):
        stage.queue.record(attempt.id, Outcome.LOST, "", build_state=BuildState.NEEDSBUILD, keep_job=True)
    with stage.acting("cli"):
        assert (stage.archives.remove_chroot(where.id, Pocket.RELEASE),) == before
    assert stage.archives.chroots() == ()
    assert not stage.queue.job(job.id).has_chroot


def test_a_series_is_removed_only_if_it_has_nothing(stage: Stage) -> None:
    with stage.acting("cli"):
        stage.archives.add_series("ubuntu", "haory", {"i386": "x86", "amd64": "amd64"}, nominated_archindep="i386")
    with stage.acting("cli"):
        removed = stage.archives.remove_series("ubuntu", "haory")
    assert [str(one) for one in removed] == ["ubuntu/haory/amd64", "ubuntu/haory/i386"]
    assert [str(one) for one in stage.archives.series()] == ["ubuntu/hoary/i386"]
    with pytest.raises(UnknownSeries), stage.acting("cli"):
        stage.archives.remove_series("ubuntu", "haory")
    stage.build()
    has = "ubuntu/hoary has 1 builds, 1 publications, 1 chroots: it stays"
    with pytest.raises(SeriesInUse, match=has), stage.acting("cli"):
        stage.archives.remove_series("ubuntu", "hoary")
    assert [str(one) for one in stage.archives.series()] == ["ubuntu/hoary/i386"]


def test_a_chroot_needs_a_series_and_a_file(stage: Stage) -> None:
    where = stage.archives.distroarchseries("ubuntu/hoary/i386")
    before = stage.archives.chroots()
    with stage.acting("cli"):
        alias = stage.library.add(stored("foo"), "foo.tar.gz")
    with pytest.raises(UnknownSeries, match="999"), stage.acting("cli"):
        stage.archives.set_chroot(999, Pocket.RELEASE, alias.id)
    with pytest.raises(UnknownFile, match="999"), stage.acting("cli"):
        stage.archives.set_chroot(where.id, Pocket.RELEASE, 999)
    assert stage.archives.chroots() == before


def test_a_source_is_registered_once(stage: Stage) -> None:
    with stage.acting("cli"):
        first = stage.archives.add_source(FOO)
        assert stage.archives.add_source(FOO) == first
        other = replace(FOO, files=(named("foo_1.0-1.dsc", "other content"), *FOO.files[1:]))
        assert stage.archives.add_source(other) != first
    source = stage.archives.source(first)
    assert (source.name, source.version, source.component, source.urgency) == ("foo", "1.0-1", "main", Urgency.LOW)
    assert (source.architectures, source.files) == (("any", "all"), FOO.files)
    with pytest.raises(UnknownSource, match="999"):
        stage.archives.source(999)


@pytest.mark.parametrize(
    ("source", "error", "match"),
    [
        (replace(FOO, component="mainly"), UnknownComponent, "'mainly'.*main, multiverse"),
        (replace(FOO, name="Foo"), BadValue, "source 'Foo'"),
        (replace(FOO, name="../foo"), BadValue, "source '../foo'"),
        (replace(FOO, version=""), BadValue, "version ''"),
        (replace(FOO, version="1.0 1"), BadValue, "version '1.0 1'"),
        (replace(FOO, version="1.0-1\n"), BadValue, "version"),
        (replace(FOO, version="0:"), BadValue, "version '0:' of foo is no Debian version"),
        (
            replace(FOO, urgency="sometime"),  # type: ignore[arg-type]
            BadValue,
            "urgency 'sometime' of foo can't be: low, medium, high, emergency",
        ),
        (replace(FOO, architectures=()), BadValue, "no architecture"),
        (replace(FOO, files=()), BadValue, "0 .dsc files"),
        (replace(FOO, files=FOO.files[1:]), BadValue, "0 .dsc files"),
        (replace(FOO, files=(*FOO.files, named("bar.dsc"))), BadValue, "2 .dsc files"),
        (replace(FOO, files=(*FOO.files, FOO.files[1])), BadValue, "'foo_1.0.tar.xz' is named twice"),
        (replace(FOO, files=(*FOO.files, named("../foo"))), BadValue, "filename '../foo'"),
        (replace(FOO, files=(*FOO.files, named(".."))), BadValue, "filename '..'"),
        (replace(FOO, files=(*FOO.files, NamedFile("foo", "beef", 1))), BadValue, "'beef' is no SHA-256"),
        (replace(FOO, files=(*FOO.files, NamedFile("foo", "0" * 64, -1))), BadValue, "-1 is no size"),
    ],
)
def test_a_source_that_can_not_be_is_refused_whole(
    stage: Stage, source: NewSource, error: type[Exception], match: str
) -> None:
    last = stage.events.last_id()
    with pytest.raises(error, match=match), stage.acting("cli"):
        stage.archives.add_source(source)
    assert stage.events.last_id() == last


def test_the_dsc_of_a_source_is_found() -> None:
    assert dsc_of(FOO) is FOO.files[0]


def test_publishing_twice_is_once_with_the_later_component_and_status(stage: Stage) -> None:
    primary = stage.archives.archive("ubuntu", "primary")
    with stage.acting("cli"):
        source = stage.archives.add_source(FOO)
        first = stage.archives.publish(
            source, primary.id, "hoary", Pocket.RELEASE, "main", status=PublishingStatus.PENDING
        )
        assert stage.archives.publish(source, primary.id, "hoary", Pocket.RELEASE, "universe") == first
        assert stage.archives.publish(source, primary.id, "hoary", Pocket.UPDATES, "main") != first


def test_a_source_is_published_in_several_series_by_one_call(stage: Stage) -> None:
    primary = stage.archives.archive("ubuntu", "primary")
    with stage.acting("cli"):
        stage.archives.add_series("ubuntu", "warty", {"i386": "x86"}, nominated_archindep="i386")
        source = stage.archives.add_source(FOO)
        stage.archives.publish(source, primary.id, ("warty", "hoary", "warty"), Pocket.RELEASE, "universe")
    found = stage.publications.all(primary.id)
    assert [(one.source, one.version, one.archive, one.series, one.component) for one in found] == [
        ("foo", "1.0-1", "primary", "hoary", "universe"),
        ("foo", "1.0-1", "primary", "warty", "universe"),
    ]
    for series in ((), ("hoary", "sarge")):
        with pytest.raises(UnknownSeries), stage.acting("cli"):
            stage.archives.publish(source, primary.id, series, Pocket.UPDATES, "main")
    assert stage.publications.all(primary.id) == found


def test_publications_are_found_by_name_and_by_whether_they_count(stage: Stage) -> None:
    primary = stage.archives.archive("ubuntu", "primary")
    with stage.acting("cli"):
        bar = stage.source("bar")
        for source in (bar, stage.archives.add_source(FOO)):
            stage.archives.publish(source, primary.id, "hoary", Pocket.RELEASE, "main")
        ids = [one.id for one in stage.publications.all(primary.id, "bar")]
        stage.publications.set_status([*ids, 999], PublishingStatus.DELETED)
    assert [one.source for one in stage.publications.all(primary.id)] == ["bar", "foo"]
    assert [one.source for one in stage.publications.all(primary.id, live=True)] == ["foo"]
    assert stage.publications.all(primary.id, "bar", live=True) == ()
    assert stage.publications.all(stage.archives.archive("ubuntu", "cprov/ppa").id) == ()


def test_a_publication_that_can_not_be_is_refused(stage: Stage) -> None:
    primary = stage.archives.archive("ubuntu", "primary")
    with stage.acting("cli"):
        source = stage.archives.add_source(FOO)
        stage.archives.publish(source, primary.id, "hoary", Pocket.RELEASE, "main")
        rival = stage.archives.add_source(replace(FOO, files=(named("foo_1.0-1.dsc", "other"), *FOO.files[1:])))
    last = stage.events.last_id()
    for error, match, wanted, archive, series, component in (
        (UnknownSource, "999", 999, primary.id, "hoary", "main"),
        (UnknownArchive, "999", source, 999, "hoary", "main"),
        (UnknownSeries, "warty", source, primary.id, "warty", "main"),
        (UnknownComponent, "mainly", source, primary.id, "hoary", "mainly"),
        (BadValue, "foo 1.0-1 is published in that archive with other content", rival, primary.id, "hoary", "main"),
    ):
        with pytest.raises(error, match=match), stage.acting("cli"):
            stage.archives.publish(wanted, archive, series, Pocket.RELEASE, component)
    assert stage.events.last_id() == last


def test_the_same_name_for_the_same_content_is_the_same_alias(stage: Stage) -> None:
    with stage.acting("cli"):
        first = stage.library.add(stored("foo"), "foo.deb")
        assert stage.library.add(stored("foo"), "foo.deb") == first
        other = stage.library.add(stored("foo"), "bar.tar.zst", "application/x-chroot")
    assert (first.mimetype, other.mimetype) == ("application/vnd.debian.binary-package", "application/x-chroot")
    assert (first.sha256, first.sha1, first.size) == (stored("foo").sha256, stored("foo").sha1, 3)
    assert stage.library.aliases(first.sha256) == (first, other)
    assert stage.library.alias(first.id) == first
    assert stage.library.content(first.sha256) == stored("foo")
    assert stage.library.content("0" * 64) is None
    with pytest.raises(UnknownFile, match="999"):
        stage.library.alias(999)


def test_content_that_contradicts_what_is_known_is_refused(stage: Stage) -> None:
    with stage.acting("cli"):
        stage.library.add(stored("foo"), "foo")
    with pytest.raises(BadValue, match="another size or SHA-1"), stage.acting("cli"):
        stage.library.add(replace(stored("foo"), size=4), "foo")
    for filename in ("", "..", "a/b", "a\nb", "x" * 256):
        with pytest.raises(BadValue, match="filename"), stage.acting("cli"):
            stage.library.add(stored("foo"), filename)


def test_an_error_undoes_the_whole_transaction(stage: Stage) -> None:
    last = stage.events.last_id()
    with pytest.raises(UnknownSource), stage.acting("cli"):  # noqa: PT012 - the first call is what is undone
        stage.people.add("anna")
        stage.archives.source(999)
    assert "anna" not in [person.name for person in stage.people.all()]
    assert stage.events.last_id() == last
