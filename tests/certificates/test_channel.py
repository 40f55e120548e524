"""TLS without I/O: two ends that hand each other their bytes, however they are cut, and every refusal in words."""

from __future__ import annotations

import os
import ssl
from datetime import timedelta
from pathlib import Path

import pytest

from certificates.channel import Channel, ChannelRefused, tls_context
from certificates.files import CertificateFiles, NoCertificate
from certificates.making import new_authority
from tests.fix_certificates import FARM, Papers, builder_of, master_of


def meet(master: ssl.SSLContext, slave: ssl.SSLContext, *, piece: int = 100_000) -> tuple[Channel, Channel]:
    """Have two ends shake hands, their bytes cut into pieces.

    Raises:
        ChannelRefused: by whoever noticed first.
    """
    ends = Channel(master, server=False), Channel(slave, server=True)
    while not all(end.open for end in ends):
        pass_on(*ends, piece=piece)
        pass_on(*reversed(ends), piece=piece)
    return ends


def pass_on(one: Channel, other: Channel, *, piece: int = 100_000) -> bytes:
    wire = one.to_send()
    return b"".join(other.receive(wire[start : start + piece]) for start in range(0, len(wire), piece))


def contexts(master: Path, slave: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    return CertificateFiles(master, server=False).context(), CertificateFiles(slave, server=True).context()


@pytest.mark.parametrize("piece", [1, 7, 1000, 100_000])
def test_both_ends_see_whom_they_speak_to_and_hear_all_that_is_said(papers: Papers, piece: int) -> None:
    master, slave = meet(papers.master().context(), papers.slave("bob").context(), piece=piece)
    assert master.shown == papers.issued["bob"].shown
    assert slave.shown == papers.issued["master"].shown
    said = os.urandom(300_000)
    master.send(said)
    assert pass_on(master, slave, piece=max(piece, 500)) == said
    slave.send(b"yes")
    assert pass_on(slave, master) == b"yes"


def test_what_is_said_with_the_last_of_the_handshake_is_heard(papers: Papers) -> None:
    master, slave = Channel(papers.master().context(), server=False), Channel(papers.slave().context(), server=True)
    while not master.open:
        pass_on(master, slave)
        pass_on(slave, master)
    master.send(b"hello")
    assert pass_on(master, slave) == b"hello"
    assert slave.open


def test_a_certificate_of_another_authority_is_refused(papers: Papers) -> None:
    other = new_authority(FARM, papers.authority.certificate.not_valid_before_utc)
    false = papers.issue("false", builder_of("bob"), signer=other)
    with pytest.raises(ChannelRefused, match="the farm's authority did not sign"):
        meet(*contexts(papers.master().directory, false))


def test_a_slaves_certificate_is_no_masters(papers: Papers) -> None:
    with pytest.raises(ChannelRefused, match="not meant for its end"):
        meet(*contexts(papers.slave("frog").directory, papers.slave("bob").directory))


def test_who_shows_no_certificate_is_refused(papers: Papers) -> None:
    stranger = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    stranger.check_hostname = False
    stranger.verify_mode = ssl.CERT_NONE
    with pytest.raises(ChannelRefused, match="shows no certificate"):
        meet(stranger, papers.slave().context())


def test_an_older_tls_is_refused(papers: Papers) -> None:
    old = papers.master().context()
    old.minimum_version = ssl.TLSVersion.TLSv1_2
    old.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ChannelRefused, match="older TLS"):
        meet(old, papers.slave().context())


@pytest.mark.parametrize("server", [True, False])
@pytest.mark.parametrize(
    "said", [b"GET / HTTP/1.0\r\n\r\n", bytes(100), b"\xff" * 1000, b"\x00\x00\x00\x20" + bytes(32)]
)
def test_who_does_not_speak_tls_is_told_so(papers: Papers, said: bytes, server: bool) -> None:
    context = papers.slave().context() if server else papers.master().context()
    with pytest.raises(ChannelRefused, match=r"speaks plain TCP|breaks TLS"):
        Channel(context, server=server).receive(said)


def test_the_end_that_is_refused_hears_why(papers: Papers) -> None:
    other = new_authority(FARM, papers.authority.certificate.not_valid_before_utc)
    papers.issue("false", master_of(), signer=other)
    papers.slave("bob")
    master = Channel(CertificateFiles(papers.place / "false", server=False).context(), server=False)
    slave = Channel(CertificateFiles(papers.place / "bob", server=True).context(), server=True)
    pass_on(master, slave)
    pass_on(slave, master)
    with pytest.raises(ChannelRefused, match="did not sign"):
        pass_on(master, slave)
    with pytest.raises(ChannelRefused, match="does not accept the certificate it is shown: unknown ca"):
        pass_on(slave, master)


def test_time_is_left_to_who_knows_the_words(papers: Papers) -> None:
    old = papers.issue("bob", builder_of("bob"), began=timedelta(days=10), life=timedelta(days=1))
    master, _ = meet(*contexts(papers.master().directory, old))
    assert master.shown.not_after == papers.issued["bob"].shown.not_after


def test_a_renewed_certificate_is_shown_by_the_next_connection(papers: Papers) -> None:
    master, slave = papers.master(), papers.slave("bob")
    before, _ = meet(master.context(), slave.context())
    assert slave.context() is slave.context()
    papers.issue("bob", builder_of("bob"))
    after, _ = meet(master.context(), slave.context())
    assert after.shown == papers.issued["bob"].shown != before.shown


def test_a_missing_or_spoilt_file_is_named(papers: Papers) -> None:
    files = papers.slave("bob")
    files.authority.write_text("nothing")
    with pytest.raises(NoCertificate, match=str(files.authority)):
        files.context()
    files.own.unlink()
    with pytest.raises(NoCertificate, match="No such file"):
        files.context()


def test_an_ends_files_are_readable_by_nobody_else(papers: Papers) -> None:
    files = papers.slave("bob")
    assert files.own.stat().st_mode & 0o777 == 0o600
    assert files.directory.stat().st_mode & 0o777 == 0o700
    assert [path.name for path in sorted(files.directory.iterdir())] == ["ca.crt", "own.pem"]


def test_both_ends_speak_tls_1_3(papers: Papers) -> None:
    context = tls_context(server=True, own=str(papers.slave().own), authority=str(papers.slave().authority))
    assert context.minimum_version is ssl.TLSVersion.TLSv1_3
    assert context.verify_mode is ssl.CERT_REQUIRED
