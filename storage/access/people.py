"""Who is who: tables `person`, `team` and `team_member`.

What follows from it is decided in `actors.core.people.roles`.  The tokens that people show are in `storage.access.tokens`.
"""

from __future__ import annotations

from storage.database.queries import load
from storage.database.repository import Repository
from storage.errors import BadValue, UnknownPerson, UnknownTeam
from storage.records import Person, Team
from storage.words.names import check_word

_SQL = load("people")


class People(Repository):
    """The people the farm knows by name, and their teams."""

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

    def remove(self, name: str) -> None:
        """Forget a person, their memberships and tokens.

        Raises:
            UnknownPerson: no such row.
            BadValue: they own an archive.
        """
        self.get(name)
        owned = self._values(_SQL["archives_of"], name=name)
        if owned:
            raise BadValue(f"{name} owns the archive {owned[0]} and can't be removed: revoke their tokens instead")
        self._run(_SQL["remove"], name=name)

    # -- teams -------------------------------------------------------------------------------------

    def add_team(self, name: str) -> Team:
        """Register a team; one that is there is returned.

        Raises:
            BadValue: the name can't be.
        """
        check_word("team", name)
        self._run(_SQL["add_team"], name=name)
        return self.team(name)

    def team(self, name: str) -> Team:
        """Return one team.

        Raises:
            UnknownTeam: says what there is.
        """
        found = self._row(Team, _SQL["teams"], name=name)
        if found is None:
            raise UnknownTeam(name, known=(one.name for one in self.teams()))
        return found

    def teams(self) -> tuple[Team, ...]:
        """Return all teams, by name."""
        return self._rows(Team, _SQL["teams"], name=None)

    def remove_team(self, name: str) -> None:
        """Forget a team; its members stay.

        Raises:
            UnknownTeam: no such row.
            BadValue: it is the team of the admins.
        """
        self.team(name)
        self._run(_SQL["remove_team"], name=name)

    def add_member(self, team: str, person: str) -> bool:
        """Make a person a member of a team; False: they were one.

        Raises:
            UnknownTeam, UnknownPerson: no such row.
        """
        self.team(team)
        self.get(person)
        return self._run(_SQL["add_member"], team=team, person=person) > 0

    def remove_member(self, team: str, person: str) -> bool:
        """Take a person out of a team; False: they were not in it.

        Raises:
            UnknownTeam, UnknownPerson: no such row.
        """
        self.team(team)
        self.get(person)
        return self._run(_SQL["remove_member"], team=team, person=person) > 0
