"""Commands run as the farm's user, who sees what the command needs and nothing else."""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from host import unprivileged
from host.unprivileged import (
    FARM_USER,
    CannotRunUnprivileged,
    command_as,
    ensure_user,
    give_directory,
    interpreter_paths,
    keep_bytecode,
)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="is about what root does")


@pytest.fixture(autouse=True)
def _user() -> None:
    ensure_user()


def run(command: list[str], *reach: Path) -> subprocess.CompletedProcess[str]:
    argv = command_as(FARM_USER, command, reach=reach, die_with_parent=False)
    return subprocess.run(argv, check=False, capture_output=True, text=True)


def test_the_command_is_the_user_and_no_longer_root() -> None:
    account = pwd.getpwnam(FARM_USER)
    ids = run(["sh", "-c", "id -u; id -G; echo $HOME $USER"]).stdout.split()
    assert ids == [str(account.pw_uid), str(account.pw_gid), "/nonexistent", FARM_USER]


def test_a_file_below_a_closed_home_is_reached_at_its_own_path_and_its_neighbour_is_not(tmp_path: Path) -> None:
    home = tmp_path / "home"
    (home / "farm").mkdir(parents=True)
    home.chmod(0o700)
    (home / "farm" / "code").write_text("code")
    (home / "secret").write_text("secret")
    seen = run(["sh", "-c", f"cat {home}/farm/code; cat {home}/secret"], home / "farm")
    assert seen.stdout == "code"
    assert "No such file" in seen.stderr
    assert str(home) not in Path("/proc/self/mounts").read_text()


def test_a_path_that_is_itself_closed_is_refused_with_what_mends_it(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    refused = run(["true"], closed)
    assert refused.returncode == 71
    assert f"chmod -R go+rX {closed}" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_a_directory_between_cover_and_path_may_be_closed_too(tmp_path: Path) -> None:
    inner = tmp_path / "home" / "projects"
    (inner / "farm").mkdir(parents=True)
    for closed in (tmp_path / "home", inner):
        closed.chmod(0o700)
    (inner / "farm" / "code").write_text("code")
    assert run(["cat", str(inner / "farm" / "code")], inner / "farm").stdout == "code"


def test_the_state_directory_is_made_for_the_user_alone(tmp_path: Path) -> None:
    directory = tmp_path / "a" / "state"
    give_directory(directory, FARM_USER)
    status = directory.stat()
    assert (pwd.getpwuid(status.st_uid).pw_name, status.st_mode & 0o777) == (FARM_USER, 0o700)
    give_directory(directory, FARM_USER)


def test_somebody_elses_directory_is_not_taken(tmp_path: Path) -> None:
    directory = tmp_path / "state"
    directory.mkdir()
    os.chown(directory, pwd.getpwnam("nobody").pw_uid, -1)
    with pytest.raises(CannotRunUnprivileged, match="choose another state directory"):
        give_directory(directory, FARM_USER)


def test_roots_directory_with_something_in_it_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(CannotRunUnprivileged, match="is not empty and belongs to root"):
        give_directory(tmp_path, FARM_USER)
    assert tmp_path.stat().st_uid == 0


@pytest.mark.slow
def test_a_program_that_does_not_end_dies_with_its_starter_and_with_it_all_that_it_has_started() -> None:
    stubborn = ["sh", "-c", "trap '' INT TERM; sleep 98765 & echo $$ $!; wait"]
    command = command_as(FARM_USER, stubborn, reach=interpreter_paths(), die_with_parent=True, whole=True)
    program = f"import subprocess; subprocess.run({command!r})"
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        processes = [psutil.Process(int(word)) for word in starter.stdout.readline().split()]
        assert len(processes) == 2
        starter.kill()
        _, left = psutil.wait_procs(processes, timeout=10)
        assert left == []


@pytest.mark.slow
def test_a_program_that_leads_others_is_told_to_end_by_ending_its_wrapper_and_its_exit_code_counts() -> None:
    stubborn = ["sh", "-c", "trap '' INT TERM; sleep 98765 & echo $!; wait"]
    command = command_as(FARM_USER, stubborn, reach=interpreter_paths(), die_with_parent=True, whole=True)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as wrapper:
        assert wrapper.stdout is not None
        sleeper = psutil.Process(int(wrapper.stdout.readline()))
        wrapper.send_signal(signal.SIGINT)
        _, words = wrapper.communicate(timeout=10)
        assert (wrapper.returncode, words) == (1, "sh was told to end\n")
        sleeper.wait(10)
    ended = subprocess.run(
        command_as(FARM_USER, ["sh", "-c", "exit 7"], reach=interpreter_paths(), die_with_parent=True, whole=True),
        check=False,
    )
    assert ended.returncode == 7


def test_code_that_the_user_could_not_keep_compiled_is_compiled_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "pycache_prefix", str(tmp_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.setattr(unprivileged, "_ROOMS", ("host",))
    keep_bytecode()
    kept = {file.name.partition(".")[0] for file in tmp_path.rglob("*.pyc")}
    code = Path(unprivileged.__file__).parent.parent / "host"
    assert kept >= {file.stem for file in code.glob("*.py")}
