"""What the control file of a `.deb` says of its package, and whether that is what was ordered.

The file comes from whoever built it and may hold anything: what is wrong with it is words for people, nothing is raised.
`actors.builder.deb_control` gets it out of the `.deb`; `actors.core.builder.attempt.gathering` asks for both.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from debian.deb822 import Deb822

from actors.core.dependencies.relations import ALL, provided_by, version_of
from storage.records import BinaryPackage, BuildOrder

MOST_PROVIDED: Final = 10_000  #: names that all packages of one build provide; the most known are some thousands

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9+.-]{0,254}")
_VERSION: Final = re.compile(r"[0-9A-Za-z][0-9A-Za-z.+:~-]{0,254}")
_SHOWN: Final = 100  #: characters of a bad value


def read_control(order: BuildOrder, control: bytes) -> BinaryPackage | str:
    """Return the package that `control` describes, or what is wrong with it in words that go on after its filename."""
    try:
        fields = Deb822(control.decode())  # decoded here: the library prints where it has to guess
        name, version, architecture, provides = (
            str(fields.get(field, "")) for field in ("Package", "Version", "Architecture", "Provides")
        )
    except (ValueError, TypeError, AttributeError, KeyError, UnicodeError) as error:
        return f"has a control file that can't be read: {type(error).__name__}: {str(error)[:_SHOWN]}"
    if not _NAME.fullmatch(name):
        return f"is of a package named {name[:_SHOWN]!r}, which no package can be"
    if not _VERSION.fullmatch(version) or version_of(version) is None:
        return f"is of version {version[:_SHOWN]!r}, which no package can have"
    allowed = (order.architecture, ALL) if order.arch_indep else (order.architecture,)
    if architecture not in allowed:
        return f"is of architecture {architecture[:_SHOWN]!r}, ordered was {', '.join(allowed)}"
    return BinaryPackage(name, version, architecture, provided_by(provides))


def too_much(packages: Sequence[BinaryPackage]) -> str:
    """Return why these can't be the packages of one build; empty if they can."""
    provided = sum(len(package.provides) for package in packages)
    return f"the packages provide {provided} names, more than {MOST_PROVIDED}" if provided > MOST_PROVIDED else ""
