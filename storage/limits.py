"""What a build may take: which values can be, whose word counts, and how people write and read them.

Settings, archive and build may each say something; the more specific word counts (`in_force`).  The claim says the same
in SQL, on locked rows (migration 0004); a test compares the two.  Pure.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from fractions import Fraction
from functools import lru_cache
from typing import Final

from storage.errors import BadValue
from storage.records import Limits

KIB: Final = 1 << 10
MIB: Final = 1 << 20
DAY: Final = 24 * 3600

#: The least and the most of each.  The slave knows them too (`slave.core.build_args`), and so does the database.
RANGES: Final[Mapping[str, tuple[int, int]]] = {
    "wall_seconds": (1, 30 * DAY),
    "silent_seconds": (1, 30 * DAY),
    "memory_bytes": (16 * MIB, 1 << 50),
    "processes": (8, 1 << 22),
    "file_bytes": (64 * KIB, 1 << 50),
    "log_bytes": (KIB, 256 * MIB),
    "disk_bytes": (MIB, 1 << 50),
}

_NAMES: Final = tuple(field.name for field in fields(Limits))

LimitChanges = Mapping[str, int | None]  #: by name; None takes back what was said

_SIZES: Final = {
    "": 1,
    "B": 1,
    **{f"{letter}{rest}": 1 << (10 * power) for power, letter in enumerate("KMGT", 1) for rest in ("", "i", "iB")},
    **{f"{letter}B": 1000**power for power, letter in enumerate("kMGT", 1)},
}
_SIZE: Final = re.compile(r"(\d{1,18}(?:\.\d{1,9})?) ?([kKMGT]?i?B?)", re.ASCII)
_DURATION: Final = re.compile(
    r"(?=\S)(?:(\d{1,9}) ?d)? ?(?:(\d{1,9}) ?h)? ?(?:(\d{1,9}) ?m(?:in)?)? ?(?:(\d{1,9}) ?s)?", re.ASCII
)
_UNITS: Final = ((DAY, "d"), (3600, "h"), (60, "min"), (1, "s"))


def said(limits: Limits) -> dict[str, int]:
    """Return what `limits` says something about, by name."""
    return {name: value for name in _NAMES if (value := getattr(limits, name)) is not None}


@lru_cache(maxsize=256)  # of a farm's builds, nearly all have the same
def in_force(settings: Limits, archive: Limits, build: Limits) -> tuple[Limits, tuple[str, ...]]:
    """Return the limits of a build, and where those are from that are not from the settings.

    The build's own word goes over its archive's, that over the settings'.

    Returns:
        The limits, and `NAME=archive` or `NAME=build` for each that has such an origin, by name.
    """
    origins = {**dict.fromkeys(said(archive), "archive"), **dict.fromkeys(said(build), "build")}
    values = said(settings) | said(archive) | said(build)
    return Limits(**values), tuple(f"{name}={origins[name]}" for name in sorted(origins))


def changed(limits: Limits, changes: LimitChanges) -> Limits:
    """Return `limits` after `changes`.

    Raises:
        BadValue: no such limit, or a value out of its range.
    """
    check_limits(changes)
    return Limits(**{name: value for name, value in (said(limits) | dict(changes)).items() if value is not None})


def check_limits(changes: LimitChanges) -> None:
    """Refuse limits that can't be.

    Raises:
        BadValue: names the limit and its range.
    """
    for name, value in changes.items():
        if name not in RANGES:
            raise BadValue(f"there is no limit {name!r}; there are {', '.join(RANGES)}")
        least, most = RANGES[name]
        if value is not None and not least <= value <= most:
            raise BadValue(f"{name} can't be {shown(name, value)}: {shown(name, least)} to {shown(name, most)}")


def parse(name: str, text: str, *, bare: bool) -> int:
    """Return the value of a limit that a person wrote.

    Args:
        name: of the limit: its unit decides what is understood.
        text: `2h 30m` or `90s`; `512M`, `1.5 GiB` (powers of 1024) or `2 GB` (powers of 1000); a plain number of
            processes.
        bare: a number alone is one of seconds or bytes.

    Raises:
        BadValue: says what is understood.
    """
    bare = bare or name == "processes"
    if bare and re.fullmatch(r"[0-9]{1,18}", text):
        return int(text)
    if name.endswith("_seconds"):
        found = _DURATION.fullmatch(text)
        if found is not None:
            return sum(int(number or 0) * seconds for number, (seconds, _) in zip(found.groups(), _UNITS, strict=True))
        raise BadValue(f"{text!r} is no duration: write it as 90s, 45m, 8h or 1d 12h")
    if name.endswith("_bytes"):
        found = _SIZE.fullmatch(text)
        if found is not None and found[2] in _SIZES and (bare or found[2]):
            octets = Fraction(found[1]) * _SIZES[found[2]]
            if octets.denominator == 1:
                return int(octets)
        raise BadValue(f"{text!r} is no size: write it as 512M, 4G or 1.5 GiB")
    raise BadValue(f"{text!r} is no number")


def shown(name: str, value: int) -> str:
    """Return the value of a limit as people read it: `2 h 30 min`, `512 MiB`, `100`."""
    if name.endswith("_seconds"):
        parts = []
        for seconds, unit in _UNITS:
            number, value = divmod(value, seconds)
            parts += [f"{number} {unit}"] if number else []
        return " ".join(parts) or "0 s"
    if name.endswith("_bytes"):
        power = next((power for power in (4, 3, 2, 1) if value >= 1 << 10 * power and not value % (1 << 10 * power)), 0)
        return f"{value >> 10 * power} {('bytes', 'KiB', 'MiB', 'GiB', 'TiB')[power]}"
    return str(value)
