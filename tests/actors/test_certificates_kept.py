"""The farm's own process looks after certificates: it tells people of what ends, and outlives whatever is wrong there."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg
import pytest

from actors.settings import Settings
from actors.wiring import Farm
from certificates.making import new_key, new_request
from storage.access.authority import FarmAuthority
from storage.builders import Builders
from storage.database.connection import acting


@pytest.fixture
def farm(farm_database: str, tmp_path: Path) -> Farm:
    """A farm that was never started, with what it would know by then."""
    farm = Farm(Settings(state_directory=tmp_path, database=farm_database))
    farm._dsn = farm_database
    return farm


def test_what_expires_soon_is_warned_of_in_the_log(
    farm: Farm, connection: psycopg.Connection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with acting(connection, "test"):
        Builders(connection).add("bob", "buildd://192.0.2.7:8221", ["amd64"])
        authority = FarmAuthority(connection, tmp_path, datetime.now(UTC))
        authority.open()
        authority.issue("bob", new_request(new_key()), timedelta(days=20.5))
    farm._keep_certificates()
    assert "the certificate of builder bob expires in 20 days" in caplog.text
    caplog.clear()
    farm._keep_certificates()
    assert caplog.text == "", "once an hour is enough"


def test_an_authority_that_can_not_be_used_is_told_and_the_farm_goes_on(
    farm: Farm, connection: psycopg.Connection, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with acting(connection, "test"):
        FarmAuthority(connection, tmp_path, datetime.now(UTC) - timedelta(days=400)).open()
    (tmp_path / "ca" / "ca.pem").write_text("spoilt")
    farm._keep_certificates()
    assert "the certificates can't be looked after: the farm's authority in" in caplog.text


def test_a_farm_on_one_machine_looks_at_nothing(farm: Farm, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    farm._dsn = "host=nowhere.invalid"
    farm._keep_certificates()
    assert caplog.text == ""
