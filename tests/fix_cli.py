"""Source packages on disk, for the command line's tests."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cli.main import run
from storage.database.connection import connect
from tests.fix_storage import Farm as StageFarm
from tests.fix_storage import on_postgresql

SourceMaker = Callable[..., Path]

_SIGNATURE = b"\x88\x75\x04\x00\x16\x0a\x00\x1d" * 8


def write_source(
    directory: Path,
    name: str = "tiny",
    version: str = "1.0",
    *,
    hints: str = "all",
    fields: Mapping[str, str | None] | None = None,
    signed: bool = False,
) -> Path:
    """Write a small native source package and return its `.dsc`; `fields` replaces or (None) leaves out fields."""
    directory.mkdir(parents=True, exist_ok=True)
    tarball = directory / f"{name}_{version}.tar.xz"
    tarball.write_bytes(b"\xfd7zXZ\x00" + f"{name} {version}".encode())
    sha256 = hashlib.sha256(tarball.read_bytes()).hexdigest()
    size = tarball.stat().st_size
    content: dict[str, str | None] = {
        "Format": "3.0 (native)",
        "Source": name,
        "Binary": name,
        "Architecture": hints,
        "Version": version,
        "Maintainer": "Nobody <nobody@example.org>",
        "Checksums-Sha256": f"\n {sha256} {size} {tarball.name}",
        "Files": f"\n 00000000000000000000000000000000 {size} {tarball.name}",
        **(fields or {}),
    }
    text = "".join(f"{key}: {value}\n" for key, value in content.items() if value is not None)
    dsc = directory / f"{name}_{version}.dsc"
    dsc.write_text(clearsign(text) if signed else text)
    return dsc


def clearsign(text: str) -> str:
    """Return `text` in a block shaped like an OpenPGP cleartext signature."""
    armor = base64.b64encode(_SIGNATURE).decode()
    return (
        f"-----BEGIN PGP SIGNED MESSAGE-----\nHash: SHA512\n\n{text}\n"
        f"-----BEGIN PGP SIGNATURE-----\n\n{armor}\n-----END PGP SIGNATURE-----\n"
    )


@pytest.fixture
def source(tmp_path: Path) -> SourceMaker:
    """Write source packages below the test's own directory: `source("hello", "1.0", hints="any")`."""

    def make(*args: str, **kwargs: object) -> Path:
        return write_source(tmp_path / "source", *args, **kwargs)  # type: ignore[arg-type]

    return make


@dataclass(frozen=True, slots=True)
class Ran:
    """What one command line did."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """Return stdout, which must be one JSON document."""
        return json.loads(self.out)


Command = Callable[..., Ran]


@pytest.fixture
def laid_out(farm_database: str) -> Iterator[StageFarm]:
    """Give the stage of the storage's tests, on the database that `command` changes."""
    with connect(farm_database, application="test") as connection:
        yield on_postgresql(connection)


@pytest.fixture
def command(
    farm_database: str, state_directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Run `buildd-master` on a fresh farm: `command("builder", "list", "--json", token=…)`."""
    monkeypatch.setenv("BUILDD_MASTER_DATABASE", farm_database)
    monkeypatch.setenv("BUILDD_MASTER_STATE_DIRECTORY", str(state_directory))
    monkeypatch.setenv("TZ", "UTC")

    def run_it(*arguments: str | Path, token: str | None = None) -> Ran:
        capsys.readouterr()
        if token is not None:
            monkeypatch.setenv("BUILDD_MASTER_TOKEN", token)
        code = run([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run_it
