"""People and teams.  On PostgreSQL and in memory."""

from __future__ import annotations

from typing import LiteralString

import psycopg
import pytest

from storage.errors import BadValue, UnknownPerson, UnknownTeam
from storage.records import ADMINS, Person, Team
from tests.fix_storage import Farm, Stage


def test_people_are_known_by_name(stage: Stage) -> None:
    with stage.acting("cli"):
        anna = stage.people.add("anna")
        assert stage.people.add("anna") == anna
    assert stage.people.get("anna") == anna
    with pytest.raises(UnknownPerson, match="'bob'"):
        stage.people.get("bob")
    with pytest.raises(BadValue), stage.acting("cli"):
        stage.people.add("Anna Bee")


def test_a_farm_begins_with_the_team_of_its_admins_and_nobody_in_it(stage: Stage) -> None:
    assert stage.people.teams() == (Team(ADMINS, ()),)


def test_a_member_is_one_until_taken_out(stage: Stage) -> None:
    with stage.acting("root", "team add-member"):
        for name in ("bea", "anna"):
            stage.people.add(name)
            assert stage.people.add_member(ADMINS, name)
        assert not stage.people.add_member(ADMINS, "anna")
        stage.people.add_team("kernel")
        stage.people.add_member("kernel", "anna")
    assert stage.people.team(ADMINS).members == ("anna", "bea")
    assert stage.people.get("anna").teams == (ADMINS, "kernel")
    assert [one.teams for one in stage.people.all()] == [(ADMINS, "kernel"), (ADMINS,), ()]
    with stage.acting("root", "team remove-member"):
        assert stage.people.remove_member(ADMINS, "anna")
        assert not stage.people.remove_member(ADMINS, "anna")
    assert stage.people.get("anna").teams == ("kernel",)
    story = [
        (one.who, one.what, (one.after or one.before or {})["person"]) for one in stage.events.story(f"team:{ADMINS}")
    ]
    assert story == [("root", "insert", "bea"), ("root", "insert", "anna"), ("root", "delete", "anna")]


def test_a_person_who_is_removed_leaves_their_teams(stage: Stage) -> None:
    with stage.acting("root"):
        stage.people.add("anna")
        stage.people.add_member(ADMINS, "anna")
        stage.people.remove("anna")
    assert stage.people.team(ADMINS).members == ()
    assert [one.name for one in stage.people.all()] == ["cprov"]


def test_who_owns_an_archive_stays(stage: Stage) -> None:
    with pytest.raises(BadValue, match="cprov owns the archive ubuntu/cprov/ppa"), stage.acting("root"):
        stage.people.remove("cprov")
    assert isinstance(stage.people.get("cprov"), Person)


@pytest.mark.parametrize(
    ("team", "person", "error", "words"),
    [
        ("kernel", "cprov", UnknownTeam, r"no team 'kernel' here \(there are: buildd-admins\)"),
        (ADMINS, "bob", UnknownPerson, "no person 'bob' here"),
    ],
)
def test_who_is_unknown_is_in_no_team(stage: Stage, team: str, person: str, error: type[Exception], words: str) -> None:
    last = stage.events.last_id()
    with pytest.raises(error, match=words), stage.acting("root"):
        stage.people.add_member(team, person)
    with pytest.raises(error, match=words), stage.acting("root"):
        stage.people.remove_member(team, person)
    assert stage.events.last_id() == last


def test_a_team_that_is_removed_leaves_its_members(stage: Stage) -> None:
    with stage.acting("root"):
        stage.people.add_team("kernel")
        stage.people.add_member("kernel", "cprov")
        stage.people.remove_team("kernel")
    assert stage.people.get("cprov").teams == ()
    with pytest.raises(BadValue, match="the team buildd-admins stays"), stage.acting("root"):
        stage.people.remove_team(ADMINS)
    assert stage.people.teams() == (Team(ADMINS, ()),)


@pytest.mark.parametrize(
    "statement",
    ["DELETE FROM team WHERE name = 'buildd-admins'", "UPDATE team SET name = 'admins' WHERE name = 'buildd-admins'"],
)
def test_the_team_of_the_admins_stays_at_the_prompt_too(farm: Farm, statement: LiteralString) -> None:
    with pytest.raises(psycopg.errors.CheckViolation, match="stays as it is called"):
        farm.sql(statement)
