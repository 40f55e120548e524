"""What a build may take: whose word counts, in Python, in SQL and in memory; and how people write it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from psycopg.types.json import Jsonb

from slave.core.build_args import LIMITS
from storage.errors import BadValue, UnknownArchive, UnknownBuild
from storage.limits import RANGES, changed, check_limits, in_force, parse, said, shown
from storage.records import Limits, Pick
from tests.fix_storage import Farm, Stage

NAMES = [field.name for field in fields(Limits)]
VALUES = {name: st.integers(least, most) for name, (least, most) in RANGES.items()}
LIMITS_SAID = st.fixed_dictionaries({}, optional=VALUES).map(lambda values: Limits(**values))
SETTINGS = LIMITS_SAID.map(lambda limits: replace(limits, wall_seconds=limits.wall_seconds or 3600))


def test_everybody_knows_the_same_limits_and_ranges() -> None:
    assert list(RANGES) == NAMES
    assert RANGES == LIMITS


# -- whose word counts -------------------------------------------------------------------------------------------------
@given(SETTINGS, LIMITS_SAID, LIMITS_SAID)
def test_the_more_specific_word_counts_and_its_origin_is_told(settings: Limits, archive: Limits, build: Limits) -> None:
    limits, origins = in_force(settings, archive, build)
    told = dict(origin.split("=") for origin in origins)
    for name in NAMES:
        words = [getattr(place, name) for place in (build, archive, settings)]
        assert getattr(limits, name) == next((word for word in words if word is not None), None)
        places = ["build", "archive", None]
        assert told.get(name) == next((p for p, word in zip(places, words, strict=True) if word is not None), None)
    assert list(origins) == sorted(origins)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(SETTINGS, LIMITS_SAID, LIMITS_SAID)
def test_the_claim_says_the_same_as_the_rule(
    fresh_farm: Callable[[], Farm], settings: Limits, archive: Limits, build: Limits
) -> None:
    farm = fresh_farm()
    farm.archives.change("ubuntu", "primary", limits=said(archive))
    job = farm.job()
    farm.builds.change_limits(job.build, said(build))
    (attempt,) = farm.queue.claim((Pick(job.id, farm.builder(), 1),), settings)
    assert (attempt.limits, attempt.limits_from) == in_force(settings, archive, build)
    order = farm.queue.order(attempt.id)
    assert (order.limits, order.limits_from) == (attempt.limits, attempt.limits_from)
    assert order.wall_seconds == attempt.limits.wall_seconds == (attempt.deadline - attempt.started).total_seconds()


def test_a_running_build_keeps_what_it_was_claimed_with(stage: Stage) -> None:
    with stage.acting("me"):
        stage.archives.change("ubuntu", "primary", limits={"memory_bytes": 1 << 30, "wall_seconds": 60})
    job = stage.job()
    with stage.acting("me"):
        assert stage.builds.change_limits(job.build, {"wall_seconds": 90}).limits == Limits(wall_seconds=90)
    attempt = stage.claim(job, stage.builder())
    with stage.acting("me"):
        stage.archives.change("ubuntu", "primary", limits={"memory_bytes": 1 << 31})
        stage.builds.change_limits(job.build, {"wall_seconds": None})
    kept = (Limits(wall_seconds=90, memory_bytes=1 << 30), ("memory_bytes=archive", "wall_seconds=build"))
    order = stage.queue.order(attempt.id)
    assert (order.limits, order.limits_from) == kept
    assert (stage.queue.attempt(attempt.id).limits, stage.queue.attempt(attempt.id).limits_from) == kept
    assert (attempt.deadline - attempt.started).total_seconds() == 90


def test_limits_are_changed_one_by_one_and_taken_back(stage: Stage) -> None:
    with stage.acting("me"):
        change = stage.archives.change
        assert stage.archives.get("ubuntu", "primary").limits == Limits()
        assert change("ubuntu", "primary", limits={"processes": 99}).limits == Limits(processes=99)
        both = change("ubuntu", "primary", limits={"disk_bytes": 1 << 30})
        assert both.limits == Limits(processes=99, disk_bytes=1 << 30)
        assert change("ubuntu", "primary", limits={"processes": None}).limits == Limits(disk_bytes=1 << 30)
        assert change("ubuntu", "primary", private=True).limits == Limits(disk_bytes=1 << 30)
    events = [event for event in stage.events.list() if event.what == "limits"]
    assert [event.after for event in events] == [
        {"limits": {"processes": 99}},
        {"limits": {"disk_bytes": 1 << 30, "processes": 99}},
        {"limits": {"disk_bytes": 1 << 30}},
    ]


@pytest.mark.parametrize("limits", [{"memory_bytes": 4}, {"walls": 1}, {"wall_seconds": 31 * 24 * 3600}])
def test_a_limit_that_can_not_be_is_refused_and_nothing_written(stage: Stage, limits: dict[str, int]) -> None:
    build = stage.build()
    with stage.acting("me"), pytest.raises(BadValue, match=next(iter(limits))):
        stage.archives.change("ubuntu", "primary", private=True, limits=limits)
    with stage.acting("me"), pytest.raises(BadValue):
        stage.builds.change_limits(build.id, limits)
    assert not stage.archives.get("ubuntu", "primary").private
    assert stage.builds.get(build.id).limits == Limits()
    with stage.acting("me"), pytest.raises(UnknownBuild):
        stage.builds.change_limits(99, {})
    with stage.acting("me"), pytest.raises(UnknownArchive):
        stage.archives.change("ubuntu", "nonesuch", limits={"processes": 99})


@pytest.mark.parametrize("name", [*NAMES, "walls"])
def test_the_database_takes_what_python_takes(farm: Farm, name: str) -> None:
    around: list[Any] = [bound + step for bound in RANGES.get(name, (1, 2)) for step in (-1, 0, 1)]
    for value in (*around, -1, 0, 1 << 60, 1.5, "99", True, None, [99], {}):
        ((taken,),) = farm.sql("SELECT limits_can_be(%s)", Jsonb({name: value}))
        fit = type(value) is int
        if fit:
            try:
                check_limits({name: value})
            except BadValue:
                fit = False
        assert (value, taken) == (value, fit)


# -- how people write it -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("wall_seconds", "90s", 90),
        ("wall_seconds", "8h", 28800),
        ("wall_seconds", "1d 12h", 129600),
        ("silent_seconds", "2 h 30 min", 9000),
        ("silent_seconds", "45m", 2700),
        ("memory_bytes", "4G", 4 << 30),
        ("memory_bytes", "512 MiB", 512 << 20),
        ("memory_bytes", "1.5Gi", 3 << 29),
        ("disk_bytes", "2 GB", 2_000_000_000),
        ("log_bytes", "20000B", 20000),
        ("file_bytes", "1T", 1 << 40),
        ("processes", "500", 500),
    ],
)
def test_sizes_and_durations_are_read_as_people_write_them(name: str, text: str, value: int) -> None:
    assert parse(name, text, bare=False) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("wall_seconds", "8"),
        ("wall_seconds", ""),
        ("wall_seconds", " "),
        ("wall_seconds", "30m 2h"),
        ("wall_seconds", "1.5h"),
        ("wall_seconds", "-1h"),
        ("wall_seconds", "8 hours"),
        ("wall_seconds", "8h!"),
        ("memory_bytes", "4"),
        ("memory_bytes", "4X"),
        ("memory_bytes", "4GiBs"),
        ("memory_bytes", "4 G B"),
        ("memory_bytes", "1e9"),
        ("memory_bytes", "0.3B"),
        ("memory_bytes", "٤G"),
        ("memory_bytes", "4i"),
        ("memory_bytes", "G"),
        ("processes", "5k"),
        ("processes", "٤"),
        ("processes", "-5"),
        ("processes", "5.0"),
    ],
)
def test_what_is_not_clear_is_refused(name: str, text: str) -> None:
    with pytest.raises(BadValue, match="is no"):
        parse(name, text, bare=False)


@given(st.sampled_from(NAMES).flatmap(lambda name: st.tuples(st.just(name), VALUES[name])))
def test_what_is_shown_is_read_back(one: tuple[str, int]) -> None:
    name, value = one
    text = shown(name, value).replace(" bytes", " B")
    assert parse(name, text, bare=False) == value
    assert parse(name, str(value), bare=True) == value


@given(LIMITS_SAID, st.fixed_dictionaries({}, optional={name: st.none() | VALUES[name] for name in NAMES}))
def test_a_change_touches_what_it_names_only(limits: Limits, changes: dict[str, int | None]) -> None:
    after = changed(limits, changes)
    for name in NAMES:
        assert getattr(after, name) == changes.get(name, getattr(limits, name))
