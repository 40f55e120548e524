"""Chance that is the same every time: streams of numbers by seed and name.

Everything that is drawn has a stream of its own, so that leaving one job or fault out of a plan changes no other.
"""

from __future__ import annotations

import hashlib
import random


def stream(seed: int, *names: object) -> random.Random:
    """Return the numbers that belong to `names`."""
    return random.Random("/".join(map(str, (seed, *names))))  # noqa: S311 - to be the same every time


def share(*names: object) -> float:
    """Return one number from 0 up to 1 that belongs to `names`; quicker than a stream."""
    digest = hashlib.blake2b("/".join(map(str, names)).encode(), digest_size=7).digest()
    return int.from_bytes(digest, "big") / (1 << 56)
