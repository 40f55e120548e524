"""The fields of answers: each is taken as what it must be, or is a `Misfit` that names it."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, Final, TypeVar

from protocol.launchpad_buildd.answers import Info, Said, SlaveStatus
from protocol.messages import WireOutcome
from protocol.shapes import NAME, NAME_BYTES, TAG, Misfit, brief

DEPENDENCIES_BYTES: Final = 64 * 1024
MANAGERS: Final = 256  #: names in `info()`
FILES: Final = 4096  #: names in a `filemap`
SHA1: Final = re.compile(r"[0-9a-f]{40}")
OUTCOMES: Final = {
    "BuildStatus.OK": WireOutcome.OK,
    "BuildStatus.PACKAGEFAIL": WireOutcome.PACKAGEFAIL,
    "BuildStatus.DEPFAIL": WireOutcome.DEPFAIL,
    "BuildStatus.CHROOTFAIL": WireOutcome.CHROOTFAIL,
    "BuildStatus.BUILDERFAIL": WireOutcome.BUILDERFAIL,
    "BuildStatus.GIVENBACK": WireOutcome.GIVENBACK,
    "BuildStatus.ABORTED": WireOutcome.ABORTED,
}
_WITH_FILES: Final = {WireOutcome.OK, WireOutcome.PACKAGEFAIL, WireOutcome.DEPFAIL}

E = TypeVar("E", bound=StrEnum)


def read_info(value: object) -> Info:
    """Read the answer to `info()`.

    Raises:
        Misfit: it is none.
    """
    version, architecture, managers = read_array(value, 3)
    if not isinstance(managers, list) or len(managers) > MANAGERS:
        raise Misfit(f"{brief(managers)} is no list of build managers", "[2]")
    return Info(_word(version, "[0]"), _tag(architecture, "[1]"), tuple(_word(one, "[2]") for one in managers))


def read_status(value: object) -> Said:
    """Read the answer to `status()`.

    Raises:
        Misfit: it is none.
    """
    if not isinstance(value, dict):
        raise Misfit(f"{brief(value)} is no struct")
    status = read_member(SlaveStatus, value.get("builder_status"), "builder_status")
    if status is SlaveStatus.IDLE:
        return Said(status)
    build_id = _word(value.get("build_id"), "build_id")
    if "logtail" in value and not isinstance(value["logtail"], bytes):
        raise Misfit(f"{brief(value['logtail'])} is no base64", "logtail")
    if status is not SlaveStatus.WAITING:
        return Said(status, build_id)
    ended = value.get("build_status")
    outcome = OUTCOMES.get(ended) if isinstance(ended, str) else None
    if outcome is None:
        raise Misfit(f"{brief(ended)} is no end of a build", "build_status")
    if outcome not in _WITH_FILES:
        return Said(status, build_id, outcome)
    return Said(status, build_id, outcome, _filemap(value.get("filemap")), _dependencies(value.get("dependencies")))


def _filemap(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict) or len(value) > FILES:
        raise Misfit(f"{brief(value)} is no map of files", "filemap")
    files = []
    for name, sha1 in value.items():
        try:
            component = str(NAME.read(name))
        except Misfit as misfit:
            raise misfit.under("filemap") from None
        if not isinstance(sha1, str) or not SHA1.fullmatch(sha1):
            raise Misfit(f"{brief(sha1)} is no SHA-1", f"filemap[{brief(name)}]")
        files.append((component, sha1))
    return tuple(sorted(files))


def _dependencies(value: object) -> str:
    if value is None:
        return ""
    text = read_text(value, "dependencies")
    if len(text.encode()) > DEPENDENCIES_BYTES:
        raise Misfit(f"more than {DEPENDENCIES_BYTES} bytes", "dependencies")
    return text


def read_array(value: object, length: int) -> list[Any]:
    """Read an array of `length` values; XML-RPC has no tuples.

    Raises:
        Misfit: it is none.
    """
    if not isinstance(value, list) or len(value) != length:
        raise Misfit(f"{brief(value)} is no array of {length}")
    return value


def read_text(value: object, path: str = "") -> str:
    """Read a string of Unicode.

    Raises:
        Misfit: it is none.
    """
    if not isinstance(value, str):
        raise Misfit(f"{brief(value)} is no string", path)
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Misfit(f"{brief(value)} is no Unicode text", path) from None
    return value


def _word(value: object, path: str = "") -> str:
    """Take a short printable line that is not empty."""
    text = read_text(value, path)
    if not text or len(text.encode()) > NAME_BYTES or not text.isprintable():
        raise Misfit(f"{brief(text)} is no short, printable text", path)
    return text


def _tag(value: object, path: str) -> str:
    try:
        return str(TAG.read(value))
    except Misfit as misfit:
        raise misfit.under(path) from None


def read_flag(value: object) -> bool:
    """Read a boolean.

    Raises:
        Misfit: it is none.
    """
    if not isinstance(value, bool):
        raise Misfit(f"{brief(value)} is no boolean")
    return value


def read_member(kind: type[E], value: object, path: str = "") -> E:
    """Read one of the values of an enumeration.

    Raises:
        Misfit: it is none.
    """
    found = next((one for one in kind if one.value == value), None)
    if found is None:
        raise Misfit(f"{brief(value)} is none of {', '.join(kind)}", path)
    return found


def expect(expected: SlaveStatus, value: object) -> None:
    """Read a status that can only be `expected`.

    Raises:
        Misfit: it is none.
    """
    if value != expected.value:
        raise Misfit(f"{brief(value)} is not {expected}")
