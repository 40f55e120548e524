"""Archives; on PostgreSQL and in memory."""

from __future__ import annotations

import pytest

from storage.errors import (
    ArchiveExists,
    BadValue,
    UnknownArchive,
    UnknownSeries,
    UnknownSource,
)
from storage.records import (
    ArchivePurpose,
)
from tests.fix_storage import Stage


def test_a_ppa_belongs_to_its_owner_whichever_way_it_is_named(stage: Stage) -> None:
    ppa = stage.archives.get("ubuntu", "cprov/ppa")
    assert (ppa.owner, ppa.purpose) == ("cprov", ArchivePurpose.PPA)
    with stage.acting("cli"):
        other = stage.archives.add("tools", "ubuntu", ArchivePurpose.PPA, owner="mark", relative_score=-5)
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
            stage.archives.add(name, distribution, purpose, owner=owner)
    assert stage.events.last_id() == last


def test_an_archive_changes_in_what_is_named(stage: Stage) -> None:
    with stage.acting("cli"):
        changed = stage.archives.change("ubuntu", "primary", enabled=False, relative_score=7)
    assert (changed.enabled, changed.private, changed.relative_score) == (False, False, 7)
    assert stage.archives.get("ubuntu", "primary") == changed
    with stage.acting("cli"):
        assert stage.archives.change("ubuntu", "primary", private=True).relative_score == 7
    with pytest.raises(UnknownArchive), stage.acting("cli"):
        stage.archives.change("ubuntu", "partner", enabled=True)
    with pytest.raises(BadValue, match="10000000"), stage.acting("cli"):
        stage.archives.change("ubuntu", "primary", relative_score=10_000_000)


def test_an_archive_asks_for_tags_until_others_are_said(stage: Stage) -> None:
    with stage.acting("cli"):
        added = stage.archives.add("big/ppa", "ubuntu", ArchivePurpose.PPA, tags=("kvm", "big", "kvm"))
        assert added.tags == ("big", "kvm")
        assert stage.archives.change("ubuntu", "big/ppa", private=True).tags == ("big", "kvm")
        assert stage.archives.change("ubuntu", "big/ppa", tags=("gpu",)).tags == ("gpu",)
        assert stage.archives.change("ubuntu", "big/ppa", tags=()).tags == ()
    last = stage.events.last_id()
    for odd in ("", "Big", "a b", "-x", "x" * 65, "ä", "a\n", "a,b"):
        with pytest.raises(BadValue, match=r"tag .* can't be: 1 to 64 of a-z"), stage.acting("cli"):
            stage.archives.change("ubuntu", "big/ppa", tags=("kvm", odd))
        with pytest.raises(BadValue, match="tag"), stage.acting("cli"):
            stage.archives.add("new/ppa", "ubuntu", ArchivePurpose.PPA, tags=(odd,))
    assert stage.events.last_id() == last


def test_an_unknown_archive_is_named_beside_those_there_are(stage: Stage) -> None:
    with pytest.raises(UnknownArchive, match=r"'ubuntu/partner'.*ubuntu/cprov/ppa, ubuntu/primary"):
        stage.archives.get("ubuntu", "partner")


def test_an_error_undoes_the_whole_transaction(stage: Stage) -> None:
    last = stage.events.last_id()
    with pytest.raises(UnknownSource), stage.acting("cli"):  # noqa: PT012 - the first call is what is undone
        stage.people.add("anna")
        stage.sources.get(999)
    assert "anna" not in [person.name for person in stage.people.all()]
    assert stage.events.last_id() == last
