"""Source package releases and their files: tables `source_release` and `source_file`."""

from __future__ import annotations

from storage.database.queries import load
from storage.database.repository import Repository
from storage.errors import (
    UnknownComponent,
    UnknownSource,
)
from storage.records import (
    NewSource,
    Source,
)
from storage.words.sources import dsc_of

_SQL = load("sources")


class Sources(Repository):
    """Sources; where they are published is `storage.publications`'."""

    def add(self, source: NewSource) -> int:
        """Register a source package release; the very same one again is the one that is there.

        Returns:
            Its id.

        Raises:
            UnknownComponent: no such component.
            BadValue: no `.dsc` or more than one, a name, version or hash that can't be, a name twice.
        """
        dsc = dsc_of(source)
        self.check_component(source.component)
        columns = {"name": source.name, "version": source.version, "dsc": dsc.sha256}
        added = self._values(
            _SQL["add_source"],
            **columns,
            component=source.component,
            urgency=source.urgency,
            architectures=list(source.architectures),
        )
        if not added:
            (same,) = self._values(_SQL["same_source"], **columns)
            return int(same)
        self._run(
            _SQL["add_source_files"],
            source=added[0],
            filenames=[file.filename for file in source.files],
            sha256s=[file.sha256 for file in source.files],
            sizes=[file.size for file in source.files],
        )
        return int(added[0])

    def get(self, source: int) -> Source:
        """Return one source package release.

        Raises:
            UnknownSource: no such row.
        """
        found = self._row(Source, _SQL["source"], source=source)
        if found is None:
            raise UnknownSource(source)
        return found

    def check_component(self, component: str) -> None:
        """Refuse a component that there is not.

        Raises:
            UnknownComponent: says which there are.
        """
        (known,) = self._values(_SQL["components"])
        if component not in known:
            raise UnknownComponent(component, known=known)
