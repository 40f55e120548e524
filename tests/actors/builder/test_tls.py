"""A builder's actor and the slave daemon over TLS, on loopback: who may speak for a builder, and what is said of others."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from actors.core.builder.session import SessionState
from actors.messages import BuilderTroubled, Ready
from certificates.making import Issued, new_authority, read_shown
from protocol.messages import Hello
from slave.session import Timing
from storage.records import KnownCertificate, NotOkKind
from tests.fix_builder import bob
from tests.fix_builder_shell import BuilderStage, StagedBuilder
from tests.fix_certificates import FARM, Papers, builder_of, master_of
from tests.fix_daemon import TOKEN, DaemonThread
from tests.fix_slaves import MasterClient
from tests.waiting import wait_until


@pytest.fixture
def slave_directory(tmp_path: Path) -> Path:
    return tmp_path / "slave"


@pytest.fixture
def daemons() -> Iterator[list[DaemonThread]]:
    """Started by `start`; stopped at the end."""
    started: list[DaemonThread] = []
    yield started
    for daemon in started:
        daemon.stop()


class Together:
    """A master's end and a slave's, and who issued what to whom."""

    def __init__(self, stage: BuilderStage, papers: Papers, slave: Path, daemons: list[DaemonThread]) -> None:
        self.stage, self.papers, self.slave, self.daemons = stage, papers, slave, daemons
        papers.issue("master", master_of())
        shutil.copytree(papers.place / "master", stage.settings.certificates_directory)

    def equip(self, directory: str) -> None:
        """Let the slave show what was issued into this directory."""
        shutil.rmtree(self.slave / "tls", ignore_errors=True)
        shutil.copytree(self.papers.place / directory, self.slave / "tls")

    def start(self) -> int:
        """Start the daemon and return its port."""
        self.daemons.append(DaemonThread(self.slave, Timing(greeting=600)))
        return self.daemons[-1].port

    def builder(self, *known: KnownCertificate, port: int) -> StagedBuilder:
        return self.stage.builder(f"buildd://127.0.0.1:{port}", architectures=("amd64",), certificates=known)


@pytest.fixture
def together(
    builder_stage: BuilderStage, papers: Papers, slave_directory: Path, daemons: list[DaemonThread]
) -> Together:
    slave_directory.mkdir()
    return Together(builder_stage, papers, slave_directory, daemons)


def known(issued: Issued, *, revoked: str | None = None, pem: bool = False) -> KnownCertificate:
    return KnownCertificate(issued.shown.serial, revoked, issued.pem if pem else "")


def notes(builder: StagedBuilder) -> str:
    """Return the fail notes."""
    trouble = builder.wait_told(BuilderTroubled)
    assert trouble.kind is NotOkKind.MISFIT, trouble
    return trouble.failnotes


def test_an_enrolled_slave_serves_its_builder_without_a_token(together: Together) -> None:
    together.papers.slave("bob")
    together.equip("bob")
    together.stage.settings.token_file.unlink()
    builder = together.builder(known(together.papers.issued["bob"]), port=together.start())
    builder.wait_told(Ready)
    assert dict(builder.described())["session"].startswith("open")


def test_another_builders_certificate_is_refused(together: Together) -> None:
    together.papers.slave("frog")
    together.equip("frog")
    together.papers.slave("bob")
    builder = together.builder(known(together.papers.issued["bob"]), port=together.start())
    assert "shows the certificate of builder 'frog', not of 'bob' (serial" in notes(builder)


def test_an_expired_certificate_is_refused(together: Together) -> None:
    together.papers.issue("bob", builder_of("bob"), began=timedelta(days=9), life=timedelta(days=8))
    together.equip("bob")
    builder = together.builder(known(together.papers.issued["bob"]), port=together.start())
    ended = together.papers.issued["bob"].shown.not_after
    assert f"shows a certificate that expired on {ended:%Y-%m-%d %H:%M:%S} UTC (serial" in notes(builder)


def test_a_revoked_certificate_is_refused(together: Together) -> None:
    together.papers.slave("bob")
    together.equip("bob")
    revoked = known(together.papers.issued["bob"], revoked="2026-02-01 10:00:00 UTC")
    builder = together.builder(revoked, port=together.start())
    assert "shows a certificate that was revoked on 2026-02-01 10:00:00 UTC (serial" in notes(builder)


def test_a_certificate_that_the_farm_has_no_record_of_is_refused(together: Together) -> None:
    together.papers.slave("bob")
    together.equip("bob")
    builder = together.builder(KnownCertificate("abc", None, ""), port=together.start())
    assert "that this farm has no record of" in notes(builder)


def test_a_certificate_that_somebody_else_signed_is_refused_by_both(together: Together) -> None:
    other = new_authority(FARM, datetime.now(UTC) - timedelta(days=1))
    together.papers.issue("bob", builder_of("bob"), signer=other)
    together.equip("bob")
    builder = together.builder(known(together.papers.issued["bob"]), port=together.start())
    assert "shows a certificate that the farm's authority did not sign" in notes(builder)


def test_a_slave_that_speaks_plain_tcp_is_refused_where_there_is_a_certificate(
    together: Together, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "buildd-slave")
    together.papers.slave("bob")
    port = together.start()  # not equipped
    builder = together.builder(known(together.papers.issued["bob"]), port=port)
    assert "closed the connection where TLS should begin" in notes(builder)
    assert "the peer speaks TLS, and this slave is not enrolled" in caplog.text


def test_a_master_that_speaks_plain_tcp_is_refused_by_an_enrolled_slave(
    together: Together, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "buildd-slave")
    together.papers.slave("bob")
    together.equip("bob")
    stranger = MasterClient(together.start())
    with suppress(ConnectionError):
        stranger.say(Hello((1,), FARM, 7, TOKEN))
        while stranger.socket.recv(100):
            pass
    stranger.socket.close()
    wait_until(lambda: "the peer speaks plain TCP where TLS is needed" in caplog.text, caplog.text)


@pytest.mark.parametrize(
    ("false", "words"),
    [
        ({"identity": master_of("00000000-0000-0000-0000-000000000007")}, "a certificate of another farm"),
        ({"identity": master_of(), "began": timedelta(days=9), "life": timedelta(days=8)}, "expired on"),
    ],
)
def test_a_master_of_another_farm_or_of_yesterday_is_refused_by_the_slave_in_words(
    together: Together, caplog: pytest.LogCaptureFixture, false: dict[str, object], words: str
) -> None:
    caplog.set_level(logging.INFO, "buildd-slave")
    together.papers.slave("bob")
    together.equip("bob")
    own = together.stage.settings.certificates_directory / "own.pem"
    shutil.copy(together.papers.issue("false", **false) / "own.pem", own)  # type: ignore[arg-type]
    builder = together.builder(known(together.papers.issued["bob"]), port=together.start())
    said = notes(builder)
    assert "does not accept this master's certificate: wrong_certificate (this master shows" in said
    assert words in said
    wait_until(lambda: words in caplog.text, caplog.text)


def test_a_slave_can_not_pose_as_a_master(together: Together, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "buildd-slave")
    together.papers.slave("bob")
    together.equip("bob")
    own = together.stage.settings.certificates_directory / "own.pem"
    shutil.copy(together.papers.slave("frog").own, own)
    builder = together.builder(known(together.papers.issued["bob"]), port=together.start())
    assert "does not accept the certificate it is shown" in notes(builder)
    wait_until(lambda: "the peer shows a certificate that is not meant for its end" in caplog.text, caplog.text)


def test_a_master_without_a_certificate_says_so(together: Together) -> None:
    shutil.rmtree(together.stage.settings.certificates_directory)
    together.stage.use(first_retry=0.01, second_retry=0.02)
    together.papers.slave("bob")
    together.equip("bob")
    builder = together.builder(known(together.papers.issued["bob"]), port=together.start())
    assert "this master can't show a certificate" in builder.wait_told(BuilderTroubled).failnotes


def test_what_a_revoked_slave_holds_is_cut_off(together: Together) -> None:
    together.papers.slave("bob")
    together.equip("bob")
    one = known(together.papers.issued["bob"])
    builder = together.builder(one, port=together.start())
    builder.wait_told(Ready)
    row = bob(url=builder._core.row.url, architectures=("amd64",), certificates=(replace(one, revoked="now"),))
    builder.change(row)
    assert "was revoked on now" in notes(builder)
    assert builder._core.session.state is not SessionState.OPEN


def test_a_renewed_certificate_goes_over_the_session_and_is_shown_in_the_next(together: Together) -> None:
    together.papers.issue("bob", builder_of("bob"), life=timedelta(days=20))
    together.equip("bob")
    first = together.papers.issued["bob"]
    builder = together.builder(known(first), port=together.start())
    builder.wait_told(Ready)
    renewed = together.papers.authority.renew(first.pem, datetime.now(UTC))
    row = bob(
        url=builder._core.row.url, architectures=("amd64",), certificates=(known(first), known(renewed, pem=True))
    )
    builder.change(row)
    own = together.slave / "tls" / "own.pem"
    builder.wait_until(lambda: renewed.pem in own.read_text())
    assert read_shown(own.read_text()) == renewed.shown
    builder._link.close()
    again = together.builder(known(renewed, pem=True), port=together.daemons[-1].port)
    again.wait_told(Ready)
    assert again._core.session.shown == renewed.shown


def test_a_slave_keeps_its_certificate_when_it_is_sent_a_wrong_one(together: Together) -> None:
    together.papers.slave("bob")
    together.equip("bob")
    first = together.papers.issued["bob"]
    stranger = together.papers.slave("frog")
    builder = together.builder(known(first), known(together.papers.issued["frog"], pem=True), port=together.start())
    builder.wait_told(Ready)
    assert stranger.own.read_text() not in (together.slave / "tls" / "own.pem").read_text()
    assert read_shown((together.slave / "tls" / "own.pem").read_text()) == first.shown
