"""Archives by name: a PPA is `OWNER/NAME`."""

from __future__ import annotations

from collections.abc import Sequence

from storage.errors import BadValue, UnknownArchive
from storage.records import Archive, ArchivePurpose
from storage.words.names import check_word


def archive_name(name: str, purpose: ArchivePurpose, owner: str | None) -> tuple[str, str | None]:
    """Return an archive's full name and owner: of a PPA `owner/name`, whichever way they were given.

    Raises:
        BadValue: a PPA without owner, or with two; a name that can't be.
    """
    before, slash, after = name.rpartition("/")
    if purpose == ArchivePurpose.PPA:
        if slash and owner is not None and owner != before:
            raise BadValue(f"archive {name!r} can't be {owner!r}'s: a PPA is named OWNER/NAME")
        owner = owner if owner is not None else before
        if not owner:
            raise BadValue(f"PPA {name!r} needs an owner: name it OWNER/NAME")
        name = f"{owner}/{after}"
    elif slash:
        raise BadValue(f"archive {name!r} can't be: only a PPA is named OWNER/NAME")
    check_word("archive", after)
    if owner is not None:
        check_word("owner", owner)
    return name, owner


def named_archive(distribution: str, name: str, every: Sequence[Archive]) -> Archive:
    """Return an archive by name.

    Raises:
        UnknownArchive: says what there is.
    """
    for one in every:
        if (one.distribution, one.name) == (distribution, name):
            return one
    raise UnknownArchive(f"{distribution}/{name}", known=(f"{one.distribution}/{one.name}" for one in every))
