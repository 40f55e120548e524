"""Archives: where sources come from and results go; table `archive`.

An archive's purpose decides whether its builds are trusted (everything but a PPA is) and never changes.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

from psycopg.types.json import Jsonb

from storage.access.people import People
from storage.database.queries import load
from storage.database.repository import Repository
from storage.errors import (
    ArchiveExists,
    UnknownDistribution,
)
from storage.limits import LimitChanges, check_limits
from storage.records import (
    Archive,
    ArchivePurpose,
)
from storage.words.archives import archive_name, named_archive
from storage.words.jobs import check_score
from storage.words.names import check_tags, check_word

_SQL = load("archives")


class Archives(Repository):
    """All archives, by name."""

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
        """Register an archive.

        Args:
            name: as `primary`; of a PPA `owner/name`, or `name` alone with `owner`.
            distribution: it must have a series.
            purpose: decides trust; never changes.
            owner: person, made if unknown; PPAs need one.
            private: score +10000 (dispatch-rules §2).
            relative_score: added to the score of its builds.
            limits: of its builds, over the settings.
            tags: resource tags that each of its builds asks for.

        Raises:
            UnknownDistribution: no such row.
            ArchiveExists: the name is taken.
            BadValue: a name, tag or limit can't be; a PPA without owner.
        """
        check_word("distribution", distribution)
        check_score(relative_score)
        check_limits(limits)
        check_tags(tags)
        full, owner = archive_name(name, purpose, owner)
        found = self._values(_SQL["distribution"], distribution=distribution)
        if not found:
            raise UnknownDistribution(distribution)
        if any(one.name == full and one.distribution == distribution for one in self.all()):
            raise ArchiveExists(distribution, full)
        if owner is not None:
            People(self._conn).add(owner)
        added = self._values(
            _SQL["add_archive"],
            distribution=found[0],
            name=full,
            purpose=purpose,
            owner=owner,
            private=private,
            relative_score=relative_score,
            limits=Jsonb(dict(limits)),
            tags=sorted({*tags}),
        )
        if not added:
            raise ArchiveExists(distribution, full)
        return self.get(distribution, full)

    def all(self) -> tuple[Archive, ...]:
        """Return all archives, by distribution and name."""
        return self._rows(Archive, _SQL["archives"])

    def get(self, distribution: str, name: str) -> Archive:
        """Return one archive.

        Raises:
            UnknownArchive: says what there is.
        """
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
        """Change what is given; None leaves as it is.

        Args:
            distribution: as `ubuntu`.
            name: as `primary`.
            enabled: whether its builds are dispatched.
            private: score +10000 (dispatch-rules §2).
            relative_score: added to the score of its builds.
            limits: of its builds that are claimed from now on; None takes one back.
            tags: resource tags that each of its builds asks for, instead of those before.

        Raises:
            UnknownArchive: nothing was written.
            BadValue: score or limit out of range, a tag that can't be.
        """
        check_score(relative_score)
        check_limits(limits)
        check_tags(tags or ())
        before = self.get(distribution, name)
        self._run(
            _SQL["change_archive"],
            archive=before.id,
            enabled=enabled,
            private=private,
            relative_score=relative_score,
            limits=Jsonb(dict(limits)),
            tags=None if tags is None else sorted({*tags}),
        )
        return self.get(distribution, name)
