"""The farm of which the examples in `--help` speak, and how these are run on it."""

from __future__ import annotations

import io
import shlex
import tarfile
from pathlib import Path

import pytest
import zstandard

from actors.messages import ResultStored
from cli.options.examples import EXAMPLES
from storage.files.librarian import Librarian
from storage.records import BuildState, Job, Outcome, Pocket
from tests.fix_cli import Command, write_source
from tests.fix_storage import Farm

#: They start or enter a farm, look at the machine, ask mirrors or take minutes: other tests run these commands.
READ_ONLY = {"up", "doctor", "simulate", "console", "chroot make", "chroot update"}
_ENDLESS = {("events", "--follow"), ("submit", "hello")}  #: goes on until ^C; waits for a mirror and a slave
ALL = [(command, line) for command, lines in EXAMPLES.items() for line in lines]


def words(command: str, line: str) -> list[str]:
    """Return what the shell makes of an example: no comment, no pipe, no redirection."""
    arguments = shlex.split(line, comments=True)
    ends = [place for place, word in enumerate(arguments) if word in {"|", ">"}]
    return [*command.split(), *arguments[: ends[0] if ends else None]]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in a directory with the files that the examples name."""
    monkeypatch.chdir(tmp_path)
    write_source(tmp_path, "tiny", "1.0")
    (tmp_path / "Packages").write_text("Package: hello\nVersion: 2.10-3\nArchitecture: amd64\n\n")
    return tmp_path


@pytest.fixture
def farm_of_examples(laid_out: Farm, here: Path, state_directory: Path, command: Command) -> Farm:
    """Lay out the farm that the examples speak of."""
    return lay_out(laid_out, here, Librarian(state_directory / "librarian"), command)


def lay_out(stage: Farm, here: Path, librarian: Librarian, command: Command) -> Farm:
    """Fill an empty farm with what the examples name."""
    for table, last in (("build", 811), ("buildqueue", 900), ("event", 5000)):
        stage.conn.execute("SELECT setval(pg_get_serial_sequence(%s, 'id'), %s)", (table, last))
    (here / "arm64.tar.gz").write_bytes(a_base_system())
    for arguments in (
        ("series", "add", "debian/bookworm", "--arch", "amd64", "--arch", "arm64"),
        ("series", "add", "debian/sid", "--arch", "amd64"),
        ("archive", "add", "debian/ann/ppa"),
        *(
            ("builder", "add", name, f"buildd://{name}:8221", "--family", "amd64", "--trusted")
            for name in ("bob", "frog")
        ),
        *[("token", "create", "ann")] * 3,
    ):
        assert command(*arguments).code == 0, arguments
    place = stage.series.named("debian/bookworm/amd64")
    with stage.acting("stage"):
        tarball = stage.library.add(librarian.add_bytes(b"a base system"), "bookworm.tar.gz")
        stage.chroots.set(place.id, Pocket.RELEASE, tarball.id)
    for one in ("hello", "one", "two", "failed", "slow", "old", "urgent", "without-chroot"):
        job = stage.job(one, series="debian/bookworm/amd64")
        if one == "hello":
            succeed(stage, job, librarian)
    failed, slow, without = (
        next(job for job in stage.queue.jobs() if job.source == one) for one in ("failed", "slow", "without-chroot")
    )
    with stage.acting("ann"):
        stage.builds.set_state(failed.build, BuildState.FAILEDTOBUILD)
        stage.builds.set_state(without.build, BuildState.CHROOTWAIT)
    stage.claim(slow, "bob")
    return stage


def succeed(stage: Farm, job: Job, librarian: Librarian) -> None:
    """Have bob build the job."""
    attempt = stage.claim(job, "bob")
    log = ResultStored("build.log.zst", librarian.add_bytes(zstandard.ZstdCompressor().compress(b"it goes well\n")))
    package = ResultStored("hello_2.10-3_amd64.deb", librarian.add_bytes(b"a package"))
    with stage.acting("queue"):
        stage.queue.record(
            attempt.id, Outcome.OK, "", build_state=BuildState.FULLYBUILT, keep_job=False, results=[package], log=log
        )


def a_base_system() -> bytes:
    """Return a tarball that looks like one."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for name in ("bin/sh", "usr/bin/dpkg", "etc/debian_version"):
            tar.addfile(tarfile.TarInfo(name))
    return out.getvalue()


def runnable() -> list[tuple[str, str]]:
    """Return the examples that a test can run: command, and what stands after it."""
    return [
        (name, line) for name, line in ALL if name not in READ_ONLY and (name, line.partition(" ")[0]) not in _ENDLESS
    ]
