"""The results of a build: shown, and copied out of the librarian."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path

from cli.errors import BadInput, Failed
from cli.farm import Farm
from cli.terminal.output import console, size
from cli.terminal.tables import Rows
from storage.records import Alias

_BLOCK = 1 << 20  #: bytes copied at a time
_WIDE = 130  #: columns of a terminal that has room for whole hashes


def check_output(output: Path | None) -> None:
    """Make the directory that results are to be copied to, before anybody works for them.

    Raises:
        BadInput: it can't be made or written; nothing else was done.
    """
    if output is None:
        return
    try:
        output.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=output):
            pass
    except OSError as error:
        raise BadInput(f"can't write to {output}: {error.strerror}: choose another --output") from error


def copy_files(farm: Farm, files: Iterable[Alias], output: Path) -> dict[str, Path]:
    """Copy results out of the librarian, verified on the way; each appears whole or not at all.

    Returns:
        Filename → path of the copy.

    Raises:
        Failed: `output` can't be written, or the librarian's content is damaged; whole copies stay.
    """
    paths = {}
    for one in files:
        content = farm.librarian.path(one.sha256)
        try:
            output.mkdir(parents=True, exist_ok=True)
            paths[one.filename] = _copy(content, one, output)
        except OSError as error:
            raise Failed(f"can't write to {output}: {error.strerror}: choose another --output") from error
    return paths


def files_document(files: Iterable[Alias], paths: Mapping[str, Path] | None = None) -> list[dict[str, object]]:
    """Return results as `--json` shows them; `path` is where a copy lies."""
    return [
        {
            "filename": one.filename,
            "size": one.size,
            "sha256": one.sha256,
            "mimetype": one.mimetype,
            "path": (paths or {}).get(one.filename),
        }
        for one in files
    ]


def print_files(files: Iterable[Alias], output: Path | None) -> None:
    """Print results with sizes and hashes, and where copies of them are; a narrow terminal gets short hashes."""
    short = console().is_terminal and console().width < _WIDE
    rows = Rows("FILE", "SIZE", "SHA256", right=("SIZE",), fold=("FILE",))
    for one in files:
        name = str(output / one.filename) if output else one.filename
        rows.add(name, size(one.size), f"{one.sha256[:12]}…" if short else one.sha256)
    rows.show()


def _copy(content: Path, one: Alias, output: Path) -> Path:
    """Copy one file; it gets its name only when its hash is right."""
    digest = hashlib.sha256()
    with tempfile.TemporaryDirectory(dir=output, prefix=".incoming-") as aside:
        copy = Path(aside) / "copy"
        with content.open("rb") as source, copy.open("wb") as target:
            while block := source.read(_BLOCK):
                digest.update(block)
                target.write(block)
            os.fchmod(target.fileno(), 0o644)
        if digest.hexdigest() != one.sha256:
            raise Failed(f"{one.filename} is damaged in the librarian ({content}): `buildd-master check` tells more")
        return copy.replace(output / Path(one.filename).name)
