"""The text inside an OpenPGP cleartext signature (RFC 4880 §7), and the refusal of every block that is broken.

Checks the *shape* of the block: nothing outside it, its armor whole, its checksum right.  Who signed is not asked here:
a source that came through apt was verified by apt, and a file of one's own is trusted by the one who submits it.
"""

from __future__ import annotations

import base64
import binascii

_BEGIN_MESSAGE = "-----BEGIN PGP SIGNED MESSAGE-----"
_BEGIN_SIGNATURE = "-----BEGIN PGP SIGNATURE-----"
_END_SIGNATURE = "-----END PGP SIGNATURE-----"

_CRC_START, _CRC_POLYNOMIAL = 0xB704CE, 0x1864CFB  #: RFC 4880 §6.1


class BrokenSignature(Exception):
    """The signature block is not whole; the text says what is wrong with it, and where."""


def signed_text(text: str) -> str:
    """Return what a cleartext signature signs; `text` itself if it has none.

    Raises:
        BrokenSignature: there is a block, and it is not one that OpenPGP programs write.
    """
    if "-----BEGIN PGP" not in text and "-----END PGP" not in text:
        return text
    lines = [line.rstrip() for line in text.split("\n")]
    first = next((number for number, line in enumerate(lines) if line), 0)
    if lines[first] != _BEGIN_MESSAGE:
        raise BrokenSignature(
            f"line {first + 1} should be {_BEGIN_MESSAGE!r}: text outside the signature is not signed"
        )
    if _BEGIN_SIGNATURE not in lines:
        raise BrokenSignature("the signature block has no BEGIN PGP SIGNATURE: the file was cut short")
    if _END_SIGNATURE not in lines:
        raise BrokenSignature("the signature block has no END PGP SIGNATURE: the file was cut short")
    begin, end = lines.index(_BEGIN_SIGNATURE), lines.index(_END_SIGNATURE)
    if any(lines[end + 1 :]):
        raise BrokenSignature(f"text after line {end + 1}, the end of the signature, is not signed")
    body = _after_headers(lines, first + 1, begin, "Hash", "the signed message")
    _check_armor(lines[_after_headers(lines, begin + 1, end, "", "the signature") : end])
    return "\n".join(_unescaped(lines, body, begin)) + "\n"


def _after_headers(lines: list[str], start: int, end: int, only: str, of: str) -> int:
    """Return the index after the empty line that ends the armor's headers."""
    for number in range(start, end):
        line = lines[number]
        if not line:
            return number + 1
        name, colon, _ = line.partition(": ")
        if not colon or (only and name != only):
            raise BrokenSignature(f"line {number + 1} is no header of {of}")
    raise BrokenSignature(f"{of} has no empty line after its headers")


def _unescaped(lines: list[str], start: int, end: int) -> list[str]:
    """Undo the escaping of lines that begin with a dash (§7.1)."""
    inside = []
    for number in range(start, end):
        line = lines[number]
        if line.startswith("- "):
            line = line[2:]
        elif line.startswith("-"):
            raise BrokenSignature(f"line {number + 1} begins with a dash that is not escaped")
        inside.append(line)
    return inside


def _check_armor(lines: list[str]) -> None:
    filled = [line for line in lines if line]
    checksum = filled.pop()[1:] if filled and filled[-1].startswith("=") else None
    try:
        packet = base64.b64decode("".join(filled), validate=True)
        stated = None if checksum is None else base64.b64decode(checksum, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BrokenSignature(f"the signature is no base64: {error}") from error
    if not packet:
        raise BrokenSignature("the signature is empty")
    if stated is not None and stated != _crc24(packet).to_bytes(3, "big"):
        raise BrokenSignature("the signature's checksum is wrong: the file was damaged")


def _crc24(octets: bytes) -> int:
    crc = _CRC_START
    for octet in octets:
        crc ^= octet << 16
        for _ in range(8):
            crc <<= 1
            if crc & 0x1000000:
                crc ^= _CRC_POLYNOMIAL
    return crc & 0xFFFFFF
