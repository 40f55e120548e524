"""What the database knows of the librarian's files: tables `library_content` and `library_alias`.

The bytes are `storage.files.librarian`'s.  Put them there first, then the rows: a row without bytes is a broken promise, bytes
without a row are only litter.
"""

from __future__ import annotations

from storage.database.queries import load
from storage.database.repository import Repository
from storage.errors import BadValue, UnknownFile
from storage.files.kinds import mimetype_of
from storage.records import Alias, StoredFile
from storage.words.files import check_filename

_SQL = load("library")


class Library(Repository):
    """Aliases: names for content."""

    def add(self, content: StoredFile, filename: str, mimetype: str = "") -> Alias:
        """Name a file that the librarian holds.  The same name for the same content is the same alias.

        Args:
            content: as the librarian returned it.
            filename: a single path component.
            mimetype: empty: by the name.

        Raises:
            BadValue: no filename; or the content is known with another size or SHA-1.
        """
        check_filename("the librarian", filename)
        self._run(_SQL["add_content"], sha256=content.sha256, sha1=content.sha1, size=content.size)
        if self.content(content.sha256) != content:
            raise BadValue(
                f"content {content.sha256} is known with another size or SHA-1; `buildd-master check` looks closer"
            )
        (alias,) = self._values(
            _SQL["add_alias"],
            sha256=content.sha256,
            filename=filename,
            mimetype=mimetype or mimetype_of(filename),
        )
        return self.alias(alias)

    def alias(self, alias: int) -> Alias:
        """Return one alias.

        Raises:
            UnknownFile: no such row.
        """
        found = self._row(Alias, _SQL["alias"], alias=alias)
        if found is None:
            raise UnknownFile(alias)
        return found

    def aliases(self, sha256: str) -> tuple[Alias, ...]:
        """Return the names of one content, oldest first; empty if there is none."""
        return self._rows(Alias, _SQL["aliases"], sha256=sha256)

    def content(self, sha256: str) -> StoredFile | None:
        """Return what is known of a content; None: the librarian was never given it."""
        return self._row(StoredFile, _SQL["content"], sha256=sha256)
