"""Which builds a source package asks for: the architecture hint list against what the farm has (dispatch-rules §3)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache

from debian.debian_support import DpkgArchTable

from cli.errors import BadInput, NotReachable
from storage.records import Chroot, DistroArchSeries, Pocket


@dataclass(frozen=True, slots=True)
class Target:
    """One build to be made."""

    distroarchseries: DistroArchSeries
    arch_indep: bool  #: arch-indep packages are built as well


def with_chroot(
    series: Iterable[DistroArchSeries], chroots: Iterable[Chroot], pocket: Pocket
) -> tuple[DistroArchSeries, ...]:
    """Return those that have a chroot for `pocket`, or for RELEASE, which stands in for it."""
    there = {chroot.distroarchseries for chroot in chroots if chroot.pocket in {pocket, Pocket.RELEASE}}
    return tuple(one for one in series if str(one) in there)


def choose_series(ready: Sequence[DistroArchSeries], wanted: str | None) -> tuple[str, str]:
    """Return distribution and series to build for.

    Args:
        ready: what has a chroot.
        wanted: `bookworm` or `debian/bookworm`; None: the only one there is.

    Raises:
        BadInput: none, more than one, or not that one.
    """
    names = sorted({(one.distribution, one.series) for one in ready})
    if not names:
        raise BadInput("no series has a chroot: make one with `buildd-master chroot make`")
    shown = ", ".join("/".join(name) for name in names)
    fitting = [name for name in names if wanted is None or wanted in {name[1], "/".join(name)}]
    if not fitting:
        raise BadInput(f"no series {wanted!r} with a chroot (there are: {shown}): `buildd-master chroot make {wanted}`")
    if len(fitting) > 1:
        raise BadInput(f"which series? say --series with one of: {shown}")
    return fitting[0]


def wanted_builds(
    source: str, hints: Sequence[str], ready: Sequence[DistroArchSeries], only: Sequence[str] = ()
) -> tuple[Target, ...]:
    """Return the builds that a source asks for.

    Args:
        source: its name, for errors.
        hints: its architecture hint list.
        ready: the architectures of its series that have a chroot.
        only: architecture tags that the person asked for; empty: all.

    Raises:
        BadInput: an architecture is not there, or the source is for none of them.
    """
    tags = {one.architecture for one in ready}
    for tag in only:
        if tag not in tags:
            raise BadInput(f"no chroot for the architecture {tag!r} (there are: {', '.join(sorted(tags))})")
    found = []
    for one in ready:
        indep = "all" in hints and one.nominated_archindep
        dependent = any(fits(one.architecture, hint) for hint in hints if hint != "all")
        if (indep or dependent) and (not only or one.architecture in only):
            found.append(Target(one, indep))
    if not found:
        asked = f"for {', '.join(only)}" if only else f"with a chroot ({', '.join(sorted(tags))})"
        nominated = "" if "all" not in hints else "; arch-indep packages are built on the nominated architecture only"
        raise BadInput(f"{source} is for {' '.join(hints)}: it has nothing to build {asked}{nominated}")
    return tuple(found)


def fits(architecture: str, hint: str) -> bool:
    """Return whether an architecture tag is meant by a hint, wildcards (`any`, `linux-any`, `any-i386`) included."""
    try:
        return hint == architecture or _table().matches_architecture(architecture, hint)
    except KeyError:
        return False


@cache
def _table() -> DpkgArchTable:
    try:
        return DpkgArchTable.load_arch_table()
    except OSError as error:
        raise NotReachable(f"can't read dpkg's table of architectures: {error}: install the package dpkg") from error
