"""The one door to every change: who lacks the role is refused by every command, and nothing changes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
from psycopg import Connection
from typer.core import TyperGroup
from typer.main import get_command

import cli
from actors.core.people.roles import Action
from cli.app import COMMANDS, GROUPS, command_line
from cli.errors import BadInput, Refused
from cli.farm import open_farm
from cli.given import Given, Shown
from storage.access.tokens import ApiTokens
from storage.builders import Builders
from storage.database.connection import connect
from storage.files.librarian import Librarian
from storage.records import ADMINS, Build, RuntimeState
from tests.fix_cli import Command, Ran, SourceMaker
from tests.fix_storage import Farm, every_row, on_postgresql

pytestmark = pytest.mark.slow  # all together they take more of the machine than the fast suite may

REFUSED = "needs a buildd-admin (a member of the team buildd-admins)"


@dataclass(frozen=True, slots=True)
class Roles:
    """A farm with a public and a private PPA of cprov's, and tokens of an admin, an owner and somebody else."""

    stage: Farm
    anna: str
    cprov: str
    mallory: str
    public: Build
    secret: Build


@pytest.fixture
def connection(farm_database: str) -> Iterator[Connection[Any]]:
    with connect(farm_database, application="test") as opened:
        yield opened


@pytest.fixture
def roles(connection: Connection[Any], command: Command) -> Roles:
    del command  # sets the environment
    stage = on_postgresql(connection)
    public = stage.job("foo", "cprov/ppa").build
    stage.builder("frog", trusted=False)
    tokens: dict[str, str] = {}
    with stage.acting("stage"):
        stage.archives.add("cprov/secret", "ubuntu", stage.archives.get("ubuntu", "cprov/ppa").purpose)
        stage.archives.change("ubuntu", "cprov/secret", private=True)
        for name in ("anna", "cprov", "mallory"):
            stage.people.add(name)
            tokens[name] = ApiTokens(connection).create(name, None)[0]
        stage.people.add_member(ADMINS, "anna")
    secret = stage.job("kimono", "cprov/secret").build
    return Roles(stage, public=stage.builds.get(public), secret=stage.builds.get(secret), **tokens)


#: A command as somebody without any role calls it → what comes of that.  `{…}` is filled in by the test.
LOOKS, LACKS, BENEATH = "looks", "lacks a role", "works beneath the farm"
TRIED: dict[str, tuple[str, str]] = {
    "up": ("", BENEATH),
    "console": ("actors", BENEATH),
    "db migrate": ("", BENEATH),
    "doctor": ("", LOOKS),
    "status": ("", LOOKS),
    "queue": ("", LOOKS),
    "explain": ("1", LOOKS),
    "events": ("", LACKS),
    "simulate": ("--builders 1 --jobs 1 --hours 0.1", LOOKS),
    "check": ("", LACKS),
    "submit": ("{dsc} --archive ubuntu/cprov/ppa --urgency high --again", LACKS),
    "build list": ("", LOOKS),
    "build show": ("{secret}", LOOKS),
    "build log": ("{secret}", LACKS),
    "build files": ("{secret}", LACKS),
    "build cancel": ("{public}", LACKS),
    "build retry": ("{public}", LACKS),
    "build give-back": ("{public} --exclude", LACKS),
    "build set-state": ("{public} CANCELLED", LACKS),
    "build rescore": ("{public} 5000", LACKS),
    "build assign": ("{public} frog", LACKS),
    "farm show": ("", LOOKS),
    "farm pause": ("--why bored", LACKS),
    "farm resume": ("", LACKS),
    "farm fence": ("5000", LACKS),
    "builder quarantine": ("frog --minutes 5 --why bored", LACKS),
    "builder release": ("frog", LACKS),
    "builder list": ("", LOOKS),
    "builder show": ("frog", LOOKS),
    "builder add": ("eve buildd://127.0.0.1:8221", LACKS),
    "builder set": ("frog --trusted", LACKS),
    "builder remove": ("frog", LACKS),
    "chroot list": ("", LOOKS),
    "chroot make": ("bookworm", LACKS),
    "chroot update": ("", LACKS),
    "chroot add": ("ubuntu/hoary/i386 {dsc}", LACKS),
    "chroot use": ("ubuntu/hoary/i386", LACKS),
    "chroot remove": ("ubuntu/hoary/i386", LACKS),
    "series list": ("", LOOKS),
    "series add": ("ubuntu/warty --arch i386", LACKS),
    "series set": ("ubuntu/hoary --status obsolete", LACKS),
    "series remove": ("ubuntu/hoary", LACKS),
    "archive list": ("", LOOKS),
    "archive show": ("ubuntu/cprov/secret", LACKS),
    "archive add": ("ubuntu/mallory/ppa", LACKS),
    "archive set": ("ubuntu/cprov/ppa --disable", LACKS),
    "archive import-packages": ("ubuntu/primary {dsc} --series hoary --arch i386", LACKS),
    "archive publications": ("ubuntu/cprov/secret", LACKS),
    "archive unpublish": ("ubuntu/cprov/ppa foo", LACKS),
    "ca init": ("", LACKS),
    "ca issue": ("frog", LACKS),
    "ca renew": ("frog", LACKS),
    "ca revoke": ("frog", LACKS),
    "ca list": ("", LOOKS),
    "person list": ("", LOOKS),
    "person show": ("cprov", LOOKS),
    "person add": ("eve", LACKS),
    "person remove": ("anna", LACKS),
    "team list": ("", LOOKS),
    "team add": ("eves", LACKS),
    "team remove": ("buildd-admins", LACKS),
    "team add-member": ("buildd-admins mallory", LACKS),
    "team remove-member": ("buildd-admins anna", LACKS),
    "token create": ("mallory", LACKS),
    "token list": ("", LOOKS),
    "token revoke": ("1", LACKS),
}


def every_command() -> Iterator[str]:
    program = get_command(command_line(frozenset(COMMANDS) | frozenset(GROUPS)))
    assert isinstance(program, TyperGroup)
    for name, one in program.commands.items():
        if isinstance(one, TyperGroup):
            yield from (f"{name} {inner}" for inner in one.commands)
        else:
            yield name


def test_every_command_is_tried_without_a_role() -> None:
    assert set(every_command()) == TRIED.keys(), "say in TRIED how somebody without a role calls the new command"


def run_tried(name: str, roles: Roles, command: Command, dsc: Path, token: str) -> Ran:
    words = TRIED[name][0].format(dsc=dsc, public=roles.public.id, secret=roles.secret.id)
    return command(*name.split(), *words.split(), token=token)


@pytest.mark.parametrize("comes", [LOOKS, LACKS, BENEATH])
def test_who_has_no_role_changes_nothing_by_any_command(
    comes: str, roles: Roles, command: Command, source: SourceMaker
) -> None:
    dsc = source("foo", hints="any")
    for name in (one for one in TRIED if TRIED[one][1] == comes):
        before = every_row(roles.stage.conn)
        ran = run_tried(name, roles, command, dsc, roles.mallory)
        after = every_row(roles.stage.conn)
        if comes == LOOKS:
            refused = ran.code != 0 or REFUSED in ran.err  # an empty list may say how it gets longer
            assert not refused or name == "doctor", (name, ran.err)
            del before["api_token"], after["api_token"]  # when the token was used last
        else:
            assert (ran.code, ran.out) == (2, ""), name
            assert (REFUSED if comes == LACKS else "no person's roles count") in ran.err, name
            assert len(ran.err.splitlines()) == 1, name
        assert after == before, name
        assert "kimono" not in ran.out + ran.err, name


def test_who_has_the_role_is_refused_by_no_command(roles: Roles, command: Command, source: SourceMaker) -> None:
    dsc = source("foo", hints="any")
    takes_long = {"chroot make", "chroot update"}
    for name in (one for one in TRIED if TRIED[one][1] == LACKS and one not in takes_long):
        assert "you act as" not in run_tried(name, roles, command, dsc, roles.anna).err, name


#: Of the commands that want a role, those that only look.
LOOKING = {"events", "check", "build log", "build files", "archive show", "archive publications"}


def test_every_command_that_changes_something_takes_its_reason_and_every_event_of_it_has_it(
    roles: Roles, command: Command, source: SourceMaker
) -> None:
    dsc = source("foo", hints="any")
    changing = [name for name, (_, comes) in TRIED.items() if comes == LACKS and name not in LOOKING]
    wrote = set()
    for name in changing:
        if name in {"chroot make", "chroot update"}:  # these take long
            assert "--why" in command(*name.split(), "--help").out, name
            continue
        last = roles.stage.events.last_id()
        words = TRIED[name][0].format(dsc=dsc, public=roles.public.id, secret=roles.secret.id)
        ran = command(*name.split(), *words.split(), "--why", "for the test", token=roles.anna)
        assert "--why" not in ran.err, (name, ran.err)
        told = roles.stage.events.list(since_id=last)
        assert {event.why for event in told} <= {"for the test"}, (name, told)
        wrote |= {name} if told else set()
    assert len(wrote) > len(changing) / 2, wrote


def test_the_database_itself_refuses_what_passes_the_door_by(roles: Roles) -> None:
    with open_farm(context(roles.anna)) as farm:
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            Builders(farm.connection).set_ok("frog", ok=False)
        with farm.acting("test", Action.CHANGE_BUILDERS):
            Builders(farm.connection).set_ok("frog", ok=False)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), farm.connection.transaction():
            Builders(farm.connection).set_ok("frog", ok=True)
    assert not roles.stage.builders.get("frog").builderok


def test_no_command_has_a_door_of_its_own() -> None:
    room = Path(cli.__file__).parent
    places = {str(path.relative_to(room)): path.read_text() for path in room.rglob("*.py")}
    writes = {name for name, text in places.items() if re.search(r"import .*\bacting\b", text)}
    assert writes == {"farm.py", "builders/own_slave.py"}  # and `up` is for operators only
    opens = {name for name, text in places.items() if re.search(r"(?<!def )\bconnect\((?!.*read_only=True)", text)}
    assert opens == {"builders/own_slave.py"}


def test_who_loses_the_role_while_a_command_runs_is_refused_inside(roles: Roles) -> None:
    last = roles.stage.events.last_id()
    with open_farm(context(roles.anna)) as farm:
        with roles.stage.acting("root"):
            roles.stage.people.remove_member(ADMINS, "anna")
        with (
            pytest.raises(Refused, match=f"{re.escape(REFUSED)}; you act as anna"),
            farm.acting("test", Action.CHANGE_BUILDERS),
        ):
            raise AssertionError
    assert roles.stage.events.last_id() == last + 1


def test_a_token_revoked_while_a_command_runs_opens_nothing_any_more(roles: Roles) -> None:
    with open_farm(context(roles.anna)) as farm:
        with roles.stage.acting("root"):
            ApiTokens(roles.stage.conn).revoke(1)
        with pytest.raises(BadInput, match="token 1 of anna was revoked"), farm.acting("test", Action.CHANGE_BUILDERS):
            raise AssertionError


def context(token: str) -> typer.Context:
    """Return what a command gets when this token was shown."""
    program = get_command(command_line(frozenset({"status"})))
    return typer.Context(program, obj=Given(shown=Shown(token=token)))


def test_an_owner_changes_the_builds_of_their_archive_and_nobody_elses(
    roles: Roles, command: Command, source: SourceMaker
) -> None:
    primary = roles.stage.job("bar").build
    dsc = source("baz", hints="any")
    there = ("--archive", "ubuntu/cprov/ppa")
    assert command("submit", dsc, *there, token=roles.cprov).code == 0
    assert command("build", "cancel", str(roles.public.id), token=roles.cprov).code == 0
    assert command("build", "cancel", str(roles.secret.id), token=roles.cprov).code == 0
    for arguments in (("build", "cancel", str(primary)), ("submit", dsc)):
        ran = command(*arguments, token=roles.cprov)
        assert (ran.code, f"changing the builds of ubuntu/primary {REFUSED}; you act as cprov" in ran.err) == (2, True)
    ran = command("submit", dsc, *there, "--memory", "64G", token=roles.cprov)
    assert (ran.code, f"giving builds limits of their own {REFUSED}" in ran.err) == (2, True)
    assert command("submit", dsc, *there, "--memory", "64G", token=roles.anna).code == 0


def test_builds_of_a_kind_are_retried_only_if_all_of_them_may_be(roles: Roles, command: Command) -> None:
    primary = roles.stage.job("bar").build
    with roles.stage.acting("stage"):
        for build in (roles.public.id, roles.secret.id, primary):
            roles.stage.builds.cancel(build)
    last = roles.stage.events.last_id()
    for more in ((), ("--dry-run",)):
        ran = command("build", "retry", "--state", "CANCELLED", *more, token=roles.cprov)
        assert (ran.code, f"changing the builds of ubuntu/primary {REFUSED}" in ran.err) == (2, True)
    assert roles.stage.events.last_id() == last
    ran = command("build", "retry", "--state", "CANCELLED", "--archive", "ubuntu/cprov/secret", token=roles.cprov)
    assert (ran.code, [job.build for job in roles.stage.queue.jobs()]) == (0, [roles.secret.id])


def test_the_members_of_a_team_change_the_builds_of_its_archive(roles: Roles, command: Command) -> None:
    with roles.stage.acting("root"):
        roles.stage.people.add_team("cprov")
        roles.stage.people.add_member("cprov", "mallory")
    assert command("build", "cancel", str(roles.secret.id), token=roles.mallory).code == 0


@pytest.fixture
def kept(roles: Roles, state_directory: Path) -> Roles:
    """The secret build has a log and a file, in the librarian."""
    stage = roles.stage
    librarian = Librarian(state_directory / "librarian")
    stage.builder("toad", trusted=False)
    attempt = stage.claim(next(job for job in stage.queue.jobs() if job.build == roles.secret.id), "toad")
    with stage.acting("queue"):
        log = stage.library.add(librarian.add_bytes(b"the log of kimono\n"), "log.txt")
        stage.conn.execute("UPDATE attempt SET log = %s, text = 'kimono fails' WHERE id = %s", (log.id, attempt.id))
        stage.conn.execute(
            "UPDATE build SET state = 'FAILEDTOBUILD', why = 'kimono fails' WHERE id = %s", (attempt.build,)
        )
        file = stage.library.add(librarian.add_bytes(b"kimono"), "kimono_1.0-1_i386.deb")
        stage.conn.execute("INSERT INTO build_file VALUES (%s, %s, %s)", (attempt.build, attempt.id, file.id))
    return roles


@pytest.mark.parametrize("reader", ["anna", "cprov", ""])
def test_log_and_files_of_a_private_archive_are_its_owners_and_the_admins(
    kept: Roles, command: Command, tmp_path: Path, reader: str
) -> None:
    build, token = str(kept.secret.id), getattr(kept, reader) if reader else None
    assert command("build", "log", build, token=token).out == "the log of kimono\n"
    assert command("build", "files", build, "--output", tmp_path / "out", token=token).code == 0
    assert (tmp_path / "out" / "kimono_1.0-1_i386.deb").read_bytes() == b"kimono"
    shown = command("build", "show", build, token=token).out
    assert "kimono_1.0-1_i386.deb" in shown
    assert "kimono fails" in shown
    archives = command("archive", "list", "--json", token=token).json["archives"]
    assert "cprov/secret" in [one["name"] for one in archives]


def test_others_see_that_a_private_build_is_there_and_no_more(kept: Roles, command: Command, tmp_path: Path) -> None:
    build = str(kept.secret.id)
    for arguments in (("log", build), ("log", build, "--follow"), ("files", build, "--output", str(tmp_path / "out"))):
        ran = command("build", *arguments, token=kept.mallory)
        assert (ran.code, ran.out) == (2, "")
        assert f"reading logs and files of a private archive {REFUSED}, or its owner; you act as mallory" in ran.err
    assert list(tmp_path.glob("out/*")) == []
    shown = command("build", "show", build, "--json", token=kept.mallory).json
    assert (shown["source"], shown["archive"], shown["private"]) == ("private source", "private archive", True)
    assert (shown["state"], shown["files"], shown["why"]) == ("FAILEDTOBUILD", [], "")
    assert "kimono" not in command("builder", "show", "toad", token=kept.mallory).out
    (attempt,) = shown["attempts"]
    assert (attempt["builder"], attempt["text"]) == ("toad", "")
    for name in (f"build show {build}", "build list", "queue", "archive list", "status"):
        said = command(*name.split(), token=kept.mallory).out
        assert "kimono" not in said
        assert "secret" not in said
    rows = command("build", "list", token=kept.mallory).out.splitlines()[1:]
    assert [row.split()[1:3] for row in rows if row.split()[0] == build] == [["private", "source"]]


def test_others_see_a_private_job_in_the_queue_without_its_name(roles: Roles, command: Command) -> None:
    job = next(one.id for one in roles.stage.queue.jobs() if one.build == roles.secret.id)
    (seen,) = [one for one in command("queue", "--json", token=roles.mallory).json["jobs"] if one["job"] == job]
    assert (seen["source"], seen["archive"], seen["position"]) == ("private source", "private archive", 1)
    told = command("explain", str(job), token=roles.mallory).out
    assert f"job {job}: build {roles.secret.id}, private source for ubuntu/hoary/i386 RELEASE" in told
    assert "kimono" not in told
    roles.stage.claim(roles.stage.queue.job(job), roles.stage.builder("toad", trusted=False))
    with roles.stage.acting("queue"):
        roles.stage.builders.record_runtime("toad", RuntimeState.BUILDING, connected=True)
    for name in ("explain 1", "explain --builder frog", "explain --builder toad", "queue"):
        said = command(*name.split(), token=roles.mallory)
        assert said.code == 0
        assert "kimono" not in said.out
    assert f"has job {job} (private source)" in command("explain", "1", token=roles.mallory).out
    assert "kimono" in command("explain", str(job), token=roles.cprov).out


def test_an_unknown_archive_is_not_answered_with_the_names_of_private_ones(
    roles: Roles, command: Command, source: SourceMaker
) -> None:
    dsc = source("baz", hints="any")
    unknown = command("submit", dsc, "--archive", "cprov/none", token=roles.mallory)
    assert "there are: ubuntu/cprov/ppa, ubuntu/primary" in unknown.err
    assert "ubuntu/cprov/secret" in command("submit", dsc, "--archive", "cprov/none", token=roles.cprov).err
    for verb in (("publications", "ubuntu/cprov/none"), ("unpublish", "ubuntu/cprov/none", "foo")):
        assert "there are: ubuntu/cprov/ppa, ubuntu/primary)" in command("archive", *verb, token=roles.mallory).err
    retry = ("build", "retry", "--state", "CHROOTWAIT", "--archive", "ubuntu/cprov/none")
    assert "there are: ubuntu/cprov/ppa, ubuntu/primary" in command(*retry, token=roles.mallory).err
    refused = command("submit", dsc, "--archive", "cprov/secret", token=roles.mallory)
    assert f"changing the builds of a private archive {REFUSED}, or its owner" in refused.err


def test_a_refusal_for_programs_is_json(roles: Roles, command: Command) -> None:
    ran = command("builder", "remove", "frog", "--json", token=roles.mallory)
    assert ran.json["error"]["exit"] == 2
    assert ran.json["error"]["text"].startswith(f"changing builders and their certificates {REFUSED}")


def test_the_use_of_a_token_is_remembered_but_not_that_of_one_that_was_refused(roles: Roles, command: Command) -> None:
    command("builder", "remove", "frog", token=roles.mallory)
    command("builder", "list", token=roles.cprov)
    used = {one.person: one.last_used is not None for one in ApiTokens(roles.stage.conn).all()}
    assert used == {"anna": False, "cprov": True, "mallory": False}
