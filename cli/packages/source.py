"""A Debian source package on disk: one `.dsc` and all that it names, read and verified.

Whatever the bytes, `read` gives a `SourcePackage` whose files were all there with the stated size and SHA-256, or one
`SourceRefused` that names the file and what is wrong with it.  Nothing is written here.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from debian.deb822 import Deb822
from debian.debian_support import Version

from cli.errors import BadInput
from cli.packages.clearsigned import BrokenSignature, signed_text

MOST_FILES = 200  #: beside the `.dsc`; real sources have under 20
_LARGEST_DSC = 1_000_000  #: bytes; real ones have under 50 kB
_LONGEST_WORD = 255  #: characters of a version, as a filename carries it
_BLOCK = 1 << 20  #: bytes read at once

_FIELD = re.compile(r"[!-,./-9;-~][!-9;-~]*:")  #: deb822: no `#` or `-` first, no `:` inside
_SOURCE = re.compile(r"[a-z0-9][a-z0-9+.-]{1,127}")
_VERSION = re.compile(r"(?:[0-9]+:)?[0-9][A-Za-z0-9.+~:-]*")
_HINT = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILENAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+:~_-]{0,254}")  #: dpkg's alphabet; slaves take no other

Progress = Callable[[int], None]  #: told the bytes read since the last call


class SourceRefused(BadInput):
    """The source package can't be used; the text names the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One file of a source package, verified."""

    path: Path
    sha256: str
    size: int  #: bytes

    @property
    def filename(self) -> str:
        """Return its name, one path component."""
        return self.path.name


@dataclass(frozen=True, slots=True)
class SourcePackage:
    """One source package release as it lies on disk; every file was verified."""

    name: str
    version: str
    architectures: tuple[str, ...]  #: the architecture hint list
    section: str  #: of its first binary package, as `contrib/misc`; empty if it says none
    dsc: SourceFile
    files: tuple[SourceFile, ...]  #: what the `.dsc` names, in its order

    @property
    def everything(self) -> tuple[SourceFile, ...]:
        """Return the `.dsc` and all that it names."""
        return (self.dsc, *self.files)


def read(path: Path, progress: Progress = lambda _: None) -> SourcePackage:
    """Read the `.dsc` at `path` and verify it with all that it names.

    Raises:
        SourceRefused: something is missing, damaged or not allowed; the first such thing is named.
    """
    octets = _content(path)
    fields = _fields(path, octets)
    name = _required(path, fields, "Source", _SOURCE)
    version = _version(path, fields)
    hints = tuple(_required(path, fields, "Architecture").split())
    for hint in hints:
        if not _HINT.fullmatch(hint):
            raise SourceRefused(f"{path}: the field Architecture names {hint!r}, which is no architecture")
    stated = _stated_files(path, fields)
    _check_presence(path, stated)
    files = tuple(_verified(path, file, progress) for file in stated)
    dsc = SourceFile(path, hashlib.sha256(octets).hexdigest(), len(octets))
    return SourcePackage(name, version, hints, _section(fields), dsc, files)


def _content(path: Path) -> bytes:
    if path.suffix != ".dsc":
        raise SourceRefused(f"{path} is no .dsc file: give the .dsc of a source package, or a package's name")
    try:
        if path.exists() and not path.is_file():
            raise SourceRefused(f"{path} is no regular file: give the .dsc of a source package")
        with path.open("rb") as file:
            octets = file.read(_LARGEST_DSC + 1)
    except OSError as error:
        raise SourceRefused(f"can't read {path}: {error.strerror}") from error
    except ValueError as error:
        raise SourceRefused(f"can't read {str(path)!r}: {error}") from error
    if len(octets) > _LARGEST_DSC:
        raise SourceRefused(f"{path} is larger than {_LARGEST_DSC} bytes: no .dsc is")
    if not _FILENAME.fullmatch(path.name):
        raise SourceRefused(f"{path}: {path.name!r} is not allowed as a filename")
    return octets


def _fields(path: Path, octets: bytes) -> Deb822:
    try:
        text = octets.decode("utf-8")
    except UnicodeDecodeError as error:
        line = octets.count(b"\n", 0, error.start) + 1
        raise SourceRefused(f"{path} is not UTF-8: byte {octets[error.start]:#04x} in line {line}") from error
    text = text.replace("\r\n", "\n")
    try:
        payload = signed_text(text)
    except BrokenSignature as error:
        raise SourceRefused(f"{path}: broken signature block: {error}") from error
    _check_lines(path, payload)
    return Deb822(payload.strip("\n") + "\n")


def _check_lines(path: Path, payload: str) -> None:
    """Refuse what the lenient parser would pass over in silence."""
    seen: set[str] = set()
    lines = payload.strip("\n").split("\n")
    if lines == [""]:
        raise SourceRefused(f"{path} is empty")
    for line in lines:
        odd = next((character for character in line if not character.isprintable() and character != "\t"), None)
        if odd is not None:
            raise SourceRefused(f"{path}: a control character ({odd!r}) in the line {line[:60]!r}")
        if not line.strip():
            raise SourceRefused(f"{path} has more than one paragraph: a .dsc has one")
        if line[0] in " \t":
            if not seen:
                raise SourceRefused(f"{path}: its first line continues a field that is not there")
            continue
        if not _FIELD.match(line):
            raise SourceRefused(f"{path}: the line {line[:60]!r} is no field")
        field = line.partition(":")[0].lower()
        if field in seen:
            raise SourceRefused(f"{path}: the field {line.partition(':')[0]} is there twice")
        seen.add(field)


def _required(path: Path, fields: Deb822, name: str, shape: re.Pattern[str] | None = None) -> str:
    value = str(fields.get(name, "")).strip()
    if not value:
        raise SourceRefused(f"{path} has no field {name}")
    if shape is not None and not shape.fullmatch(value):
        raise SourceRefused(f"{path}: the field {name} is {value[:60]!r}, which is not allowed there")
    return value


def _version(path: Path, fields: Deb822) -> str:
    text = _required(path, fields, "Version", _VERSION)
    if len(text) > _LONGEST_WORD:
        raise SourceRefused(f"{path}: the field Version has {len(text)} characters; {_LONGEST_WORD} are the most")
    try:
        return str(Version(text))
    except ValueError as error:
        raise SourceRefused(f"{path}: the field Version is {text[:60]!r}, which is no version") from error


def _stated_files(path: Path, fields: Deb822) -> tuple[SourceFile, ...]:
    """Return what Checksums-Sha256 states, its syntax checked; no file was looked at."""
    stated: dict[str, SourceFile] = {}
    for line in _required(path, fields, "Checksums-Sha256").split("\n"):
        words = line.split()
        if not words:
            continue
        if len(words) != 3 or not _SHA256.fullmatch(words[0]) or not (words[1].isascii() and words[1].isdigit()):  # noqa: PLR2004
            raise SourceRefused(f"{path}: {line.strip()[:60]!r} in Checksums-Sha256 is no line of hash, size and name")
        sha256, size, name = words
        if "/" in name or name in {".", ".."}:
            raise SourceRefused(f"{path} names the file {name!r}: a path is not allowed, files lie beside the .dsc")
        if not _FILENAME.fullmatch(name):
            raise SourceRefused(f"{path} names the file {name!r}, which is not allowed as a filename")
        if name in stated or name == path.name:
            raise SourceRefused(f"{path} names the file {name} twice")
        if len(size) > 15:  # noqa: PLR2004 - a petabyte
            raise SourceRefused(f"{path}: the size of {name}, {size[:20]}…, is too large")
        stated[name] = SourceFile(path.parent / name, sha256, int(size))
    if len(stated) > MOST_FILES:
        raise SourceRefused(f"{path} names {len(stated)} files; {MOST_FILES} are the most")
    listed = {words[-1] for line in str(fields.get("Files", "")).split("\n") if (words := line.split())}
    for name in sorted(listed ^ set(stated)) if "Files" in fields else ():
        lacking = "Checksums-Sha256" if name in listed else "Files"
        raise SourceRefused(f"{path}: the file {name[:60]!r} is missing from the field {lacking}")
    return tuple(stated.values())


def _check_presence(path: Path, stated: tuple[SourceFile, ...]) -> None:
    missing = [file.filename for file in stated if not file.path.is_file()]
    if missing:
        verb = "is" if len(missing) == 1 else "are"
        raise SourceRefused(f"{path}: {', '.join(missing)} {verb} missing: put what the .dsc names beside it")


def _verified(dsc: Path, file: SourceFile, progress: Progress) -> SourceFile:
    try:
        actual = file.path.stat().st_size
        if actual != file.size:
            raise SourceRefused(f"{file.path} has {actual} bytes, but {dsc.name} says {file.size}: fetch it again")
        digest = hashlib.sha256()
        with file.path.open("rb") as content:
            while block := content.read(_BLOCK):
                digest.update(block)
                progress(len(block))
    except OSError as error:
        raise SourceRefused(f"can't read {file.path}: {error.strerror}") from error
    if digest.hexdigest() != file.sha256:
        raise SourceRefused(
            f"{file.path} has the SHA-256 {digest.hexdigest()}, but {dsc.name} says {file.sha256}: fetch it again"
        )
    return file


def _section(fields: Deb822) -> str:
    """Return the section of the first binary package; `contrib/…` and the like carry the component."""
    for line in str(fields.get("Package-List", "")).split("\n"):
        words = line.split()
        if len(words) >= 3:  # noqa: PLR2004 - name, type, section, …
            return words[2]
    return ""
