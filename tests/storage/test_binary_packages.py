"""What is published: by builds, by imports, by plain SQL.  On PostgreSQL and in memory."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from storage.binary_packages import BinaryPackages
from storage.database.connection import acting, connect
from storage.errors import BadValue, DatabaseUnreachable, UnknownSeries
from storage.memory.indexes import relation_names
from storage.records import (
    Archive,
    Attempt,
    BinaryPackage,
    BuildState,
    EarlierPackage,
    Imported,
    Outcome,
    Place,
    PublishedPackage,
    Result,
)
from tests.fix_storage import Farm, Stage, left

FOO = BinaryPackage("foo", "1.0-1", "i386", ("foo-abi (= 3)", "editor"))
DOC = BinaryPackage("foo-doc", "1.0-1", "all")


def end(
    stage: Stage, attempt: Attempt, outcome: Outcome = Outcome.OK, state: BuildState = BuildState.FULLYBUILT
) -> None:
    results: tuple[Result, ...] = (left("foo.deb"),)
    with stage.acting("queue"):
        stage.queue.record(attempt.id, outcome, "", build_state=state, keep_job=False, results=results)


def built(stage: Stage, name: str = "foo", archive: str = "primary", *names: str) -> Place:
    """Build something; return where it publishes, and what is there of these names."""
    builder = "bob" if archive == "primary" else "eve"
    if builder not in {one.name for one in stage.builders.all()}:
        stage.builder(builder, trusted=archive == "primary")
    attempt = stage.claim(stage.job(name, archive), builder)
    end(stage, attempt)
    place = stage.packages.place(attempt.id, names)
    assert place is not None
    return place


def publish(stage: Stage, place: Place, *packages: BinaryPackage, gone: tuple[int, ...] = ()) -> tuple[int, ...]:
    with stage.acting("queue", "built"):
        return stage.packages.publish(place, packages, gone)


def offered(stage: Stage, *names: str, archive: str = "primary") -> list[str]:
    where = stage.archives.get("ubuntu", archive).id
    return [_words(one) for one in stage.packages.offered(names, (where,), ("hoary",))]


def _words(one: PublishedPackage) -> str:
    return f"{one.name} {one.version} {one.architecture}"


def primary(stage: Stage) -> Archive:
    return stage.archives.get("ubuntu", "primary")


def test_a_build_publishes_where_it_was_built_for_once_it_is_fully_built(stage: Stage) -> None:
    attempt = stage.claim(stage.job(), stage.builder("bob"))
    assert stage.packages.place(attempt.id) is None
    end(stage, attempt)
    assert stage.packages.place(attempt.id) == Place(attempt.build, primary(stage).id, "hoary")


def test_a_build_that_failed_publishes_nothing(stage: Stage) -> None:
    attempt = stage.claim(stage.job(), stage.builder("bob"))
    end(stage, attempt, Outcome.UNVERIFIED, BuildState.FAILEDTOUPLOAD)
    assert stage.packages.place(attempt.id) is None


def test_a_build_that_is_cancelled_as_it_ends_publishes_nothing(stage: Stage) -> None:
    attempt = stage.claim(stage.job(), stage.builder("bob"))
    with stage.acting("me"):
        stage.builds.cancel(attempt.build)
    end(stage, attempt)
    assert stage.queue.attempt(attempt.id).outcome == Outcome.OK
    assert stage.packages.place(attempt.id) is None


def test_what_is_published_is_found_by_its_name_and_by_what_it_provides(stage: Stage) -> None:
    place = built(stage)
    numbers = publish(stage, place, FOO, DOC)
    assert offered(stage, "foo") == offered(stage, "foo-abi") == offered(stage, "editor") == ["foo 1.0-1 i386"]
    assert offered(stage, "foo", "foo-doc", "foo-abi") == ["foo 1.0-1 i386", "foo-doc 1.0-1 all"]
    assert offered(stage, "bar", "foo-ab", "3") == []
    (found,) = stage.packages.offered(["foo"], (place.archive,), ("hoary",))
    assert (found.id, found.build, found.provides) == (numbers[0], place.build, FOO.provides)


def test_packages_of_another_archive_or_series_are_not_offered(stage: Stage) -> None:
    publish(stage, built(stage, archive="cprov/ppa"), FOO)
    assert offered(stage, "foo") == []
    assert offered(stage, "foo", archive="cprov/ppa") == ["foo 1.0-1 i386"]
    ppa = stage.archives.get("ubuntu", "cprov/ppa").id
    assert stage.packages.offered(["foo"], (ppa,), ("warty",)) == ()


def test_a_package_takes_the_place_of_those_it_supersedes(stage: Stage) -> None:
    (old, doc) = publish(stage, built(stage), FOO, DOC)
    newer = built(stage, "foo2", "primary", "foo", "bar")
    assert newer.earlier == (EarlierPackage(old, "foo", "1.0-1", "i386"),)
    (new,) = publish(stage, newer, BinaryPackage("foo", "2.0", "i386"), gone=(old,))
    assert [one.id for one in built(stage, "foo3", "primary", "foo", "foo-doc").earlier] == [doc, new]
    assert built(stage, "foo", "cprov/ppa", "foo", "foo-doc").earlier == ()


def test_what_comes_from_outside_is_none_of_the_builds(stage: Stage) -> None:
    with stage.acting("me"):
        stage.packages.import_index(primary(stage), "hoary", "i386", [FOO])
    assert built(stage, "foo", "primary", "foo").earlier == ()


def test_the_same_package_twice_is_published_once(stage: Stage) -> None:
    place = built(stage)
    assert len(publish(stage, place, FOO, FOO)) == 1
    assert publish(stage, place, FOO) == ()


@pytest.mark.parametrize(
    "wrong",
    [
        BinaryPackage("Foo", "1", "i386"),
        BinaryPackage("", "1", "i386"),
        BinaryPackage("foo", "", "i386"),
        BinaryPackage("foo", "1_2", "i386"),
        BinaryPackage("foo", "1" * 256, "i386"),
        BinaryPackage("foo", "1", "i 386"),
        BinaryPackage("foo", "1", ""),
    ],
)
def test_a_package_that_cannot_be_is_refused_and_nothing_is_published(stage: Stage, wrong: BinaryPackage) -> None:
    place = built(stage)
    with pytest.raises(BadValue):
        publish(stage, place, DOC, wrong)
    with pytest.raises(BadValue), stage.acting("me"):
        stage.packages.import_index(primary(stage), "hoary", "i386", [DOC, wrong])
    assert offered(stage, "foo", "foo-doc") == []


# --- imports --------------------------------------------------------------------------------------


def import_index(stage: Stage, index: str, *packages: BinaryPackage, archive: str = "primary") -> Imported:
    with stage.acting("me", "archive import-packages"):
        return stage.packages.import_index(stage.archives.get("ubuntu", archive), "hoary", index, packages)


def test_an_import_replaces_the_former_one_of_the_same_index(stage: Stage) -> None:
    assert import_index(stage, "i386", FOO, DOC) == Imported(2, 0, 0)
    (before,) = stage.packages.offered(["foo-doc"], (primary(stage).id,), ("hoary",))
    assert import_index(stage, "i386", BinaryPackage("foo", "2.0", "i386"), DOC) == Imported(1, 1, 1)
    assert offered(stage, "foo", "foo-doc") == ["foo-doc 1.0-1 all", "foo 2.0 i386"]
    (after,) = stage.packages.offered(["foo-doc"], (primary(stage).id,), ("hoary",))
    assert after == before  # and so it is no news to anybody
    assert import_index(stage, "i386") == Imported(0, 2, 0)
    assert offered(stage, "foo", "foo-doc") == []


def test_another_provides_is_another_package(stage: Stage) -> None:
    import_index(stage, "i386", FOO)
    assert import_index(stage, "i386", BinaryPackage(FOO.name, FOO.version, FOO.architecture)) == Imported(1, 1, 0)
    assert offered(stage, "editor") == []


def test_an_import_leaves_other_indexes_other_archives_and_the_builds_alone(stage: Stage) -> None:
    publish(stage, built(stage), FOO)
    import_index(stage, "all", DOC)
    import_index(stage, "i386", BinaryPackage("bar", "1", "i386"), archive="cprov/ppa")
    assert import_index(stage, "i386", FOO, DOC) == Imported(2, 0, 0)
    assert import_index(stage, "i386") == Imported(0, 2, 0)
    assert offered(stage, "foo", "foo-doc") == ["foo 1.0-1 i386", "foo-doc 1.0-1 all"]
    assert offered(stage, "bar", archive="cprov/ppa") == ["bar 1 i386"]


def test_a_package_that_an_index_has_twice_counts_once(stage: Stage) -> None:
    other = BinaryPackage(FOO.name, FOO.version, FOO.architecture)
    assert import_index(stage, "i386", FOO, other) == Imported(1, 0, 0)
    assert offered(stage, "editor") == ["foo 1.0-1 i386"]


def test_an_index_that_the_series_has_no_use_for_is_refused(stage: Stage) -> None:
    with pytest.raises(BadValue, match=r"not for 'amd46' \(it is for: i386, all\)"):
        import_index(stage, "amd46", FOO)
    with pytest.raises(UnknownSeries, match="ubuntu/warty"), stage.acting("me"):
        stage.packages.import_index(primary(stage), "warty", "i386", [FOO])


def test_an_import_may_take_longer_than_other_statements(farm: Farm, shared_database: str) -> None:
    packages = [BinaryPackage(f"p{number}", "1", "i386") for number in range(5_000)]
    with connect(shared_database, application="me", statement_seconds=0.01) as hurried:
        conn: psycopg.Connection[Any] = hurried
        with acting(conn, "me"):
            done = BinaryPackages(conn).import_index(primary(farm), "hoary", "i386", packages)
        assert done == Imported(5_000, 0, 0)
        with pytest.raises(DatabaseUnreachable), acting(conn, "me"):
            conn.execute("SELECT pg_sleep(1)")


# --- at the SQL prompt ----------------------------------------------------------------------------


@pytest.fixture
def listener(shared_database: str) -> Iterator[psycopg.Connection]:
    with connect(shared_database, application="listener") as opened:
        opened.execute("LISTEN farm")
        yield opened


def told(listener: psycopg.Connection) -> list[dict[str, object]]:
    """Return what was notified of packages."""
    listener.execute("SELECT 1")  # what was committed before is here now
    documents = [json.loads(one.payload) for one in listener.notifies(timeout=0)]
    return [one for one in documents if one["table"] == "binary_package"]


def test_a_package_inserted_by_hand_is_published_and_told(farm: Farm, listener: psycopg.Connection) -> None:
    told(listener)
    ((number,),) = farm.sql(
        "INSERT INTO binary_package (archive, distroseries, name, version, architecture)"
        " VALUES (1, 1, 'libfoo', '1.2', 'all') RETURNING id"
    )
    assert told(listener) == [{"table": "binary_package", "op": "INSERT", "ids": [number]}]
    assert offered(farm, "libfoo") == ["libfoo 1.2 all"]
    (event,) = (one for one in farm.events.story("archive:1") if one.what == "packages: insert")
    assert (event.who, event.after) == ("sql", {"count": 1, "distroseries": 1, "packages": ["libfoo 1.2 all"]})


def test_a_changed_package_is_told_and_a_removed_one_is_not(farm: Farm, listener: psycopg.Connection) -> None:
    farm.sql(
        "INSERT INTO binary_package (archive, distroseries, name, version, architecture)"
        " VALUES (1, 1, 'libfoo', '1.2', 'all')"
    )
    told(listener)
    farm.sql("UPDATE binary_package SET version = '1.3'")
    assert [one["op"] for one in told(listener)] == ["UPDATE"]
    farm.sql("DELETE FROM binary_package")
    assert told(listener) == []
    assert [one.what for one in farm.events.story("archive:1")][-2:] == ["packages: update", "packages: delete"]


def test_an_import_is_one_event_however_many_packages_it_has(farm: Farm, listener: psycopg.Connection) -> None:
    told(listener)
    import_index(farm, "i386", *(BinaryPackage(f"p{number}", "1", "i386") for number in range(150)))
    (event,) = (one for one in farm.events.story("archive:1") if one.what == "packages: insert")
    assert event.after is not None
    assert (event.after["count"], len(list(event.after["packages"]))) == (150, 20)  # type: ignore[call-overload]
    assert told(listener) == [{"table": "binary_package", "op": "INSERT", "ids": None}]


@pytest.mark.parametrize(
    "relations",
    [
        [],
        [""],
        ["foo"],
        ["libfoo-dev (>= 2) | libbar+-dev:any [amd64] <!nocheck>", "a,b , c(=1)"],
        ["| foo", "Foo bar", "-x", "foo (>= 1, 2)", "ä|b"],
    ],
)
def test_names_in_relations_are_found_as_the_twin_finds_them(farm: Farm, relations: list[str]) -> None:
    ((found,),) = farm.sql("SELECT relation_names(%s::text[])", relations)
    assert set(found) == relation_names(relations)
    assert len(found) == len(set(found))
