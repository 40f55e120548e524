"""The process that tells people what happens, as `python -m buildd_master.webhook`."""

from __future__ import annotations

from buildd_master import rooms


def main() -> None:
    """Tell."""
    with rooms.loading():
        from web.webhook import main as tell  # noqa: PLC0415 - found only now

    tell()


if __name__ == "__main__":
    main()
