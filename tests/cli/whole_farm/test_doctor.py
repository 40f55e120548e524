"""`buildd-master doctor` on real databases, directories and ports."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from certificates.making import new_key, new_request
from cli.main import run
from host.unprivileged import command_as, interpreter_paths
from storage.access.authority import FarmAuthority
from storage.database.connection import MasterLock, acting, connect
from tests.fix_cli import Command, Ran
from tests.fix_farm import FarmUnderTest

URL = "buildd://127.0.0.1:8221"


def findings(ran: Ran) -> dict[str, tuple[str, str, str]]:
    """Return what each check found last: verdict, words, what mends it."""
    return {one["check"]: (one["verdict"], one["found"], one["mend"]) for one in ran.json["checks"]}


@pytest.fixture(autouse=True)
def as_the_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests owns what they make, root too."""
    monkeypatch.setenv("BUILDD_MASTER_USER", "root" if os.geteuid() == 0 else "")
    monkeypatch.setenv("LANG", "C.UTF-8")


def test_a_farm_that_is_well_has_nothing_broken_and_is_left_as_it_was(command: Command, state_directory: Path) -> None:
    ran = command("doctor", "--json")
    assert (ran.code, ran.json["ok"], ran.err) == (0, True, "")
    found = findings(ran)
    assert {one["verdict"] for one in ran.json["checks"]} <= {"ok", "warning", "does not apply"}
    assert found["database"][1].startswith("given: PostgreSQL 18 (")
    assert found["migrations"][0] == found["clocks"][0] == found["state directory"][0] == "ok"
    assert found["builders"] == ("does not apply", "none is registered: `buildd-master builder add --help`", "")
    assert list(state_directory.iterdir()) == []
    lines = command("doctor").out.splitlines()
    assert lines[0] == "settings  ok  readable, every key is known"


def test_builders_that_are_not_ok_are_warnings_with_their_fail_notes(command: Command) -> None:
    command("builder", "add", "bob", URL, "--family", "x86")
    assert findings(command("doctor", "--json"))["builders"] == ("ok", "all 1 are ok", "")
    command("builder", "set", "bob", "--not-ok", "--notes", "smells of\nsmoke")
    ran = command("doctor", "--json")
    assert ran.code == 0
    assert findings(ran)["builders"] == ("warning", "bob is not ok: smells of smoke", "buildd-master builder show bob")


def test_a_bad_setting_is_broken_and_the_machine_is_looked_at_all_the_same(
    command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BUILDD_MASTER_CRASHES", "many")
    ran = command("doctor", "--json")
    assert ran.code == 1
    found = findings(ran)
    assert found["settings"][0] == "broken"
    assert "environment variable BUILDD_MASTER_CRASHES" in found["settings"][1]
    assert {"clock", "locale", "programs"} < found.keys()


def test_a_database_that_does_not_answer_or_lacks_migrations_is_broken(
    command: Command, monkeypatch: pytest.MonkeyPatch, empty_database: str
) -> None:
    monkeypatch.setenv("BUILDD_MASTER_DATABASE", "postgresql://me:geheim@127.0.0.1:1/farm")
    ran = command("doctor", "--json")
    assert (ran.code, findings(ran)["database"][0]) == (1, "broken")
    assert "geheim" not in ran.out
    monkeypatch.setenv("BUILDD_MASTER_DATABASE", empty_database)
    ran = command("doctor", "--json")
    assert ran.code == 1
    verdict, words, step = findings(ran)["migrations"]
    assert (verdict, step) == ("broken", "buildd-master db migrate")
    assert " migrations missing, from 0001" in words


def test_an_embedded_database_that_rests_is_well_and_a_path_too_long_for_its_socket_is_not(
    command: Command, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("BUILDD_MASTER_DATABASE")
    assert findings(command("doctor", "--json"))["database"] == ("ok", "embedded, starts with the master", "")
    monkeypatch.setenv("BUILDD_MASTER_STATE_DIRECTORY", str(tmp_path / ("x" * 100)))
    ran = command("doctor", "--json")
    assert ran.code == 1
    assert "too long for a socket" in findings(ran)["database"][1]


def test_another_master_on_the_database_is_a_warning(command: Command, farm_database: str) -> None:
    assert "rival" not in findings(command("doctor", "--json"))
    with MasterLock(farm_database):
        assert findings(command("doctor", "--json"))["rival"][1].startswith("another master works on this database")


def test_secrets_and_a_directory_that_others_can_read_are_told(command: Command, state_directory: Path) -> None:
    token = state_directory / "slave-token"
    token.write_text("secret")
    token.chmod(0o644)
    state_directory.chmod(0o755)
    ran = command("doctor", "--json")
    assert ran.code == 1
    assert findings(ran)["secrets"] == ("broken", f"{token} is open to others", f"chmod 600 {token}")
    assert findings(ran)["state directory"][0::2] == ("warning", f"chmod 700 {state_directory}")


def test_a_port_that_is_taken_is_broken(command: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        monkeypatch.setenv("BUILDD_MASTER_ADMIN_PORT", str(port))
        monkeypatch.setenv("BUILDD_MASTER_ENROLL_LISTEN", f"127.0.0.1:{port}")
        ran = command("doctor", "--json")
    assert ran.code == 1
    names = [one["found"].partition(":")[0] for one in ran.json["checks"] if one["check"] == "ports"]
    assert names == ["admin_port", "enroll_listen"]


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to give a directory away")
def test_a_directory_of_somebody_else_is_broken(command: Command, state_directory: Path) -> None:
    os.chown(state_directory, 65534, -1)
    ran = command("doctor", "--json")
    assert ran.code == 1
    verdict, words, step = findings(ran)["state directory"]
    assert (verdict, step) == ("broken", f"chown -R root: {state_directory}")
    assert words == f"{state_directory} belongs to nobody, and not to root"


def test_a_running_farm_is_looked_at_too(whole_farm: FarmUnderTest, capsys: pytest.CaptureFixture[str]) -> None:
    whole_farm.start()
    whole_farm.settings.token_file.chmod(0o600)
    place = ["--state-directory", str(whole_farm.settings.state_directory), "--database", whole_farm.database]
    capsys.readouterr()
    code = run([*place, "doctor", "--json"])
    found = findings(Ran(code, *capsys.readouterr()))
    assert whole_farm.process is not None
    assert found["master"] == ("ok", f"runs (pid {whole_farm.process.pid})", "")
    assert found["ports"] == ("ok", "the running master has its own", "")
    assert "rival" not in found
    assert code == 0
    assert whole_farm.stop() == 0


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_an_ordinary_user_is_told_what_is_closed_to_him(state_directory: Path) -> None:
    state_directory.parent.chmod(0o755)
    (state_directory / "slave-token").touch()
    doctor = [
        sys.executable,
        "-P",
        "-m",
        "buildd_master",
        "--state-directory",
        str(state_directory),
        "doctor",
        "--json",
    ]
    whole = command_as("nobody", doctor, reach=(*interpreter_paths(), state_directory.parent), die_with_parent=False)
    top = str(Path(__file__).resolve().parents[3])
    ran = subprocess.run(whole, env={**os.environ, "PYTHONPATH": top}, capture_output=True, text=True, check=False)
    assert (ran.returncode, ran.stderr) == (1, "")
    found: dict[str, Any] = {one["check"]: one for one in json.loads(ran.stdout)["checks"]}
    assert found["state directory"]["mend"] == "run this as root, or set state_directory"
    assert found["secrets"]["mend"] == "run this as root"


def test_a_certificate_that_expires_soon_is_a_warning(
    command: Command, farm_database: str, state_directory: Path
) -> None:
    assert findings(command("doctor", "--json"))["certificates"][0] == "does not apply"
    command("builder", "add", "bob", URL, "--family", "x86")
    with connect(farm_database, application="test") as connection, acting(connection, "test"):
        authority = FarmAuthority(connection, state_directory, datetime.now(UTC))
        authority.open()
        authority.issue("bob", new_request(new_key()), timedelta(days=20, hours=1))
    ran = command("doctor", "--json")
    assert ran.code == 0
    verdict, words, step = findings(ran)["certificates"]
    assert (verdict, step) == ("warning", "buildd-master ca renew bob")
    assert words.startswith("the certificate of builder bob expires in 20 days")
