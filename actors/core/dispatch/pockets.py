"""Which pockets of a series are open to uploads (dispatch-rules §1, `pocket_closed`): one table, by the series' status.

Before its release a series takes what will be released; while it is being frozen it takes everything; afterwards what
was released stays as it is, and corrections go to the other pockets.  PPAs don't care.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from storage.records import Pocket, SeriesStatus

_ALL: Final = frozenset(Pocket)
_BEFORE_RELEASE: Final = frozenset({Pocket.RELEASE, Pocket.PROPOSED, Pocket.BACKPORTS})

OPEN: Final[Mapping[SeriesStatus, frozenset[Pocket]]] = {
    SeriesStatus.EXPERIMENTAL: _BEFORE_RELEASE,
    SeriesStatus.DEVELOPMENT: _BEFORE_RELEASE,
    SeriesStatus.FROZEN: _ALL,
    SeriesStatus.CURRENT: _ALL - {Pocket.RELEASE},
    SeriesStatus.SUPPORTED: _ALL - {Pocket.RELEASE},
    SeriesStatus.OBSOLETE: frozenset(),
}


def is_open(status: SeriesStatus, pocket: Pocket) -> bool:
    """Return whether a series of this status takes uploads to `pocket`, in archives that are not PPAs."""
    return pocket in OPEN[status]
