"""`buildd-master ca`: what people see of certificates, and what they may do."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from certificates.making import new_key, new_request
from certificates.token import read_token, secret_hash
from storage.access.authority import FarmAuthority
from storage.access.certificates import Certificates
from storage.database.connection import acting
from tests.fix_cli import Command


@pytest.fixture
def issue(connection: psycopg.Connection, state_directory: Path, command: Command) -> Callable[[float], str]:
    """Register bob and give his slave a certificate for some days."""
    assert command("builder", "add", "bob", "buildd://192.0.2.7:8221", "--family", "amd64").code == 0

    def make(days: float) -> str:
        with acting(connection, "test"):
            authority = FarmAuthority(connection, state_directory, datetime.now(UTC))
            authority.open()
            return authority.issue("bob", new_request(new_key()), timedelta(days=days)).shown.serial

    return make


def test_an_authority_is_made_once_by_itself_or_by_name(command: Command, state_directory: Path) -> None:
    first, second = command("ca", "init", "--json"), command("ca", "init", "--json")
    assert (first.json["made"], second.json["made"]) == (True, False)
    assert first.json["fingerprint"] == second.json["fingerprint"]
    assert (state_directory / "ca" / "ca.pem").exists()
    (master,) = command("ca", "list", "--json").json["certificates"]
    assert (master["role"], master["name"]) == ("master", "master")


def test_a_token_goes_to_stdout_alone_and_opens_the_door_of_its_builder(
    command: Command, connection: psycopg.Connection
) -> None:
    assert command("builder", "add", "bob", "buildd://192.0.2.7:8221", "--family", "amd64").code == 0
    ran = command("ca", "issue", "bob")
    assert ran.code == 0
    assert "good once, for bob, until" in ran.err
    token = read_token(ran.out)
    with acting(connection, "test"):
        assert Certificates(connection).use_token(secret_hash(token.secret)) == "bob"


def test_nobody_gets_a_token_for_a_builder_that_is_not_there(command: Command) -> None:
    ran = command("ca", "issue", "nobody")
    assert ran.code == 2
    assert "no builder 'nobody' here" in ran.err


def test_files_are_written_for_a_slave_that_can_not_enrol(command: Command, tmp_path: Path) -> None:
    assert command("builder", "add", "bob", "buildd://192.0.2.7:8221", "--family", "amd64").code == 0
    ran = command("ca", "issue", "bob", "--directory", tmp_path / "out", "--days", "7", "--json")
    assert ran.code == 0
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["ca.crt", "own.pem"]
    assert command("ca", "list", "--json").json["certificates"][-1]["serial"] == ran.json["serial"]
    assert command("ca", "issue", "bob", "--directory", tmp_path / "out").code == 2


def test_a_revoked_certificate_is_shown_as_such_and_can_not_be_revoked_again(
    command: Command, issue: Callable[[float], str]
) -> None:
    serial = issue(300)
    assert f"revoked certificate {serial} of builder bob" in command("ca", "revoke", serial).out
    assert "revoked 20" in command("ca", "list").out
    again = command("ca", "revoke", "bob")
    assert again.code == 2
    assert "no certificate in force for 'bob' here" in again.err


def test_the_master_can_not_be_revoked_behind_the_slaves_backs(command: Command) -> None:
    command("ca", "init")
    ran = command("ca", "revoke", "master")
    assert ran.code == 2
    assert "slaves can't be told of it" in ran.err


def test_what_expires_soon_is_warned_of_by_list_and_status_and_renewed(
    command: Command, issue: Callable[[float], str]
) -> None:
    issue(20.5)
    warned = "the certificate of builder bob expires in 20 days, on"
    assert warned in command("ca", "list").err
    assert warned in command("status").err
    assert warned in command("status", "--json").json["warnings"][0]
    assert "renewed the certificate of builder bob: valid until" in command("ca", "renew", "bob").out
    assert command("ca", "list").err == ""
    assert command("status", "--json").json["warnings"] == []


def test_what_has_expired_or_never_was_is_not_renewed_but_issued(
    command: Command, issue: Callable[[float], str]
) -> None:
    never = command("ca", "renew", "bob")
    assert never.code == 2
    assert "`buildd-master ca issue bob`" in never.err
    issue(-0.001)
    over = command("ca", "renew", "bob")
    assert over.code == 1
    assert "`buildd-master ca issue bob` lets its slave enrol again" in over.err


def test_the_masters_own_certificate_is_renewed_with_a_new_key(command: Command, state_directory: Path) -> None:
    command("ca", "init")
    before = (state_directory / "tls" / "own.pem").read_text()
    assert command("ca", "renew", "master").code == 0
    after = (state_directory / "tls" / "own.pem").read_text()
    assert before.split("-----END")[0] != after.split("-----END")[0]
