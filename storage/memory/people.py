"""The in-memory twin of `storage.access.people`.  Tokens have none: only doors look at them, and those are in front of a database."""

from __future__ import annotations

from dataclasses import replace

from storage.errors import BadValue, UnknownPerson, UnknownTeam
from storage.memory.database import MemoryFarm
from storage.memory.rows import MemberRow, TeamRow
from storage.records import ADMINS, Archive, Person, Team
from storage.words.names import check_word


class MemoryPeople:
    """The twin of `storage.access.people.People`."""

    def __init__(self, farm: MemoryFarm) -> None:
        """Work on `farm`."""
        self._farm = farm

    def add(self, name: str) -> Person:
        """See `People.add`."""
        check_word("person", name)
        if name not in self._farm.table("person"):
            self._farm.put("person", name, Person(self._farm.number("person"), name))
        return self.get(name)

    def get(self, name: str) -> Person:
        """See `People.get`."""
        found: Person | None = self._farm.table("person").get(name)
        if found is None:
            raise UnknownPerson(name)
        return replace(found, teams=tuple(sorted(row.team for row in self._members() if row.person == name)))

    def all(self) -> tuple[Person, ...]:
        """See `People.all`."""
        return tuple(self.get(name) for name in sorted(self._farm.table("person")))

    def remove(self, name: str) -> None:
        """See `People.remove`."""
        self.get(name)
        archives: list[Archive] = list(self._farm.table("archive").values())
        owned = sorted(f"{one.distribution}/{one.name}" for one in archives if one.owner == name)
        if owned:
            raise BadValue(f"{name} owns the archive {owned[0]} and can't be removed: revoke their tokens instead")
        for row in self._members():
            if row.person == name:
                self._farm.put("team_member", (row.team, row.person), None)
        self._farm.put("person", name, None)

    def add_team(self, name: str) -> Team:
        """See `People.add_team`."""
        check_word("team", name)
        self._farm.put("team", name, TeamRow(name))
        return self.team(name)

    def team(self, name: str) -> Team:
        """See `People.team`."""
        if name not in self._farm.table("team"):
            raise UnknownTeam(name, known=sorted(self._farm.table("team")))
        return Team(name, tuple(sorted(row.person for row in self._members() if row.team == name)))

    def teams(self) -> tuple[Team, ...]:
        """See `People.teams`."""
        return tuple(self.team(name) for name in sorted(self._farm.table("team")))

    def remove_team(self, name: str) -> None:
        """See `People.remove_team`."""
        self.team(name)
        if name == ADMINS:
            raise BadValue(f"the team {ADMINS} stays as it is called: its members have the role buildd-admin")
        for row in self._members():
            if row.team == name:
                self._farm.put("team_member", (row.team, row.person), None)
        self._farm.put("team", name, None)

    def add_member(self, team: str, person: str) -> bool:
        """See `People.add_member`."""
        self.team(team)
        self.get(person)
        there = (team, person) in self._farm.table("team_member")
        self._farm.put("team_member", (team, person), MemberRow(team, person))
        return not there

    def remove_member(self, team: str, person: str) -> bool:
        """See `People.remove_member`."""
        self.team(team)
        self.get(person)
        there = (team, person) in self._farm.table("team_member")
        self._farm.put("team_member", (team, person), None)
        return there

    def _members(self) -> tuple[MemberRow, ...]:
        return tuple(self._farm.table("team_member").values())
