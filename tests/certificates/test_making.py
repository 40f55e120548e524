"""Certificates are made as asked, for whoever has the key, and never for what is no request."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from certificates.making import (
    BadRequest,
    fingerprint,
    fits,
    new_authority,
    new_key,
    new_request,
    read_authority,
    read_shown,
    signed_by,
)
from certificates.token import BadToken, Token, new_token, read_token
from tests.fix_certificates import FARM, builder_of, master_of

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
AUTHORITY = new_authority(FARM, NOW)
OTHER = new_authority(FARM, NOW)


def test_a_certificate_is_for_the_key_that_asked_and_the_name_that_was_given() -> None:
    key = new_key()
    issued = AUTHORITY.issue(builder_of("bob"), new_request(key), NOW)
    assert read_shown(issued.pem) == issued.shown
    assert issued.shown.identity == builder_of("bob")
    assert issued.shown.not_before < NOW
    assert issued.shown.not_after == NOW + timedelta(days=365)
    assert fits(key, issued.pem)
    assert not fits(new_key(), issued.pem)
    assert signed_by(issued.pem, AUTHORITY.pem)
    assert not signed_by(issued.pem, OTHER.pem)


def test_a_renewed_certificate_is_for_the_same_key_and_holder_and_longer() -> None:
    key = new_key()
    old = AUTHORITY.issue(builder_of("bob"), new_request(key), NOW, timedelta(days=1))
    new = AUTHORITY.renew(old.pem, NOW, timedelta(days=9))
    assert fits(key, new.pem)
    assert new.shown.identity == builder_of("bob")
    assert new.shown.not_after == NOW + timedelta(days=9)
    assert new.shown.serial != old.shown.serial


def test_no_certificate_outlives_its_authority() -> None:
    issued = AUTHORITY.issue(master_of(), new_request(new_key()), NOW, timedelta(days=100_000))
    assert issued.shown.not_after == AUTHORITY.certificate.not_valid_after_utc


def test_an_authority_comes_back_from_its_file_and_no_other_key_does() -> None:
    assert read_authority(AUTHORITY.secret_pem).pem == AUTHORITY.pem
    for wrong in ("", AUTHORITY.pem, new_key(), new_key() + AUTHORITY.pem):
        with pytest.raises(BadRequest):
            read_authority(wrong)


def _request(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    asked = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    return asked.public_bytes(serialization.Encoding.PEM).decode()


@pytest.mark.parametrize(
    ("request_text", "words"),
    [
        ("", "no CSR"),
        ("x" * 10_000, "longer than"),
        (AUTHORITY.pem, "no CSR"),
        (_request(rsa.generate_private_key(65537, 2048)), "P-256"),
        (_request(ec.generate_private_key(ec.SECP384R1())), "P-256"),
    ],
)
def test_what_is_no_request_for_such_a_key_gets_no_certificate(request_text: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        AUTHORITY.issue(builder_of("bob"), request_text, NOW)


REQUEST = new_request(new_key())


@given(st.integers(30, len(REQUEST) - 30), st.sampled_from("Aa0+/=\n- "))
def test_a_spoilt_request_is_refused_or_is_still_signed_with_its_key(place: int, letter: str) -> None:
    spoilt = REQUEST[:place] + letter + REQUEST[place + 1 :]
    try:
        issued = AUTHORITY.issue(builder_of("bob"), spoilt, NOW)
    except BadRequest:
        return
    assert issued.shown.identity == builder_of("bob")


@given(st.binary(min_size=16, max_size=16), st.binary(min_size=32, max_size=32))
def test_every_token_comes_back_from_its_text(secret: bytes, authority: bytes) -> None:
    token = Token(secret, authority)
    assert read_token(f" {token}\n") == token


@given(st.text() | st.text("buildABC-_09").map("buildd-".__add__))
def test_what_is_no_token_is_refused(text: str) -> None:
    with pytest.raises(BadToken):
        read_token(text[:70])


def test_tokens_differ_and_show_no_secret() -> None:
    pin = fingerprint(AUTHORITY.pem)
    assert new_token(pin).secret != new_token(pin).secret
    assert "secret" not in repr(new_token(pin))
