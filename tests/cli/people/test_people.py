"""`buildd-master person`, `team` and `token` on a real database."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cli.given import login_name
from storage.access.tokens import PREFIX
from storage.database.connection import connect
from storage.events.log import Events
from storage.records import ADMINS, Event
from tests.fix_cli import Command

REFUSED = "needs a buildd-admin (a member of the team buildd-admins)"


def token_of(command: Command, person: str, *options: str) -> str:
    """Register a person, and return a new token of theirs."""
    assert command("person", "add", person).code == 0
    created = command("token", "create", person, *options)
    assert created.code == 0, created.err
    return created.out.strip()


def events_of(database: str, subject: str) -> tuple[Event, ...]:
    with connect(database, application="test") as connection:
        return Events(connection).story(subject)


def test_a_farm_is_its_users_own_without_any_set_up(command: Command) -> None:
    me = command("person", "show", "--json").json
    assert (me["acts_as"], me["operator"]) == (login_name(), True)
    assert "change_builders" in me["may"]
    assert command("builder", "add", "bob", "buildd://127.0.0.1:8221").code == 0
    assert command("person", "list", "--json").json == {"people": []}
    assert "nobody is registered" in command("person", "list").err


def test_people_are_registered_and_forgotten(command: Command, farm_database: str) -> None:
    assert command("person", "add", "anna").out == "registered person anna\n"
    assert command("person", "add", "anna").out == "person anna is registered already\n"
    assert command("person", "add", "anna", "--json").json == {"name": "anna", "teams": []}
    assert command("person", "list").out.split() == ["PERSON", "TEAMS", "anna"]
    assert command("person", "remove", "anna").out == "removed person anna\n"
    assert [(one.who, one.why) for one in events_of(farm_database, "person:anna")] == [
        (login_name(), "person add anna"),
        (login_name(), "person remove anna"),
    ]
    again = command("person", "remove", "anna")
    assert (again.code, "no person 'anna' here" in again.err) == (2, True)


def test_a_member_is_put_into_a_team_and_taken_out(command: Command, farm_database: str) -> None:
    command("person", "add", "anna")
    assert command("team", "list").out.splitlines()[1].split() == [ADMINS, "nobody"]
    assert command("team", "add-member", ADMINS, "anna").out == f"anna is a member of {ADMINS} now\n"
    assert command("team", "add-member", ADMINS, "anna").out == f"anna was in {ADMINS} already\n"
    assert command("team", "list", "--json").json == {"teams": [{"name": ADMINS, "members": ["anna"]}]}
    assert command("person", "list", "--json").json == {"people": [{"name": "anna", "teams": [ADMINS]}]}
    left = command("team", "remove-member", ADMINS, "anna", "--json").json
    assert left == {"name": ADMINS, "members": [], "changed": True}
    assert command("team", "remove-member", ADMINS, "anna").out == f"anna was not in {ADMINS}\n"
    assert [one.what for one in events_of(farm_database, f"team:{ADMINS}")] == ["insert", "delete"]


def test_a_team_is_added_and_removed_but_for_the_admins(command: Command) -> None:
    assert command("team", "add", "kernel").out == "registered team kernel\n"
    assert command("team", "add", "kernel").out == "team kernel is registered already\n"
    assert command("team", "remove", "kernel").out == "removed team kernel\n"
    stays = command("team", "remove", ADMINS)
    assert (stays.code, "the team buildd-admins stays as it is called" in stays.err) == (2, True)
    unknown = command("team", "add-member", "kernel", "anna")
    assert (unknown.code, "no team 'kernel' here (there are: buildd-admins)" in unknown.err) == (2, True)


def test_a_person_is_shown_with_what_they_may_do(command: Command) -> None:
    command("series", "add", "ubuntu/hoary", "--arch", "i386")
    command("archive", "add", "ubuntu/cprov/ppa")
    command("archive", "add", "ubuntu/cprov/secret", "--private")
    anna, mallory = token_of(command, "anna"), token_of(command, "mallory")
    command("team", "add-member", ADMINS, "anna")
    shown = command("person", "show", "cprov", "--json").json
    assert (shown["archives"], shown["operator"]) == (["ubuntu/cprov/ppa", "ubuntu/cprov/secret"], False)
    assert shown["may"] == ["change_builds", "revoke_tokens"]
    assert command("person", "show", "cprov", "--json", token=mallory).json["archives"] == ["ubuntu/cprov/ppa"]
    me = command("person", "show", token=anna).out
    assert "acts as  anna" in me
    assert "changing the builds of every archive" in me
    me = command("person", "show", token=mallory).out
    assert "listing and revoking the tokens of mallory" in me
    assert "changing" not in me


def test_a_token_is_printed_once_and_whoever_shows_it_is_its_person(command: Command) -> None:
    command("person", "add", "anna")
    created = command("token", "create", "anna", "--label", "laptop", "--json").json
    assert created["token"].startswith(PREFIX)
    (listed,) = command("token", "list", "--json").json["tokens"]
    assert listed == {key: value for key, value in created.items() if key != "token"}
    assert (listed["person"], listed["label"], listed["good"], listed["last_used"]) == ("anna", "laptop", True, None)
    me = command("person", "show", "--json", token=created["token"]).json
    assert (me["acts_as"], me["operator"]) == ("anna", False)
    assert command("token", "list", "--json").json["tokens"][0]["last_used"] is not None
    said = command("token", "create", "anna", "--expires", "never")
    assert said.out.startswith(PREFIX)
    assert "token 2: whoever has it is anna for ever" in said.err
    rows = command("token", "list").out.splitlines()
    assert [row.split()[:4] for row in rows[1:]] == [["1", "anna", "good", "until"], ["2", "anna", "good", "for"]]


def test_what_a_token_does_is_its_persons_doing(command: Command, farm_database: str) -> None:
    anna = token_of(command, "anna")
    command("team", "add-member", ADMINS, "anna")
    assert command("builder", "add", "bob", "buildd://127.0.0.1:8221", token=anna).code == 0
    assert events_of(farm_database, "builder:bob")[0].who == "anna"


def test_a_token_leaves_the_environment_where_programs_that_we_start_would_read_it(command: Command) -> None:
    anna = token_of(command, "anna")
    command("person", "show", token=anna)
    assert "BUILDD_MASTER_TOKEN" not in os.environ


def test_a_token_may_be_in_a_file_that_nobody_else_reads(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(token_of(command, "anna") + "\n")
    file.chmod(0o600)
    assert command("--token-file", file, "person", "show", "--json").json["acts_as"] == "anna"
    file.chmod(0o640)
    open_to_others = command("--token-file", file, "person", "show")
    assert open_to_others.code == 2
    assert f"the token file {file} is open to others: chmod 600 {file}" in open_to_others.err


def test_a_token_file_may_be_named_in_the_environment(
    command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.touch(0o600)
    file.write_text(token_of(command, "anna"))
    bea = token_of(command, "bea")
    monkeypatch.setenv("BUILDD_MASTER_TOKEN_FILE", str(file))
    assert command("person", "show", "--json").json["acts_as"] == "anna"
    # the nearer word counts
    assert command("person", "show", "--json", token=bea).json["acts_as"] == "bea"
    assert command("--token-file", file, "person", "show", "--json", token=bea).json["acts_as"] == "anna"


def test_a_token_file_that_can_not_be_read_is_named(command: Command, tmp_path: Path) -> None:
    for path, words in ((tmp_path / "none", "No such file or directory"), (tmp_path, "Is a directory")):
        failed = command("--token-file", path, "person", "show")
        assert (failed.code, words in failed.err, str(path) in failed.err) == (2, True, True)
    failed = command("--token-file", "/dev/null", "person", "show")
    assert (failed.code, "the token file /dev/null is no file" in failed.err) == (2, True)


def test_each_token_that_opens_nothing_has_a_sentence_of_its_own(command: Command) -> None:
    revoked, expired = token_of(command, "anna"), token_of(command, "bea", "--expires", "1s")
    assert command("token", "revoke", "1").out == "revoked token 1 of anna\n"
    with connect(os.environ["BUILDD_MASTER_DATABASE"], application="test") as connection:
        connection.execute("UPDATE api_token SET expires = created WHERE id = 2")
    sentences = {
        revoked: "BUILDD_MASTER_TOKEN: token 1 of anna was revoked on ",
        expired: "BUILDD_MASTER_TOKEN: token 2 of bea expired on ",
        PREFIX + "x" * 43: "BUILDD_MASTER_TOKEN: this farm knows no such token",
        "hunter2": "BUILDD_MASTER_TOKEN: this is no token",
        " ": "BUILDD_MASTER_TOKEN is set, and empty",
    }
    for token, sentence in sentences.items():
        ran = command("builder", "list", token=token)
        assert (ran.code, ran.out) == (2, "")
        assert sentence in ran.err
        assert len(ran.err.splitlines()) == 1
        assert token == " " or token not in ran.err


def test_who_may_not_make_people_and_tokens_is_refused(command: Command) -> None:
    mallory = token_of(command, "mallory")
    for arguments in (
        ("person", "add", "eve"),
        ("person", "remove", "mallory"),
        ("team", "add", "eves"),
        ("team", "add-member", ADMINS, "mallory"),
        ("token", "create", "mallory"),
    ):
        ran = command(*arguments, token=mallory)
        assert (ran.code, ran.out) == (2, "")
        assert f"changing people, teams and tokens {REFUSED}; you act as mallory" in ran.err


def test_everybody_sees_and_revokes_their_own_tokens_and_nobody_elses(command: Command) -> None:
    mallory, _ = token_of(command, "mallory"), token_of(command, "anna")
    assert [one["id"] for one in command("token", "list", "--json", token=mallory).json["tokens"]] == [1]
    for arguments in (("token", "list", "anna"), ("token", "revoke", "2")):
        ran = command(*arguments, token=mallory)
        assert (ran.code, f"the tokens of anna {REFUSED}, or anna; you act as mallory" in ran.err) == (2, True)
    assert command("token", "revoke", "1", token=mallory).code == 0
    assert command("token", "list", token=mallory).code == 2


@pytest.mark.parametrize("expires", ["0s", "soon", "11y", "9999999999d", "3651d"])
def test_a_life_that_can_not_be_is_refused(command: Command, expires: str) -> None:
    command("person", "add", "anna")
    ran = command("token", "create", "anna", "--expires", expires)
    assert (ran.code, f"--expires {expires}" in ran.err) == (2, True)


def test_an_operator_may_try_things_as_a_person_and_the_events_say_so(
    command: Command, farm_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("person", "add", "anna")
    command("person", "add", "mallory")
    command("team", "add-member", ADMINS, "anna")
    assert command("--as", "anna", "builder", "add", "bob", "buildd://127.0.0.1:8221").code == 0
    assert events_of(farm_database, "builder:bob")[0].who == f"{login_name()} as anna"
    monkeypatch.setenv("BUILDD_MASTER_PERSON", "mallory")
    ran = command("builder", "remove", "bob")
    assert ran.code == 2
    assert f"{REFUSED}; you act as {login_name()} as mallory" in ran.err
    assert command("--as", "anna", "builder", "remove", "bob").code == 0
    monkeypatch.setenv("BUILDD_MASTER_PERSON", "")
    assert "BUILDD_MASTER_PERSON is set, and empty" in command("builder", "list").err
    monkeypatch.setenv("BUILDD_MASTER_PERSON", "nobody")
    assert "no person 'nobody' here" in command("builder", "list").err


def test_a_token_never_gains_rights_by_acting_as_somebody_else(command: Command) -> None:
    mallory, anna = token_of(command, "mallory"), token_of(command, "anna")
    command("team", "add-member", ADMINS, "anna")
    ran = command("--as", "anna", "builder", "list", token=mallory)
    assert (ran.code, f"acting as anna {REFUSED}; you act as mallory" in ran.err) == (2, True)
    me = command("--as", "mallory", "person", "show", "--json", token=anna).json
    assert (me["acts_as"], me["operator"]) == ("anna as mallory", False)
    assert "change_builders" not in me["may"]


def test_what_works_beneath_the_farm_is_for_operators_only(command: Command) -> None:
    command("person", "add", "anna")
    command("team", "add-member", ADMINS, "anna")
    for arguments in (("up",), ("console", "actors"), ("db", "migrate")):
        ran = command("--as", "anna", *arguments)
        assert (ran.code, "where no person's roles count: run it without --as" in ran.err) == (2, True)
