"""What a relation between packages says, and which package satisfies it (Debian Policy §7.1, §3.1.1).

`libfoo-dev (>= 2) | libbar-dev [amd64] <!nocheck>`: python-debian takes it apart and compares versions; what it can't
read at all is told from what it can before it is asked.  Pure, and the results are remembered: the same few thousand
lines are read again at every sweep.  What a build waits for is `actors.core.dependencies.waits`'s.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from debian.deb822 import PkgRelation
from debian.debian_support import Version

from storage.records import PublishedPackage

ALL: Final = "all"  #: architecture of packages for every architecture
LINE_LIMIT: Final = 4096  #: characters of one relation with all its alternatives; the longest have a few hundred

Fits = Callable[[str, str], bool]  #: (architecture, tag or wildcard, as `linux-any`) → is it meant?

_NAME: Final = r"[a-z0-9][a-z0-9+.-]*"
_VERSION: Final = r"[0-9A-Za-z][0-9A-Za-z.+:~-]{0,254}"
#: one alternative that python-debian can read and that can be meant
_READABLE: Final = re.compile(
    rf"{_NAME}(:[a-z0-9][a-z0-9-]*)?(\s*\(\s*(<<|<=|=|>=|>>|<|>)\s*{_VERSION}\s*\))?"
    r"(\s*\[\s*!?[a-z0-9-]+(\s+!?[a-z0-9-]+)*\s*\])?(\s*<\s*!?[a-z0-9.+-]+(\s+!?[a-z0-9.+-]+)*\s*>)*",
    re.ASCII,
)
_PROVIDED: Final = re.compile(rf"({_NAME})(?::[a-z0-9-]+)?(?:\s*\(\s*=\s*({_VERSION})\s*\))?", re.ASCII)
_NATIVE: Final = frozenset({None, "any", "native"})
#: `<` and `>` are old words for `<=` and `>=`
_COMPARE: Final[Mapping[str, Callable[[Version, Version], bool]]] = {
    "<<": operator.lt,
    "<": operator.le,
    "<=": operator.le,
    "=": operator.eq,
    ">=": operator.ge,
    ">": operator.ge,
    ">>": operator.gt,
}


@dataclass(frozen=True, slots=True)
class Alternative:
    """One side of a `|`."""

    name: str
    qualifier: str | None = None  #: `any`, `native`, or an architecture tag
    sign: str = ""  #: empty: any version will do
    version: str = ""
    architectures: tuple[tuple[bool, str], ...] = ()  #: wanted or not; empty: it counts for all
    profiles: tuple[tuple[tuple[bool, str], ...], ...] = ()  #: one of these must hold, if there are any

    def counts(self, architecture: str, fits: Fits) -> bool:
        """Return whether it says anything for builds of `architecture` without any build profile."""
        if self.architectures:
            wanted = [tag for good, tag in self.architectures if good]
            unwanted = [tag for good, tag in self.architectures if not good]
            if any(fits(architecture, tag) for tag in unwanted):
                return False
            if wanted and not any(fits(architecture, tag) for tag in wanted):
                return False
        return not self.profiles or any(not any(active for active, _ in terms) for terms in self.profiles)

    def is_by(self, package: PublishedPackage, architecture: str) -> bool:
        """Return whether `package` satisfies it on a machine of `architecture`."""
        return self._meant(package, architecture) and any(
            self._version_fits(version) for name, version in offers(package) if name == self.name
        )

    def _meant(self, package: PublishedPackage, architecture: str) -> bool:
        if self.qualifier in _NATIVE or self.qualifier == architecture:
            return package.architecture in {ALL, architecture}
        return package.architecture == self.qualifier

    def _version_fits(self, offered: str | None) -> bool:
        if not self.sign:
            return True
        there, wanted = version_of(offered or ""), version_of(self.version)
        return there is not None and wanted is not None and _COMPARE[self.sign](there, wanted)


Relation = tuple[Alternative, ...]  #: any of which will do


@lru_cache(maxsize=50_000)
def read(line: str) -> Relation | None:
    """Return the alternatives of one relation; None: it is none that can be read."""
    if len(line) > LINE_LIMIT or not all(_READABLE.fullmatch(part.strip()) for part in line.split("|")):
        return None
    ((*parsed,),) = PkgRelation.parse_relations(line)
    found = tuple(map(_alternative, parsed))
    return found if all(not one.sign or version_of(one.version) is not None for one in found) else None


@lru_cache(maxsize=100_000)
def version_of(text: str) -> Version | None:
    """Return a version that can be compared; None: it is none."""
    try:
        version = Version(text)
        int(version.epoch or 0)
    except ValueError:
        return None
    return version


def offers(package: PublishedPackage) -> tuple[tuple[str, str | None], ...]:
    """Return the names by which a package may be depended on, each with its version; a provided one may have none."""
    return ((package.name, package.version), *(one for one in map(_provided, package.provides) if one is not None))


def provided_by(field: str) -> tuple[str, ...]:
    """Return what a `Provides` field provides, each in the one way to write it; what can't be read is left out."""
    found = (_PROVIDED.fullmatch(part.strip()) for part in field.split(","))
    return tuple(dict.fromkeys(f"{one[1]} (= {one[2]})" if one[2] else one[1] for one in found if one is not None))


@lru_cache(maxsize=100_000)
def _provided(text: str) -> tuple[str, str | None] | None:
    found = _PROVIDED.fullmatch(text.strip())
    return None if found is None else (found[1], found[2])


def _alternative(parsed: PkgRelation.ParsedRelation) -> Alternative:
    sign, version = parsed["version"] or ("", "")
    return Alternative(
        name=parsed["name"],
        qualifier=parsed["archqual"],
        sign=sign,
        version=version,
        architectures=tuple((one.enabled, one.arch) for one in parsed["arch"] or ()),
        profiles=tuple(tuple((one.enabled, one.profile) for one in terms) for terms in parsed["restrictions"] or ()),
    )
