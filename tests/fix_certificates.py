"""A farm's authority, and certificates of every kind, good and bad, as files of one end."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from certificates.files import CertificateFiles, write_file
from certificates.identity import CertificateRole, Identity
from certificates.making import Authority, Issued, new_authority, new_key, new_request

FARM = "0b6f3d4c-6c9e-4a3e-9d1b-8f6f0a1d2c3e"


def master_of(farm: str = FARM) -> Identity:
    return Identity(farm, CertificateRole.MASTER)


def builder_of(name: str, farm: str = FARM) -> Identity:
    return Identity(farm, CertificateRole.BUILDER, name)


@dataclass
class Papers:
    """An authority that issues into directories below `place`."""

    place: Path
    authority: Authority = field(default_factory=lambda: new_authority(FARM, datetime.now(UTC) - timedelta(days=900)))
    issued: dict[str, Issued] = field(default_factory=dict)  #: by directory

    def issue(
        self,
        directory: str,
        identity: Identity,
        *,
        began: timedelta = timedelta(0),
        life: timedelta = timedelta(days=365),
        signer: Authority | None = None,
    ) -> Path:
        """Make key and certificate in a directory, with our own authority's certificate beside them.

        Args:
            directory: below `place`; what is there is replaced.
            identity: whom the certificate speaks for.
            began: how long ago it became valid.
            life: how long it is valid.
            signer: another authority than ours.
        """
        where = self.place / directory
        key = new_key()
        made = (signer or self.authority).issue(identity, new_request(key), datetime.now(UTC) - began, life)
        write_file(where / "own.pem", key + made.pem)
        write_file(where / "ca.crt", self.authority.pem)
        self.issued[directory] = made
        return where

    def slave(self, name: str = "bob") -> CertificateFiles:
        """Issue a slave's certificate into a directory of its builder's name."""
        return CertificateFiles(self.issue(name, builder_of(name)), server=True)

    def master(self) -> CertificateFiles:
        """Issue the master's certificate."""
        return CertificateFiles(self.issue("master", master_of()), server=False)


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    """A farm's authority."""
    return Papers(tmp_path / "papers")
