"""Do the results of a build hang together?  The `.changes` file against what arrived and what was ordered.

A pure function; `actors.core.builder.attempt.gathering` asks it once every file is in the librarian.  The answer is
words for people, and empty words mean yes: results that do not hang together are `Outcome.UNVERIFIED`, nothing is
raised for them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from debian.deb822 import Deb822

from storage.records import BuildOrder, StoredFile

CHANGES_LIMIT = 1024 * 1024  #: bytes of a `.changes` file that are read; the largest known are a third of it

_SHA256 = re.compile(r"[0-9a-f]{64}")


def find_changes(names: Iterable[str]) -> str | None:
    """Return the one `.changes` file among `names`; None if there is none or more than one."""
    found = [name for name in names if name.endswith(".changes")]
    return found[0] if len(found) == 1 else None


def objection(order: BuildOrder, changes: bytes, results: Mapping[str, StoredFile]) -> str:
    """Return what is wrong with the results of `order`; empty if nothing is.

    Args:
        changes: content of the `.changes` file.
        results: every file that arrived, by name, as the librarian measured it; the `.changes` file is among them.
    """
    try:
        fields = Deb822(changes.decode())  # decoded here: the library prints where it has to guess
        source, version = str(fields.get("Source", "")), str(fields.get("Version", ""))
        architectures = set(str(fields.get("Architecture", "")).split())
        lines = [line.split() for line in str(fields["Checksums-Sha256"]).splitlines() if line.strip()]
        listed = [(name, size, sha256) for sha256, size, name in lines]
    except (KeyError, ValueError, TypeError, AttributeError, UnicodeError) as error:
        return f"the .changes file can't be read: {type(error).__name__}: {error}"
    return (
        _wrong_identity(order, source.partition(" ")[0], version, architectures)
        or _wrong_files(listed, results)
        or _unlisted(listed, results)
    )


def _wrong_identity(order: BuildOrder, source: str, version: str, architectures: set[str]) -> str:
    if source != order.source:
        return f"the .changes file is of source {source or '(none)'}, ordered was {order.source}"
    if version != order.version:
        return f"the .changes file is of version {version or '(none)'}, ordered was {order.version}"
    if not architectures:
        return "the .changes file names no architecture"
    allowed = {order.architecture, "all"} if order.arch_indep else {order.architecture}
    foreign = sorted(architectures - allowed)
    if foreign:
        return f"the .changes file is of architecture {', '.join(foreign)}, ordered was {', '.join(sorted(allowed))}"
    return ""


def _wrong_files(listed: list[tuple[str, str, str]], results: Mapping[str, StoredFile]) -> str:
    if not listed:
        return "the .changes file names no files"
    for name, size, sha256 in listed:
        kept = results.get(name)
        if kept is None:
            return f"the .changes file names {name}, which did not arrive"
        if size != str(kept.size):
            return f"{name} has {kept.size} bytes, the .changes file says {size}"
        if not _SHA256.fullmatch(sha256) or sha256 != kept.sha256:
            return f"{name} has SHA-256 {kept.sha256}, the .changes file says {sha256}"
    return ""


def _unlisted(listed: list[tuple[str, str, str]], results: Mapping[str, StoredFile]) -> str:
    known = {name for name, _, _ in listed}
    extra = sorted(name for name in results if name not in known and not name.endswith(".changes"))
    return f"{extra[0]} arrived, but the .changes file does not name it" if extra else ""
