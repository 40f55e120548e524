"""Who owns archives: table `person`."""

from __future__ import annotations

from storage.errors import UnknownPerson
from storage.queries import load
from storage.records import Person
from storage.repository import Repository
from storage.words import check_word

_SQL = load("people")


class People(Repository):
    """The people the farm knows by name."""

    def add(self, name: str) -> Person:
        """Register a person; one that is there is returned.

        Raises:
            BadValue: the name can't be.
        """
        check_word("person", name)
        self._run(_SQL["add"], name=name)
        return self.get(name)

    def get(self, name: str) -> Person:
        """Return one person.

        Raises:
            UnknownPerson: no such row.
        """
        found = self._row(Person, _SQL["people"], name=name)
        if found is None:
            raise UnknownPerson(name)
        return found

    def all(self) -> tuple[Person, ...]:
        """Return all, by name."""
        return self._rows(Person, _SQL["people"], name=None)
