"""Chroots; on PostgreSQL and in memory."""

from __future__ import annotations

import pytest

from storage.errors import (
    ChrootInUse,
    UnknownFile,
    UnknownSeries,
)
from storage.records import (
    BuildState,
    Outcome,
    Pocket,
)
from tests.fix_storage import Stage, stored


def test_a_chroot_is_added_or_updated_and_never_doubled(stage: Stage) -> None:
    where = stage.series.named("ubuntu/hoary/i386")
    with stage.acting("cli"):
        foo = stage.library.add(stored("foo"), "foo.tar.gz")
        first = stage.chroots.set(where.id, Pocket.RELEASE, foo.id)
        assert stage.chroots.set(where.id, Pocket.RELEASE, foo.id) == first
    assert (first.distroarchseries, first.pocket, first.filename) == ("ubuntu/hoary/i386", "RELEASE", "foo.tar.gz")
    with stage.acting("cli"):
        bar = stage.library.add(stored("bar"), "bar.tar.gz")
        stage.chroots.set(where.id, Pocket.RELEASE, bar.id)
    assert [chroot.filename for chroot in stage.chroots.all()] == ["bar.tar.gz"]


def test_a_chroot_is_removed_but_not_under_a_running_build(stage: Stage) -> None:
    where = stage.series.named("ubuntu/hoary/i386")
    job = stage.job()
    attempt = stage.claim(job, stage.builder())
    before = stage.chroots.all()
    told = rf"running builds \({job.build}\): .*give-back {job.build}`"
    with pytest.raises(ChrootInUse, match=told), stage.acting("cli"):
        stage.chroots.remove(where.id, Pocket.RELEASE)
    with pytest.raises(UnknownSeries, match="UPDATES"), stage.acting("cli"):
        stage.chroots.remove(where.id, Pocket.UPDATES)
    assert stage.chroots.all() == before
    with stage.acting("queue"):
        stage.queue.record(attempt.id, Outcome.LOST, "", build_state=BuildState.NEEDSBUILD, keep_job=True)
    with stage.acting("cli"):
        assert (stage.chroots.remove(where.id, Pocket.RELEASE),) == before
    assert stage.chroots.all() == ()
    assert not stage.queue.job(job.id).has_chroot


def test_a_chroot_needs_a_series_and_a_file(stage: Stage) -> None:
    where = stage.series.named("ubuntu/hoary/i386")
    before = stage.chroots.all()
    with stage.acting("cli"):
        alias = stage.library.add(stored("foo"), "foo.tar.gz")
    with pytest.raises(UnknownSeries, match="999"), stage.acting("cli"):
        stage.chroots.set(999, Pocket.RELEASE, alias.id)
    with pytest.raises(UnknownFile, match="999"), stage.acting("cli"):
        stage.chroots.set(where.id, Pocket.RELEASE, 999)
    assert stage.chroots.all() == before
