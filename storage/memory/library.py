"""The in-memory twin of `storage.files.library`."""

from __future__ import annotations

from storage.errors import BadValue, UnknownFile
from storage.files.kinds import mimetype_of
from storage.memory.database import MemoryFarm
from storage.memory.rows import AliasRow
from storage.records import Alias, StoredFile
from storage.words.files import check_filename


class MemoryLibrary:
    """The twin of `storage.files.library.Library`."""

    def __init__(self, farm: MemoryFarm) -> None:
        """Work on `farm`."""
        self._farm = farm

    def add(self, content: StoredFile, filename: str, mimetype: str = "") -> Alias:
        """See `Library.add`."""
        return self.alias(self.name(content, filename, mimetype))

    def name(self, content: StoredFile, filename: str, mimetype: str = "") -> int:
        """Name a file as `add` does; return the number of its alias."""
        check_filename("the librarian", filename)
        known = self._farm.table("library_content").get(content.sha256)
        if known is None:
            self._farm.put("library_content", content.sha256, content)
        elif known != content:
            raise BadValue(
                f"content {content.sha256} is known with another size or SHA-1; `buildd-master check` looks closer"
            )
        mimetype = mimetype or mimetype_of(filename)
        names = self._farm.table("alias_by_name")
        number: int | None = names.get((content.sha256, filename, mimetype))
        if number is None:
            number = self._farm.number("library_alias")
            row = AliasRow(number, content.sha256, filename, mimetype, self._farm.now())
            self._farm.put("library_alias", number, row)
            self._farm.put("alias_by_name", (content.sha256, filename, mimetype), number)
        return number

    def alias(self, alias: int) -> Alias:
        """See `Library.alias`."""
        row: AliasRow | None = self._farm.table("library_alias").get(alias)
        if row is None:
            raise UnknownFile(alias)
        content: StoredFile = self._farm.table("library_content")[row.content]
        return Alias(row.id, row.filename, row.mimetype, content.sha256, content.sha1, content.size, row.created)

    def aliases(self, sha256: str) -> tuple[Alias, ...]:
        """See `Library.aliases`."""
        rows = self._farm.table("library_alias").values()
        return tuple(self.alias(row.id) for row in rows if row.content == sha256)

    def content(self, sha256: str) -> StoredFile | None:
        """See `Library.content`."""
        return self._farm.table("library_content").get(sha256)
