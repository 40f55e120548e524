"""A slave keeps a new certificate only if it is its own: key, builder, farm's authority, and more time than it has."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certificates.making import Authority, new_authority, new_key, new_request
from slave.errors import CannotStart
from slave.joining.credentials import Credentials
from tests.fix_certificates import FARM, Papers, builder_of, master_of

NOW = datetime.now(UTC)
YEAR, DECADE = timedelta(days=365), timedelta(days=2000)


@pytest.fixture
def own(papers: Papers) -> Path:
    """The file of an enrolled slave, in a state directory."""
    papers.issue("slave/tls", builder_of("bob"), life=YEAR)
    return papers.place / "slave" / "tls" / "own.pem"


def key_of(own: Path) -> str:
    return own.read_text().partition("-----BEGIN CERTIFICATE")[0]


def test_a_later_certificate_for_the_same_key_is_kept(papers: Papers, own: Path) -> None:
    credentials = Credentials(own.parent.parent)
    new = papers.authority.issue(builder_of("bob"), new_request(key_of(own)), NOW, DECADE)
    credentials.keep(new.pem.encode())
    assert credentials.own == new.shown
    credentials.check()


@pytest.mark.parametrize("wrong", ["key", "builder", "role", "farm", "authority", "shorter"])
def test_any_other_certificate_is_not(papers: Papers, own: Path, wrong: str, caplog: pytest.LogCaptureFixture) -> None:
    before = own.read_text()
    others = {
        "builder": builder_of("frog"),
        "role": master_of(),
        "farm": builder_of("bob", "00000000-0000-0000-0000-000000000007"),
    }
    authority: Authority = new_authority(FARM, NOW) if wrong == "authority" else papers.authority
    key = new_key() if wrong == "key" else key_of(own)
    life = timedelta(days=1) if wrong == "shorter" else DECADE
    new = authority.issue(others.get(wrong, builder_of("bob")), new_request(key), NOW, life)
    Credentials(own.parent.parent).keep(new.pem.encode())
    assert own.read_text() == before
    assert "a new certificate that the master sent" in caplog.text


@pytest.mark.parametrize("data", [b"", b"\xff\xfe", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"])
def test_what_is_no_certificate_is_not_kept(own: Path, data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    before = own.read_text()
    Credentials(own.parent.parent).keep(data)
    assert own.read_text() == before
    assert "can't be used" in caplog.text


def test_spoilt_files_are_named_before_the_slave_starts(papers: Papers, own: Path) -> None:
    credentials = Credentials(own.parent.parent)
    own.write_text(new_key() + papers.issued["slave/tls"].pem)
    with pytest.raises(CannotStart, match=r"own\.pem .* not what it should be"):
        credentials.check()
    master = papers.issue("slave/tls", master_of()) / "own.pem"
    assert master == own
    with pytest.raises(CannotStart, match=r"no builder's certificate"):
        credentials.check()
