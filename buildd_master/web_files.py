"""The process that hands out files to slaves, as `python -m buildd_master.web_files`."""

from __future__ import annotations

from buildd_master import rooms


def main() -> None:
    """Serve."""
    with rooms.loading():
        from web.files import main as serve  # noqa: PLC0415 - found only now

    serve()


if __name__ == "__main__":
    main()
