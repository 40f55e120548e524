"""The named queries of `storage/sql/*.sql`: one file per aggregate, SQL as text.

A query begins with a line `-- name --`; comment lines after it say what it is for and are sent along, so that they
show in the server's log.  Parameters are psycopg's: `%(name)s`; a percent sign in SQL or comment is written twice.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

FOLDER = Path(__file__).parent.parent / "sql"

_HEADING = re.compile(r"^-- ([a-z_]+) --$", re.MULTILINE)


@cache
def load(aggregate: str) -> Mapping[str, bytes]:
    """Return the queries of `sql/AGGREGATE.sql` by name.

    Raises:
        ValueError: two queries of one name, or text before the first heading: a mistake in our own files.
    """
    return parse((FOLDER / f"{aggregate}.sql").read_text("utf-8"), aggregate)


def parse(text: str, where: str) -> Mapping[str, bytes]:
    """Split `text` at its headings; see `load`."""
    opening, *parts = _HEADING.split(text)
    if any(line and not line.startswith("--") for line in opening.splitlines()):
        raise ValueError(f"{where}.sql: SQL before the first heading")
    names, bodies = parts[::2], parts[1::2]
    if len(set(names)) != len(names):
        raise ValueError(f"{where}.sql: two queries of one name")
    return {name: body.strip().encode() for name, body in zip(names, bodies, strict=True)}
