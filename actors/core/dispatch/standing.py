"""Which builders are registered, which of them are idle, and what they serve: the matcher's other half.

Jobs are of a kind: processor family, trust, tags, and the builder they are assigned to.  For every kind of which a job
waits (`open`), the idle builders that serve it stand ready by name; finding them never looks at the others.  This is an
index: who may run what is decided by `actors.core.dispatch.pair_rules` alone.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from actors.core.dispatch.pair_rules import withheld
from storage.records import Builder, Job


class Kind(NamedTuple):
    """What decides, of a job, which builders serve it."""

    family: str
    trusted: bool
    tags: tuple[str, ...]  #: sorted
    assigned: str  #: name of a builder, or empty


def kind_of(job: Job) -> Kind:
    """Return the kind of `job`."""
    return Kind(job.family, job.trusted, job.tags, job.assigned or "")


_NONE: Final[frozenset[str]] = frozenset()


@dataclass(slots=True)
class Standing:
    """The builders, by what they serve."""

    _builders: dict[str, Builder] = field(default_factory=dict)
    _ready: set[str] = field(default_factory=set)  #: said so by their actors, whatever their rows say
    _seen_ready: frozenset[str] | None = None  #: the same, until one comes or goes
    _sides: defaultdict[tuple[str, bool], set[str]] = field(default_factory=lambda: defaultdict(set))
    _plain: defaultdict[tuple[str, bool], set[str]] = field(default_factory=lambda: defaultdict(set))
    _tagged: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _open: defaultdict[tuple[str, bool], set[Kind]] = field(default_factory=lambda: defaultdict(set))
    _idle: dict[Kind, list[str]] = field(default_factory=dict)  #: of open kinds; sorted, never empty

    @property
    def names(self) -> frozenset[str]:
        """Return the names of all that are registered."""
        return frozenset(self._builders)

    @property
    def ready(self) -> frozenset[str]:
        """Return those whose slaves wait for a job."""
        if self._seen_ready is None:
            self._seen_ready = frozenset(self._ready)
        return self._seen_ready

    @property
    def served(self) -> Iterable[Kind]:
        """Return the open kinds that idle builders serve."""
        return self._idle.keys()

    def builder(self, name: str) -> Builder | None:
        """Return a builder's row, as last registered."""
        return self._builders.get(name)

    def row(self, name: str) -> Builder:
        """Return the row of a builder that is registered."""
        return self._builders[name]

    def idle(self, kind: Kind) -> Sequence[str]:
        """Return the idle builders that serve an open kind, by name."""
        return self._idle.get(kind, ())

    def capable(self, kind: Kind) -> int:
        """Return how many registered builders could run jobs of this kind, whatever their mode and state."""
        return len(self._capable(kind))

    def neighbours(self, name: str) -> tuple[str, ...]:
        """Return the other builders that share a processor family with this one, by name."""
        builder = self._builders.get(name)
        families = builder.families if builder is not None else ()
        sides = [self._sides[family, trusted] for family in families for trusted in (True, False)]
        return tuple(sorted(set().union(*sides) - {name}))

    def register(self, builder: Builder) -> None:
        """Take in a builder's row; one that is ready stays so."""
        ready = builder.name in self._ready
        self.forget(builder.name)
        self._builders[builder.name] = builder
        for family in builder.families:
            side = (family, builder.trusted)
            self._sides[side].add(builder.name)
            if not builder.restricted_tags:
                self._plain[side].add(builder.name)
        for tag in {*builder.tags, *builder.restricted_tags}:
            self._tagged[tag].add(builder.name)
        if ready:
            self.arrive(builder.name)

    def forget(self, name: str) -> None:
        """Take a builder's row out."""
        builder = self._builders.get(name)
        if builder is None:
            self._ready.discard(name)
            self._seen_ready = None
            return
        self.leave(name)
        del self._builders[name]
        for family in builder.families:
            self._sides[family, builder.trusted].discard(name)
            self._plain[family, builder.trusted].discard(name)
        for tag in {*builder.tags, *builder.restricted_tags}:
            self._tagged[tag].discard(name)
            if not self._tagged[tag]:
                del self._tagged[tag]

    def arrive(self, name: str) -> None:
        """A builder's slave waits for a job; said twice, once."""
        if name in self._ready:
            return
        self._ready.add(name)
        self._seen_ready = None
        for kind in self._serves(name):
            insort(self._idle.setdefault(kind, []), name)

    def leave(self, name: str) -> None:
        """A builder's slave waits no more; said twice, once."""
        if name not in self._ready:
            return
        self._ready.remove(name)
        self._seen_ready = None
        for kind in self._serves(name):
            idle = self._idle[kind]
            del idle[bisect_left(idle, name)]
            if not idle:
                del self._idle[kind]

    def open(self, kind: Kind) -> None:
        """Jobs of this kind wait from now on."""
        self._open[kind.family, kind.trusted].add(kind)
        able = self._capable(kind)
        few, many = (able, self._ready) if len(able) < len(self._ready) else (self._ready, able)
        idle = sorted(name for name in few if name in many and _called(self._builders[name], kind))
        if idle:
            self._idle[kind] = idle

    def close(self, kind: Kind) -> None:
        """No job of this kind waits any more."""
        self._open[kind.family, kind.trusted].discard(kind)
        self._idle.pop(kind, None)

    def _serves(self, name: str) -> list[Kind]:
        """Return the open kinds that a builder serves as it is registered."""
        builder = self._builders.get(name)
        if builder is None:
            return []
        return [
            kind
            for family in set(builder.families)
            for kind in self._open[family, builder.trusted]
            if _fits(builder, kind) and _called(builder, kind)
        ]

    def _capable(self, kind: Kind) -> set[str] | frozenset[str]:
        side = (kind.family, kind.trusted)
        if kind.assigned:
            builder = self._builders.get(kind.assigned)
            fits = builder is not None and kind.assigned in self._sides[side] and _fits(builder, kind)
            return {kind.assigned} if fits else _NONE
        if not kind.tags:
            return self._plain[side]
        able = set.intersection(*(self._tagged.get(tag, set()) for tag in kind.tags)) & self._sides[side]
        return {name for name in able if _fits(self._builders[name], kind)}


def _fits(builder: Builder, kind: Kind) -> bool:
    """Return whether tags and assignment of `kind` leave it to `builder`."""
    if kind.assigned not in {"", builder.name}:
        return False
    if not kind.tags:
        return not builder.restricted_tags
    asked = set(kind.tags)
    return asked.issubset((*builder.tags, *builder.restricted_tags)) and asked.issuperset(builder.restricted_tags)


def _called(builder: Builder, kind: Kind) -> bool:
    """Return whether `builder` gets work of this kind at all, by what its row says of the builder alone."""
    if withheld(builder) is not None or builder.frozen_until is not None:
        return False
    return not builder.manual or kind.assigned == builder.name
