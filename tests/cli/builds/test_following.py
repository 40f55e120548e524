"""`--wait`, `build log -f` and `--output`: told by notifications, with the log as it is written."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import zstandard

from actors.master.run_file import RunningFarm, write_run_file
from actors.messages import ResultStored
from storage.build_queue import BuildQueue
from storage.builders import Builders
from storage.database.connection import acting, connect
from storage.files.librarian import Librarian
from storage.records import Attempt, BuildState, Job, Limits, Outcome, Pick
from tests.cli.chroots.test_commands import tarball
from tests.fix_cli import Command, SourceMaker
from tests.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.slow  # with all their processes they take more of the machine than the fast suite may


@dataclass
class PretendFarm:
    """Does by hand what a master does: claims, writes the log, records."""

    dsn: str
    state_directory: Path
    running: list[subprocess.Popen[str]] = field(default_factory=list)

    def command(self, *arguments: str | Path) -> subprocess.Popen[str]:
        """Start a command line as a process of its own."""
        with (self.state_directory / f"out{len(self.running)}").open("w") as output:
            child = subprocess.Popen(
                [sys.executable, "-m", "cli", *map(str, arguments)],
                stdout=output,
                stderr=subprocess.PIPE,
                text=True,
                cwd=Path(__file__).parents[3],
            )
        self.running.append(child)
        return child

    def printed(self, number: int = 0) -> str:
        return (self.state_directory / f"out{number}").read_text()

    def wait_printed(self, words: str) -> None:
        self.wait(lambda: words in self.printed())

    def wait_job(self) -> Job:
        """Wait until there is a job."""
        with connect(self.dsn, application="test") as connection:
            self.wait(lambda: bool(BuildQueue(connection).jobs()))
            return BuildQueue(connection).jobs()[0]

    def wait_listener(self) -> None:
        """Wait until somebody else listens on the database."""
        with connect(self.dsn, application="test") as connection:
            query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN%'"
            self.wait(lambda: bool(connection.execute(query).fetchone()[0]))  # type: ignore[index]

    def wait(self, fact: Callable[[], bool]) -> None:
        wait_until(fact, self.printed)

    def claim(self, job: Job) -> Attempt:
        """Give the job to `bob`."""
        with connect(self.dsn, application="test") as connection:
            session = Builders(connection).open_session("bob")
            with acting(connection, "queue"):
                (attempt,) = BuildQueue(connection).claim([Pick(job.id, "bob", session)], Limits(wall_seconds=3600))
            with acting(connection, "queue"):
                BuildQueue(connection).started(attempt.id)
        return attempt

    def log(self, attempt: Attempt, octets: bytes) -> None:
        """Append to the live log."""
        directory = self.state_directory / "logs"
        directory.mkdir(exist_ok=True)
        with (directory / f"{attempt.id}.log").open("ab") as log:
            log.write(octets)

    def end(self, attempt: Attempt, outcome: Outcome, state: BuildState, text: str = "", result: bytes = b"") -> None:
        """Record the end, with the log and perhaps a result in the librarian."""
        live = self.state_directory / "logs" / f"{attempt.id}.log"
        librarian = Librarian(self.state_directory / "librarian")
        log = ResultStored("tiny.log.zst", librarian.add_bytes(zstandard.ZstdCompressor().compress(live.read_bytes())))
        results = [ResultStored("tiny_1.0_all.deb", librarian.add_bytes(result))] if result else []
        with connect(self.dsn, application="test") as connection, acting(connection, "queue"):
            BuildQueue(connection).record(
                attempt.id,
                outcome,
                text,
                build_state=state,
                keep_job=state is BuildState.NEEDSBUILD,
                results=results,
                log=log,
            )
        live.unlink()


@pytest.fixture
def farm(command: Command, farm_database: str, state_directory: Path, tmp_path: Path) -> Iterator[PretendFarm]:
    """Give a farm with a chroot and the builder `bob`, whose slave is this test."""
    command("series", "add", "debian/bookworm", "--arch", "amd64")
    command("chroot", "add", "debian/bookworm/amd64", tarball(tmp_path / "chroot.tar", "bin/sh"))
    command("builder", "add", "bob", "buildd://127.0.0.1:9", "--family", "amd64", "--trusted")
    pretended = PretendFarm(farm_database, state_directory)
    yield pretended
    for child in pretended.running:
        child.kill()
        child.communicate()


def test_a_waiting_submit_shows_the_log_as_it_is_written_and_copies_the_results(
    farm: PretendFarm, source: SourceMaker, tmp_path: Path
) -> None:
    waiting = farm.command("submit", source(), "--output", tmp_path / "results")
    attempt = farm.claim(farm.wait_job())
    farm.log(attempt, b"first line\nhalf a ")
    farm.wait_printed("first line\n")
    assert "half" not in farm.printed()
    farm.log(attempt, b"line\n")
    farm.wait_printed("half a line\n")
    farm.log(attempt, b"without an end")
    farm.end(attempt, Outcome.OK, BuildState.FULLYBUILT, result=b"a package")
    assert waiting.wait(PATIENCE) == 0
    assert "first line\nhalf a line\nwithout an end\n" in farm.printed()
    copy = tmp_path / "results" / "tiny_1.0_all.deb"
    assert copy.read_bytes() == b"a package"
    assert [path.name for path in copy.parent.iterdir()] == [copy.name]
    assert f"{copy}   9 B  {hashlib.sha256(b'a package').hexdigest()}\n" in farm.printed()


@pytest.mark.slow
def test_a_failed_build_ends_with_exit_code_1_and_says_where_its_log_is(
    farm: PretendFarm, source: SourceMaker, command: Command
) -> None:
    waiting = farm.command("submit", source(), "--wait")
    attempt = farm.claim(farm.wait_job())
    farm.log(attempt, b"make: *** [all] Error 2\n")
    farm.end(attempt, Outcome.PACKAGEFAIL, BuildState.FAILEDTOBUILD, "dpkg-buildpackage ended with exit code 2")
    _, err = waiting.communicate(timeout=PATIENCE)
    assert waiting.returncode == 1
    last = err.splitlines()[-1]
    assert last.startswith("buildd-master: build 1 tiny 1.0 amd64")
    assert "dpkg-buildpackage ended with exit code 2; its log: `buildd-master build log 1`" in last
    assert command("build", "log", "1").out == "make: *** [all] Error 2\n"
    (attempt_shown,) = command("build", "show", "1", "--json").json["attempts"]
    assert (attempt_shown["outcome"], attempt_shown["builder"]) == ("PACKAGEFAIL", "bob")


@pytest.mark.slow
def test_a_build_that_is_tried_again_is_followed_to_its_end(farm: PretendFarm, source: SourceMaker) -> None:
    waiting = farm.command("submit", source(), "--wait")
    first = farm.claim(farm.wait_job())
    farm.log(first, b"one\n")
    farm.wait_printed("one\n")
    farm.end(first, Outcome.LOST, BuildState.NEEDSBUILD, "the slave went away")
    second = farm.claim(farm.wait_job())
    farm.log(second, b"two\n")
    farm.wait_printed("one\ntwo\n")
    farm.end(second, Outcome.OK, BuildState.FULLYBUILT, result=b"deb")
    _, err = waiting.communicate(timeout=PATIENCE)
    assert waiting.returncode == 0
    assert "is tried again (attempt 2)" in err


@pytest.mark.slow
def test_a_log_that_nobody_saw_growing_is_read_from_the_librarian(farm: PretendFarm, source: SourceMaker) -> None:
    waiting = farm.command("submit", source(), "--wait")
    job = farm.wait_job()
    farm.wait_listener()
    waiting.send_signal(signal.SIGSTOP)
    attempt = farm.claim(job)
    farm.log(attempt, b"all of it\n")
    farm.end(attempt, Outcome.OK, BuildState.FULLYBUILT, result=b"deb")
    waiting.send_signal(signal.SIGCONT)
    assert waiting.wait(PATIENCE) == 0
    assert farm.printed().startswith("all of it\n")


@pytest.mark.slow
def test_a_build_that_waits_is_told_why(farm: PretendFarm, source: SourceMaker, command: Command) -> None:
    command("builder", "set", "bob", "--not-ok", "--notes", "on fire")
    waiting = farm.command("submit", source(), "--wait")
    assert waiting.stderr is not None
    too_long = threading.Timer(PATIENCE, waiting.kill)
    too_long.start()
    told = next((line for line in waiting.stderr if "waits: " in line), "nothing")
    too_long.cancel()
    assert "bob: not ok: on fire" in told
    command("build", "cancel", "1")
    assert waiting.wait(PATIENCE) == 1


def test_ctrl_c_leaves_the_build_alone(farm: PretendFarm, source: SourceMaker, command: Command) -> None:
    waiting = farm.command("submit", source(), "--wait")
    farm.wait_job()
    farm.wait_listener()
    waiting.send_signal(signal.SIGINT)
    _, err = waiting.communicate(timeout=PATIENCE)
    assert waiting.returncode == 130
    assert "the build goes on: `buildd-master build log -f 1`" in err
    assert command("build", "show", "1", "--json").json["state"] == "NEEDSBUILD"


@pytest.mark.slow
def test_json_is_all_that_a_waiting_submit_prints(farm: PretendFarm, source: SourceMaker) -> None:
    waiting = farm.command("submit", source(), "--wait", "--json")
    attempt = farm.claim(farm.wait_job())
    farm.log(attempt, b"not for stdout\n")
    farm.end(attempt, Outcome.OK, BuildState.FULLYBUILT, result=b"deb")
    assert waiting.wait(PATIENCE) == 0
    (build,) = json.loads(farm.printed())["builds"]
    assert (build["state"], [file["filename"] for file in build["files"]]) == ("FULLYBUILT", ["tiny_1.0_all.deb"])


def test_what_was_built_is_built_once_more_only_when_asked(
    farm: PretendFarm, source: SourceMaker, command: Command
) -> None:
    dsc = source()
    command("submit", dsc)
    attempt = farm.claim(farm.wait_job())
    farm.log(attempt, b"x\n")
    farm.end(attempt, Outcome.OK, BuildState.FULLYBUILT, result=b"deb")
    same = command("submit", dsc, "--wait", "--json")
    assert (same.code, same.json["builds"][0]["id"]) == (0, 1)
    assert "was built already (--again builds it once more)" in same.err
    (again,) = command("submit", dsc, "--again", "--json").json["builds"]
    assert (again["id"], again["state"]) == (2, "NEEDSBUILD")
    (kept,) = command("submit", dsc, "--again", "--json").json["builds"]
    assert kept["id"] == 2


def test_damaged_content_is_not_handed_out(
    farm: PretendFarm, source: SourceMaker, command: Command, tmp_path: Path
) -> None:
    command("submit", source())
    attempt = farm.claim(farm.wait_job())
    farm.log(attempt, b"x\n")
    farm.end(attempt, Outcome.OK, BuildState.FULLYBUILT, result=b"a package")
    sha256 = hashlib.sha256(b"a package").hexdigest()
    content = farm.state_directory / "librarian" / "content" / sha256[:2] / sha256
    content.chmod(0o600)
    content.write_bytes(b"a pAckage")
    ran = command("build", "files", "1", "--output", tmp_path / "out")
    assert (ran.code, ran.out) == (1, "")
    assert "tiny_1.0_all.deb is damaged in the librarian" in ran.err
    assert list((tmp_path / "out").iterdir()) == []
    checked = command("check")
    assert checked.code == 1
    assert f"{content} is damaged" in checked.out
    assert "found 0 broken invariants and 1 damaged file" in checked.err


def test_a_database_that_goes_away_is_exit_code_3(
    command: Command, monkeypatch: pytest.MonkeyPatch, state_directory: Path
) -> None:
    monkeypatch.setenv("BUILDD_MASTER_DATABASE", "host=127.0.0.1 port=9 dbname=nowhere")
    ran = command("status")
    assert (ran.code, ran.err.count("\n")) == (3, 1)
    monkeypatch.delenv("BUILDD_MASTER_DATABASE")
    ran = command("builder", "list")
    assert (ran.code, ran.err.count("\n")) == (3, 1)
    assert f"no farm runs in {state_directory}: start it with `buildd-master up`" in ran.err


def test_a_farm_whose_own_database_is_down_is_not_said_to_be_stopped(
    command: Command, monkeypatch: pytest.MonkeyPatch, state_directory: Path
) -> None:
    monkeypatch.delenv("BUILDD_MASTER_DATABASE")
    with socket.socket() as admin:
        admin.bind(("127.0.0.1", 0))
        admin.listen()
        write_run_file(
            state_directory / "run.json", RunningFarm(os.getpid(), admin.getsockname()[1], 0, "embedded", "")
        )
        ran = command("builder", "list")
    assert (ran.code, ran.err.count("\n")) == (3, 1)
    assert f"the farm in {state_directory} runs, but its database is down" in ran.err
    assert "buildd-master up" not in ran.err


def test_a_bad_setting_is_named(command: Command, tmp_path: Path) -> None:
    file = tmp_path / "buildd-master.toml"
    file.write_text("colour = 'blue'\n")
    ran = command("--config", file, "status")
    assert (ran.code, ran.err.count("\n")) == (2, 1)
    assert "colour" in ran.err
    assert str(file) in ran.err


def test_a_full_disk_is_one_line(command: Command, state_directory: Path) -> None:
    if not Path("/dev/full").exists() or os.geteuid() != 0:
        pytest.skip("needs root")
    command("series", "add", "debian/bookworm", "--arch", "amd64")
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", state_directory], check=True)
    try:
        file = tarball(state_directory.parent / "chroot.tar", "bin/sh", *(f"file{n}" for n in range(200)))
        ran = command("chroot", "add", "debian/bookworm/amd64", file)
        assert (ran.code, ran.out, ran.err.count("\n")) == (3, "", 1)
        assert "make room there" in ran.err
        assert command("chroot", "list", "--json").json == {"chroots": []}
        assert list((state_directory / "librarian" / "incoming").iterdir()) == []
    finally:
        subprocess.run(["umount", state_directory], check=True)


def test_no_traceback_when_the_reader_of_a_pipe_goes_away(command: Command) -> None:
    assert command("builder", "list", "--json").code == 0
    reader = subprocess.run(
        f"{sys.executable} -m cli builder list --json | true; echo ${{PIPESTATUS[0]}}",
        shell=True,
        executable="/bin/bash",
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
    )
    assert "Traceback" not in reader.stderr
