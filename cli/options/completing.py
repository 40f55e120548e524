"""What the shell offers where a name of the farm is wanted: those that there are, and nothing where they can't be asked."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import typer

from actors.core.people.private import seen_archives
from cli.errors import CommandError
from cli.farm import Farm, open_farm
from cli.given import Given, Shown
from storage.access.people import People
from storage.archives import Archives
from storage.builders import Builders
from storage.errors import StorageError
from storage.series import Series

Completion = Callable[[typer.Context, str], list[str]]


def _offering(names: Callable[[Farm], Iterable[str]]) -> Completion:
    """Return what typer calls when Tab is pressed, which is no place for errors."""

    def offer(context: typer.Context, incomplete: str) -> list[str]:
        options = context.find_root().params  # read, but `cli.app` has not run
        try:
            shown = Shown.of(options.get("person"), options.get("token_file"))
            context.obj = Given(
                options.get("config"), options.get("state_directory"), options.get("database_dsn"), shown
            )
            with open_farm(context) as farm:
                return sorted(name for name in set(names(farm)) if name.startswith(incomplete))
        except (CommandError, StorageError):
            return []

    return offer


def _builders(farm: Farm) -> Iterable[str]:
    return (one.name for one in Builders(farm.connection).all())


def _archives(farm: Farm) -> Iterable[str]:
    seen = seen_archives(farm.caller, Archives(farm.connection).all())
    return (f"{one.distribution}/{one.name}" for one in seen)


def _series(farm: Farm) -> Iterable[str]:
    return (f"{one.distribution}/{one.series}" for one in Series(farm.connection).all())


def _series_alone(farm: Farm) -> Iterable[str]:
    return (one.series for one in Series(farm.connection).all())


def _architectures(farm: Farm) -> Iterable[str]:
    return (one.architecture for one in Series(farm.connection).all())


def _families(farm: Farm) -> Iterable[str]:
    return (one.name for one in Series(farm.connection).families())


def _distroarchseries(farm: Farm) -> Iterable[str]:
    return (f"{one.distribution}/{one.series}/{one.architecture}" for one in Series(farm.connection).all())


def _persons(farm: Farm) -> Iterable[str]:
    return (one.name for one in People(farm.connection).all())


def _teams(farm: Farm) -> Iterable[str]:
    return (one.name for one in People(farm.connection).teams())


builders = _offering(_builders)
archives = _offering(_archives)
series = _offering(_series)
series_alone = _offering(_series_alone)
architectures = _offering(_architectures)
families = _offering(_families)
distroarchseries = _offering(_distroarchseries)
persons = _offering(_persons)
teams = _offering(_teams)
