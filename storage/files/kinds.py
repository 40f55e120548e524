"""Of what type a file is, by its name."""

from __future__ import annotations

from typing import Final

_MIMETYPES: Final = {
    ".deb": "application/vnd.debian.binary-package",
    ".udeb": "application/vnd.debian.binary-package",
    ".ddeb": "application/vnd.debian.binary-package",
    ".dsc": "text/x-debian-control",
    ".changes": "text/x-debian-control",
    ".buildinfo": "text/x-debian-control",
    ".log": "text/plain; charset=utf-8",
    ".zst": "application/zstd",
    ".gz": "application/gzip",
    ".xz": "application/x-xz",
    ".bz2": "application/x-bzip2",
    ".tar": "application/x-tar",
}


def mimetype_of(filename: str) -> str:
    """Return the type of a file by its name; what nobody knows is a stream of octets."""
    dot = filename.rfind(".")
    return _MIMETYPES.get(filename[dot:] if dot >= 0 else "", "application/octet-stream")
