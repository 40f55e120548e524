"""Series and processor families; on PostgreSQL and in memory."""

from __future__ import annotations

import pytest

from storage.errors import (
    BadValue,
    SeriesInUse,
    UnknownFamily,
    UnknownSeries,
)
from storage.records import (
    SeriesStatus,
)
from tests.fix_storage import Stage


def test_a_series_names_its_architectures_and_who_builds_arch_indep(stage: Stage) -> None:
    with stage.acting("cli"):
        made = stage.series.add("debian", "sarge", {"i386": "x86", "amd64": "amd64"}, nominated_archindep="i386")
    assert [str(one) for one in made] == ["debian/sarge/amd64", "debian/sarge/i386"]
    assert [one.nominated_archindep for one in made] == [False, True]
    assert [one.family for one in made] == ["amd64", "x86"]
    assert stage.series.named("debian/sarge/i386") == made[1]


def test_a_series_added_twice_is_one_and_may_gain_architectures(stage: Stage) -> None:
    before = stage.series.all()
    with stage.acting("cli"):
        stage.series.add("ubuntu", "hoary", {"i386": "x86"}, nominated_archindep="i386")
    assert stage.series.all() == before
    with stage.acting("cli"):
        made = stage.series.add("ubuntu", "hoary", {"amd64": "amd64"}, nominated_archindep="amd64")
    assert [(str(one), one.nominated_archindep) for one in made] == [
        ("ubuntu/hoary/amd64", True),
        ("ubuntu/hoary/i386", False),
    ]


def test_a_series_that_can_not_be_is_refused_whole(stage: Stage) -> None:
    before = (stage.series.all(), stage.events.last_id())
    for error, match, architectures, nominated in (
        (UnknownFamily, "'pdp11'", {"i386": "x86", "pdp11": "pdp11"}, "i386"),
        (BadValue, "'arm64' is none of the processor family 'x86'", {"arm64": "x86"}, "arm64"),
        (BadValue, "can't nominate 'amd64'.*it has i386", {"i386": "x86"}, "amd64"),
    ):
        with pytest.raises(error, match=match), stage.acting("cli"):
            stage.series.add("debian", "sarge", architectures, nominated_archindep=nominated)
    for distribution, series in (("Debian", "sarge"), ("debian", "../sarge"), ("debian", "")):
        with pytest.raises(BadValue, match="can't be"), stage.acting("cli"):
            stage.series.add(distribution, series, {"i386": "x86"}, nominated_archindep="i386")
    assert (stage.series.all(), stage.events.last_id()) == before


def test_an_unknown_series_is_named_beside_those_there_are(stage: Stage) -> None:
    with pytest.raises(UnknownSeries, match=r"'ubuntu/hoary/arm64' here \(there are: ubuntu/hoary/i386\)"):
        stage.series.named("ubuntu/hoary/arm64")
    for text in ("hoary", "ubuntu/hoary", "a/b/c/d", ""):
        with pytest.raises(BadValue, match="DISTRIBUTION/SERIES/ARCHITECTURE"):
            stage.series.named(text)


def test_families_are_those_of_the_field_and_more_can_be_added(stage: Stage) -> None:
    assert stage.series.family_of("i386") == "x86"
    with pytest.raises(UnknownFamily, match="'pdp11'"):
        stage.series.family_of("pdp11")
    with stage.acting("cli"):
        stage.series.add_family("pdp", ("pdp11",))
    assert stage.series.family_of("pdp11") == "pdp"
    for name, tags in (("other", ("i386",)), ("pdp", ()), ("P DP", ("pdp10",)), ("pdp", ("pdp 10",))):
        with pytest.raises(BadValue), stage.acting("cli"):
            stage.series.add_family(name, tags)
    assert stage.series.family_of("i386") == "x86"


def test_a_series_has_a_status_and_its_architectures_say_whether_ppas_are_built(stage: Stage) -> None:
    with stage.acting("cli"):
        stage.series.add("ubuntu", "warty", {"i386": "x86", "amd64": "amd64"}, nominated_archindep="i386")
    before = [one for one in stage.series.all() if one.series == "warty"]
    assert {(one.status, one.ppas) for one in before} == {(SeriesStatus.DEVELOPMENT, True)}
    with stage.acting("cli"):
        changed = stage.series.change(
            "ubuntu", "warty", status=SeriesStatus.CURRENT, ppas=False, architectures=("i386",)
        )
    assert [(one.architecture, one.status, one.ppas) for one in changed] == [
        ("amd64", SeriesStatus.CURRENT, True),
        ("i386", SeriesStatus.CURRENT, False),
    ]
    with stage.acting("cli"):
        assert stage.series.change("ubuntu", "warty") == changed
        assert {one.ppas for one in stage.series.change("ubuntu", "warty", ppas=False)} == {False}
        assert {one.ppas for one in stage.series.change("ubuntu", "warty", ppas=True)} == {True}
    with stage.acting("cli"):
        stage.series.add("ubuntu", "warty", {"arm64": "arm64"}, nominated_archindep="arm64")
    assert {one.status for one in stage.series.all() if one.series == "warty"} == {SeriesStatus.CURRENT}
    assert stage.series.named("ubuntu/hoary/i386").status is SeriesStatus.DEVELOPMENT


def test_the_jobs_of_a_series_know_its_status(stage: Stage) -> None:
    job = stage.job()
    with stage.acting("cli"):
        stage.series.change("ubuntu", "hoary", status=SeriesStatus.FROZEN)
    assert stage.queue.job(job.id).series_status is SeriesStatus.FROZEN


def test_a_series_or_architecture_that_is_not_there_can_not_be_changed(stage: Stage) -> None:
    last = stage.events.last_id()
    with pytest.raises(UnknownSeries, match=r"'ubuntu/warty' here \(there are: ubuntu/hoary\)"), stage.acting("cli"):
        stage.series.change("ubuntu", "warty", ppas=False)
    with pytest.raises(UnknownSeries, match=r"'ubuntu/hoary/vax'.*ubuntu/hoary/i386"), stage.acting("cli"):
        stage.series.change("ubuntu", "hoary", status=SeriesStatus.FROZEN, architectures=("i386", "vax"))
    assert stage.events.last_id() == last


def test_a_series_is_removed_only_if_it_has_nothing(stage: Stage) -> None:
    with stage.acting("cli"):
        stage.series.add("ubuntu", "haory", {"i386": "x86", "amd64": "amd64"}, nominated_archindep="i386")
    with stage.acting("cli"):
        removed = stage.series.remove("ubuntu", "haory")
    assert [str(one) for one in removed] == ["ubuntu/haory/amd64", "ubuntu/haory/i386"]
    assert [str(one) for one in stage.series.all()] == ["ubuntu/hoary/i386"]
    with pytest.raises(UnknownSeries), stage.acting("cli"):
        stage.series.remove("ubuntu", "haory")
    stage.build()
    has = "ubuntu/hoary has 1 builds, 1 publications, 1 chroots: it stays"
    with pytest.raises(SeriesInUse, match=has), stage.acting("cli"):
        stage.series.remove("ubuntu", "hoary")
    assert [str(one) for one in stage.series.all()] == ["ubuntu/hoary/i386"]
