"""Log records on their way to the journal: a real datagram socket stands in its place."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from logging_journald import JournaldTransport

from host.journal import Journal, _handlers
from tests.fix_journal import FakeJournal


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeJournal]:
    with FakeJournal(tmp_path / "journal") as fake:
        monkeypatch.setattr(JournaldTransport, "SOCKET_PATH", fake.path)
        yield fake


@pytest.fixture
def logger(journal: FakeJournal) -> Iterator[logging.Logger]:
    """A logger of one program, into the journal."""
    del journal
    handler = Journal("buildd-master")
    logger = logging.Logger("farm.test")  # noqa: LOG001 - of this test only
    logger.addHandler(handler)
    yield logger
    handler.close()


def test_a_record_arrives_with_its_fields(journal: FakeJournal, logger: logging.Logger) -> None:
    logger.warning("attempt %s is lost", 7, extra={"builder": "bob", "build": 12, "attempt": "a-7", "actor": ""})
    entry = journal.entry()
    assert entry["MESSAGE"] == "attempt 7 is lost"
    assert (entry["PRIORITY"], entry["SYSLOG_IDENTIFIER"], entry["LOGGER"]) == ("4", "buildd-master", "farm.test")
    assert (entry["BUILDER"], entry["BUILD"], entry["ATTEMPT"]) == ("bob", "12", "a-7")
    assert "ACTOR" not in entry  # an empty field says nothing
    assert entry["CODE_FUNC"].startswith("test_a_record")


@pytest.mark.parametrize(("level", "priority"), [(10, "7"), (20, "6"), (25, "6"), (30, "4"), (40, "3"), (50, "2")])
def test_levels_become_priorities(level: int, priority: str, journal: FakeJournal, logger: logging.Logger) -> None:
    logger.log(level, "words")
    assert journal.entry()["PRIORITY"] == priority


def test_lines_and_tracebacks_stay_one_entry_and_large_ones_arrive_too(
    journal: FakeJournal, logger: logging.Logger
) -> None:
    try:
        int("seven")
    except ValueError:
        logger.exception("it broke:\nMESSAGE=forged")
    message = journal.entry()["MESSAGE"]
    assert message.startswith("it broke:\nMESSAGE=forged\nTraceback")
    assert message.endswith("literal for int() with base 10: 'seven'")
    logger.error("x" * 1_000_000)
    assert journal.entry()["MESSAGE"] == "x" * 1_000_000


def test_what_the_journal_does_not_take_goes_to_standard_error(
    journal: FakeJournal, logger: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    journal.close()
    journal.path.unlink()
    logger.error("the disk is on fire")
    assert capsys.readouterr().err == "ERROR the disk is on fire\n"


def test_a_journal_that_starts_anew_is_found_again(
    tmp_path: Path, journal: FakeJournal, logger: logging.Logger
) -> None:
    journal.close()
    journal.path.unlink()
    with FakeJournal(tmp_path / "journal") as another:
        logger.error("still here")
        assert another.entry()["MESSAGE"] == "still here"


def test_only_a_standard_error_that_is_the_journals_makes_records_go_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "stderr").open("w") as stderr:
        monkeypatch.setattr("sys.stderr", stderr)
        status = os.fstat(stderr.fileno())
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino + 1}")
        assert [type(one) for one in _handlers("x")] == [logging.StreamHandler]
        monkeypatch.setenv("JOURNAL_STREAM", f"{status.st_dev}:{status.st_ino}")
        (handler,) = _handlers("x")
        assert type(handler) is Journal
        handler.close()
