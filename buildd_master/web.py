"""The process that serves enrolment, as `python -m buildd_master.web`."""

from __future__ import annotations

from buildd_master import rooms


def main() -> None:
    """Serve."""
    with rooms.loading():
        from web.main import main as serve  # noqa: PLC0415 - found only now

    serve()


if __name__ == "__main__":
    main()
