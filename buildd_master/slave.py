"""The command `buildd-slave`, also as `python -m buildd_master.slave`."""

from __future__ import annotations

from buildd_master import rooms


def main() -> None:
    """Run the slave daemon."""
    with rooms.loading():
        from slave.main import main as daemon  # noqa: PLC0415 - found only now

    daemon()


if __name__ == "__main__":
    main()
