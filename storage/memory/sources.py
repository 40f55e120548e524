"""The in-memory twin of `storage.sources`."""

from __future__ import annotations

from storage.errors import (
    UnknownComponent,
    UnknownSource,
)
from storage.memory.database import MemoryFarm
from storage.memory.rows import SourceRow
from storage.records import (
    NewSource,
    Source,
)
from storage.words.sources import dsc_of


class MemorySources:
    """The twin of `storage.sources.Sources`."""

    def __init__(self, farm: MemoryFarm) -> None:
        """Work on `farm`."""
        self._farm = farm

    def add(self, source: NewSource) -> int:
        """See `Sources.add`."""
        dsc = dsc_of(source)
        self.check_component(source.component)
        rows = self._farm.table("source_release")
        for known in self._farm.sources_by_name.get((source.name, source.version), ()):
            if rows[known].dsc == dsc.sha256:
                return known
        number = self._farm.number("source_release")
        added = SourceRow(
            id=number,
            name=source.name,
            version=source.version,
            component=source.component,
            urgency=source.urgency,
            architectures=source.architectures,
            dsc=dsc.sha256,
            created=self._farm.now(),
        )
        self._farm.put("source_release", number, added)
        self._farm.put("source_file", number, tuple(sorted(source.files, key=lambda file: file.filename)))
        return number

    def get(self, source: int) -> Source:
        """See `Sources.get`."""
        row: SourceRow | None = self._farm.table("source_release").get(source)
        if row is None:
            raise UnknownSource(source)
        return Source(
            id=row.id,
            name=row.name,
            version=row.version,
            component=row.component,
            urgency=row.urgency,
            architectures=row.architectures,
            files=self._farm.table("source_file")[source],
            created=row.created,
        )

    def check_component(self, component: str) -> None:
        """See `Sources.check_component`."""
        known = self._farm.table("component")
        if component not in known:
            raise UnknownComponent(component, known=sorted(known))
