"""Reads from apt's words which relations it could not satisfy, and says them as the `.dsc` does.

apt (LC_ALL=C, its own solver) prints for each package it could not get in:

     builddeps:x.dsc : Depends: a (>= 9) but 1.2 is to be installed
                       Depends: b but it is not installable or
                                c (< 3) but it is not installable
     d : Depends: e but it is not installable

A `builddeps` line is a relation of the `.dsc`; others say what is missing further down.  Pure text in, values out.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from debian.deb822 import Deb822, PkgRelation

BUILD_DEPENDS = ("Build-Depends", "Build-Depends-Arch", "Build-Depends-Indep")
MOST = 100  #: relations reported, at most

_DIRECT = ("builddeps:", "satisfy:")
_LINE = re.compile(r"\s+(?:(?P<subject>\S+) : )?(?P<kind>[A-Z][A-Za-z-]+): (?P<rest>\S.*)")
_ITEM = re.compile(
    r"(?P<name>[^\s:]+)(?P<qualifier>:\S+)?(?: \((?P<sign>[<>=]+) (?P<version>[^)]+)\))? but (?P<why>.+)"
)
_SIGNS = {"<": "<<", ">": ">>"}
_SINKING = "not going to be installed"  #: apt's words where the reason lies further down, or is a missing version


@dataclass(frozen=True, slots=True)
class Alternative:
    """One side of a `|`."""

    name: str
    text: str  #: with qualifier and version, as a `.dsc` writes it


@dataclass(frozen=True, slots=True)
class Unmet:
    """One relation that apt could not satisfy."""

    direct: bool  #: asked for by the `.dsc`, not by one of its dependencies
    alternatives: tuple[Alternative, ...]
    clear: bool  #: apt gave the reason itself: no such package, or another version

    @property
    def text(self) -> str:
        """The relation, as a `.dsc` writes it."""
        return " | ".join(alternative.text for alternative in self.alternatives)


def read_unmet(output: str) -> tuple[Unmet, ...]:
    """Return the relations that apt says it could not satisfy; conflicts are none."""
    found: list[Unmet] = []
    direct, listening = False, False
    pending: list[tuple[Alternative, bool]] = []
    for line in output.splitlines():
        if line.endswith((" have unmet dependencies:", "Unsatisfied dependencies:")):
            listening = True
            continue
        if not listening or not line.startswith(" "):
            listening, pending = listening and not line.strip(), []
            continue
        head = _LINE.fullmatch(line)
        if head is not None:
            if head["subject"] is not None:
                direct = head["subject"].startswith(_DIRECT)
            pending = []
            if head["kind"] not in {"Depends", "PreDepends", "Pre-Depends"}:
                continue
        elif not pending:
            continue
        rest = line.strip() if head is None else head["rest"]
        more = rest.endswith(" or")
        item = _ITEM.fullmatch(rest.removesuffix(" or"))
        if item is None:
            pending = []
            continue
        pending.append((_alternative(item), _SINKING not in item["why"]))
        if not more:
            found.append(Unmet(direct, tuple(one for one, _ in pending), all(clear for _, clear in pending)))
            pending = []
    return tuple(dict.fromkeys(found))[:MOST]


def _alternative(item: re.Match[str]) -> Alternative:
    version = "" if item["sign"] is None else f" ({_SIGNS.get(item['sign'], item['sign'])} {item['version']})"
    return Alternative(item["name"], f"{item['name']}{item['qualifier'] or ''}{version}")


def declared_relations(dsc: str) -> tuple[tuple[Alternative, ...], ...]:
    """Return the build dependencies that the text of a `.dsc` declares; what cannot be parsed is left out."""
    fields = Deb822(dsc.splitlines())
    groups: list[tuple[Alternative, ...]] = []
    for name in BUILD_DEPENDS:
        if fields.get(name, "").strip():
            parsed = PkgRelation.parse_relations(fields[name])
            groups.extend(tuple(_declared(relation) for relation in group) for group in parsed)
    return tuple(groups)


def _declared(relation: PkgRelation.ParsedRelation) -> Alternative:
    name = str(relation["name"])
    qualifier = relation.get("archqual")
    version = relation.get("version")
    return Alternative(
        name,
        name + (f":{qualifier}" if qualifier else "") + (f" ({version[0]} {version[1]})" if version else ""),
    )


def as_declared(unmet: Unmet, declared: tuple[tuple[Alternative, ...], ...]) -> str:
    """Return `unmet` in the words of the `.dsc`, where one of its relations is meant; else in apt's."""
    if unmet.direct:
        texts = {alternative.text for alternative in unmet.alternatives}
        names = {alternative.name for alternative in unmet.alternatives}
        for wanted, key in ((texts, "text"), (names, "name")):
            for group in declared:
                if wanted <= {getattr(alternative, key) for alternative in group}:
                    return " | ".join(alternative.text for alternative in group)
    return unmet.text
