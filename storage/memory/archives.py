"""The in-memory twin of `storage.archives`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from types import MappingProxyType

from storage.errors import (
    ArchiveExists,
    UnknownDistribution,
)
from storage.limits import LimitChanges, changed, check_limits
from storage.memory.database import MemoryFarm
from storage.memory.people import MemoryPeople
from storage.memory.series import MemorySeries
from storage.records import (
    Archive,
    ArchivePurpose,
    Limits,
)
from storage.words.archives import archive_name, named_archive
from storage.words.jobs import check_score
from storage.words.names import check_tags, check_word


class MemoryArchives:
    """The twin of `storage.archives.Archives`."""

    def __init__(self, farm: MemoryFarm) -> None:
        """Work on `farm`."""
        self._farm = farm

    def add(
        self,
        name: str,
        distribution: str,
        purpose: ArchivePurpose,
        *,
        owner: str | None = None,
        private: bool = False,
        relative_score: int = 0,
        limits: LimitChanges = MappingProxyType({}),
        tags: Sequence[str] = (),
    ) -> Archive:
        """See `Archives.add`."""
        check_word("distribution", distribution)
        check_score(relative_score)
        check_limits(limits)
        check_tags(tags)
        full, owner = archive_name(name, purpose, owner)
        if distribution not in {one.distribution for one in MemorySeries(self._farm).all()}:
            raise UnknownDistribution(distribution)
        if any((one.distribution, one.name) == (distribution, full) for one in self.all()):
            raise ArchiveExists(distribution, full)
        if owner is not None:
            MemoryPeople(self._farm).add(owner)
        number = self._farm.number("archive")
        archive = Archive(
            id=number,
            name=full,
            distribution=distribution,
            purpose=purpose,
            owner=owner,
            private=private,
            enabled=True,
            relative_score=relative_score,
            limits=changed(Limits(), limits),
            tags=tuple(sorted({*tags})),
        )
        self._farm.put("archive", number, archive)
        return archive

    def all(self) -> tuple[Archive, ...]:
        """See `Archives.all`."""
        return tuple(sorted(self._farm.table("archive").values(), key=lambda one: (one.distribution, one.name)))

    def get(self, distribution: str, name: str) -> Archive:
        """See `Archives.get`."""
        return named_archive(distribution, name, self.all())

    def change(
        self,
        distribution: str,
        name: str,
        *,
        enabled: bool | None = None,
        private: bool | None = None,
        relative_score: int | None = None,
        limits: LimitChanges = MappingProxyType({}),
        tags: Sequence[str] | None = None,
    ) -> Archive:
        """See `Archives.change`."""
        check_score(relative_score)
        check_limits(limits)
        check_tags(tags or ())
        before = self.get(distribution, name)
        after = replace(
            before,
            enabled=before.enabled if enabled is None else enabled,
            private=before.private if private is None else private,
            relative_score=before.relative_score if relative_score is None else relative_score,
            limits=changed(before.limits, limits),
            tags=before.tags if tags is None else tuple(sorted({*tags})),
        )
        self._farm.put("archive", before.id, after)
        return after
