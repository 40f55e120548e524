"""What an order says for slaves of another kind: SHA-1s, component, purpose, privacy, and where the series' packages are."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.errors import BadValue, UnknownSeries
from storage.records import ArchivePurpose, BuildOrder, Job, Pocket
from storage.words.series import check_apt_sources
from tests.fix_storage import Stage, stored

LINES = ("deb http://mirror.invalid/ubuntu hoary main universe", "deb [trusted=yes] https://mirror.invalid/x ./")


def test_an_order_knows_its_files_by_sha_1_too(stage: Stage) -> None:
    order = ordered(stage, stage.job())
    assert order.chroot.sha1 == stored("chroot").sha1
    assert {file.filename: file.sha1 for file in order.files} == {
        file.filename: stored(file.filename).sha1 for file in order.files
    }


def test_an_order_says_what_archive_it_is_of(stage: Stage) -> None:
    with stage.acting("test"):
        stage.archives.change("ubuntu", "cprov/ppa", private=True)
    order = ordered(stage, stage.job(archive="cprov/ppa"), trusted=False)
    assert (order.component, order.purpose, order.private) == ("main", ArchivePurpose.PPA, True)
    assert order.apt_sources == ()


def test_the_component_is_the_one_that_the_source_is_published_in(stage: Stage) -> None:
    source = stage.source("bar")
    with stage.acting("test"):
        primary = stage.archives.get("ubuntu", "primary")
        stage.publications.publish(source, primary.id, "hoary", Pocket.RELEASE, "universe")
        series = stage.series.named("ubuntu/hoary/i386")
        build = stage.builds.create(source, series.id, primary.id, Pocket.RELEASE, arch_indep=True)
        job = stage.builds.queue(build.id)
    order = ordered(stage, job)
    assert order.component == "universe"


def test_a_series_says_where_its_packages_are(stage: Stage) -> None:
    with stage.acting("test"):
        (changed,) = stage.series.change("ubuntu", "hoary", apt_sources=LINES)
    assert changed.apt_sources == LINES
    assert [one.apt_sources for one in stage.series.all()] == [LINES]
    order = ordered(stage, stage.job())
    assert order.apt_sources == LINES
    with stage.acting("test"):
        added = stage.series.add("ubuntu", "hoary", {"amd64": "amd64"}, nominated_archindep="i386")
    assert {one.apt_sources for one in added} == {LINES}
    with stage.acting("test"):
        cleared = stage.series.change("ubuntu", "hoary", apt_sources=())
    assert {one.apt_sources for one in cleared} == {()}


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("", "no apt source"),
        ("http://mirror.invalid/ubuntu hoary main", "no apt source"),
        ("deb http://mirror.invalid/ubuntu", "no apt source"),
        ("deb http://mirror.invalid/ubuntu hoary main\ndeb x y", "no apt source"),
        ("deb http://me:secret@mirror.invalid/ubuntu hoary main", "can't hold a name and a password"),
        ("deb http://mirror.invalid/" + "x" * 1000 + " hoary main", "no apt source"),
    ],
)
def test_what_is_no_apt_source_is_refused_and_no_password_is_repeated(stage: Stage, line: str, why: str) -> None:
    with pytest.raises(BadValue, match=why) as refused, stage.acting("test"):
        stage.series.change("ubuntu", "hoary", apt_sources=[line])
    assert "secret" not in str(refused.value)
    assert [one.apt_sources for one in stage.series.all()] == [()]


def test_an_unknown_series_has_no_apt_sources(stage: Stage) -> None:
    with pytest.raises(UnknownSeries), stage.acting("test"):
        stage.series.change("ubuntu", "warty", apt_sources=LINES)


@given(st.lists(st.text(max_size=60), max_size=3))
def test_any_text_is_an_apt_source_or_a_bad_value(lines: list[str]) -> None:
    try:
        check_apt_sources(lines)
    except BadValue:
        return
    assert all("\n" not in line and "@" not in line.partition(" ")[2] for line in lines)


def ordered(stage: Stage, job: Job, *, trusted: bool = True) -> BuildOrder:
    """Give the job away, and return the order."""
    stage.builder(trusted=trusted)
    (order,) = stage.queue.orders((stage.claim(job).id,))
    return order
