"""Connections, transactions, the master's lock, and what is said when the database is away."""

from __future__ import annotations

import uuid
from contextlib import nullcontext
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from storage.builders import Builders
from storage.database.connection import MasterLock, acting, connect, farm_id
from storage.database.repository import in_words
from storage.errors import AnotherMaster, BadValue, DatabaseRefuses, DatabaseUnreachable, SchemaOutdated
from storage.events.log import Events
from tests.fix_storage import Farm


def end_session_of(dsn: str, application: str) -> None:
    """Break the connections of `application`, as a restart of the server would."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name = %s",
            [application],
        )


def test_nobody_there_is_said_with_the_address_and_without_the_password() -> None:
    with pytest.raises(DatabaseUnreachable) as refused:
        connect("host=127.0.0.1 port=1 dbname=farm user=me password=secret", application="test")
    assert "name farm, at 127.0.0.1, port 1, as me" in str(refused.value)
    assert "refused" in str(refused.value).lower()
    assert "secret" not in str(refused.value)


def test_a_database_that_is_not_there_is_said_so(postgres_dsn: str) -> None:
    with pytest.raises(DatabaseUnreachable, match='"nowhere" does not exist'):
        connect(make_conninfo(postgres_dsn, dbname="nowhere"), application="test")


def test_a_dsn_that_is_none_is_refused() -> None:
    with pytest.raises(BadValue, match="DSN can't be read"):
        connect("this is not a dsn", application="test")


def test_a_database_without_our_tables_wants_to_be_migrated(empty_database: str) -> None:
    with connect(empty_database, application="test") as conn, pytest.raises(SchemaOutdated, match="db migrate"):
        Builders(conn).all()


def test_a_connection_that_broke_is_unreachable_and_nothing_was_done(farm: Farm, shared_database: str) -> None:
    conn = connect(shared_database, application="breaks")
    with pytest.raises(DatabaseUnreachable, match="does not answer"), acting(conn, "test"):  # noqa: PT012 - undone
        Builders(conn).add("bob", "buildd://127.0.0.1:1", ("x86",))
        end_session_of(shared_database, "breaks")
        Builders(conn).all()
    with pytest.raises(DatabaseUnreachable):
        Builders(conn).all()
    with pytest.raises(DatabaseUnreachable), acting(conn, "test"):
        pass
    assert farm.builders.all() == ()


def test_a_connection_that_broke_before_the_commit_is_unreachable(farm: Farm, shared_database: str) -> None:
    conn = connect(shared_database, application="breaks")
    with pytest.raises(DatabaseUnreachable), acting(conn, "test"):  # noqa: PT012 - the commit is what fails
        Builders(conn).add("bob", "buildd://127.0.0.1:1", ("x86",))
        end_session_of(shared_database, "breaks")
    assert farm.builders.all() == ()


def test_a_statement_does_not_wait_longer_than_it_may(shared_database: str) -> None:
    with (
        connect(shared_database, application="slow", statement_seconds=0.05) as conn,
        pytest.raises(DatabaseUnreachable, match=r"can't do that now: .*statement timeout"),
        in_words(),
    ):
        conn.execute("SELECT pg_sleep(60)")


def test_a_number_that_no_database_can_hold_is_a_bad_value(farm: Farm) -> None:
    with pytest.raises(BadValue, match="beyond what the database can hold"):
        farm.builds.list(limit=2**64)


def test_what_the_databases_own_user_may_not_do_is_said_so(farm: Farm) -> None:
    farm.builder("bob")
    with pytest.raises(DatabaseRefuses, match="permission denied for table builder"), farm.acting("test"):  # noqa: PT012
        farm.conn.execute("CREATE ROLE looks_only")  # undone with the rest
        farm.conn.execute("GRANT SELECT ON ALL TABLES IN SCHEMA public TO looks_only")
        farm.conn.execute("SET LOCAL ROLE looks_only")
        assert farm.builders.get("bob").builderok
        farm.builders.set_ok("bob", ok=False)
    assert farm.builders.get("bob").builderok


def test_a_connection_that_only_reads_writes_where_it_is_let(farm: Farm, shared_database: str) -> None:
    farm.builder("bob")
    with connect(shared_database, application="test", read_only=True) as connection:
        builders = Builders(connection)
        for conn in (nullcontext(), acting(connection, "test")):
            with pytest.raises(psycopg.errors.ReadOnlySqlTransaction), conn:
                builders.set_ok("bob", ok=False)
        connection.read_only = False
        with acting(connection, "test"):
            builders.set_ok("bob", ok=False)
    assert not farm.builders.get("bob").builderok


def test_times_come_in_utc(farm: Farm) -> None:
    assert farm.build().created.utcoffset() == timedelta(0)


def test_a_transaction_says_who_and_the_next_one_does_not(farm: Farm, shared_database: str) -> None:
    farm.builder("bob")
    with connect(shared_database, application="queue") as conn:
        for who, why in (("anna", "because"), ("queue", "for a reason"), ("queue", ""), ("anna b", "ünïcödé 'quoted'")):
            with acting(conn, who, why):
                builders = Builders(conn)
                builders.change("bob", manual=not builders.get("bob").manual)
            last = Events(conn).list("builder:bob")[-1]
            assert (last.who, last.why) == (who, why)


def test_an_application_may_have_blanks_and_backslashes_in_its_name(shared_database: str, farm: Farm) -> None:
    with connect(shared_database, application="a\\b c") as conn:
        Builders(conn).add("bob", "buildd://127.0.0.1:1", ("x86",))
    assert farm.events.story("builder:bob")[-1].who == "a\\b c"


def test_options_of_the_dsn_are_kept(shared_database: str) -> None:
    with connect(make_conninfo(shared_database, options="-c work_mem=5MB"), application="test") as conn:
        assert conn.execute("SHOW work_mem").fetchone() == ("5MB",)
        assert conn.execute("SHOW timezone").fetchone() == ("UTC",)


def test_a_farm_keeps_its_id(connection: psycopg.Connection[Any]) -> None:
    assert farm_id(connection) == farm_id(connection) == str(uuid.UUID(farm_id(connection)))


def test_one_database_has_one_master(shared_database: str) -> None:
    with MasterLock(shared_database) as lock:
        assert lock.held()
        with pytest.raises(AnotherMaster, match=r"another master .*since 20.*from this machine"):
            MasterLock(shared_database).acquire()
        assert lock.held()
    assert not lock.held()
    with MasterLock(shared_database) as lock:
        assert lock.held()


def test_another_database_has_a_master_of_its_own(shared_database: str, empty_database: str) -> None:
    with MasterLock(shared_database), MasterLock(empty_database) as other:
        assert other.held()


def test_a_lock_whose_connection_broke_is_not_held(shared_database: str) -> None:
    lock = MasterLock(shared_database)
    lock.acquire()
    end_session_of(shared_database, "buildd-master lock")
    assert not lock.held()
    with MasterLock(shared_database) as other:
        assert other.held()
    lock.release()
    lock.release()
