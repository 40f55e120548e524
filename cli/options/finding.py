"""Which builds and archives are meant by what stands on a command line."""

from __future__ import annotations

from collections.abc import Iterable

from actors.core.people.private import seen_archives
from cli.errors import BadInput
from cli.farm import Farm
from storage.archives import Archives
from storage.build_queue import BuildQueue
from storage.builds import Builds
from storage.errors import UnknownBuild
from storage.records import Archive, Build
from storage.words.archives import named_archive


def find_build(farm: Farm, number: int) -> Build:
    """Return the build of this number.

    Raises:
        UnknownBuild: there is none.
        BadInput: there is none, but a job of this number, which is probably meant.
    """
    try:
        return Builds(farm.connection).get(number)
    except UnknownBuild:
        for job in BuildQueue(farm.connection).jobs([number]):
            raise BadInput(
                f"no build {number} here, but job {number} is that of build {job.build}:"
                " commands of `build` take the numbers of builds"
            ) from None
        raise


def find_builds(farm: Farm, numbers: Iterable[int]) -> tuple[Build, ...]:
    """Return the builds of these numbers, each once, in this order; raises as `find_build` does."""
    return tuple(find_build(farm, number) for number in dict.fromkeys(numbers))


def find_archive(farm: Farm, distribution: str, name: str) -> Archive:
    """Return the archive of this name.

    Raises:
        UnknownArchive: names those that there are, as far as the caller may know.
    """
    every = Archives(farm.connection).all()
    meant = [one for one in every if (one.distribution, one.name) == (distribution, name)]
    return named_archive(distribution, name, [*meant, *seen_archives(farm.caller, every)])
