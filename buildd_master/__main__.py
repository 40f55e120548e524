"""The command `buildd-master`, also as `python -m buildd_master`."""

from __future__ import annotations

from buildd_master import rooms


def main() -> None:
    """Run the command line."""
    with rooms.loading():
        from cli.main import main as command_line  # noqa: PLC0415 - found only now

    command_line()


if __name__ == "__main__":
    main()
