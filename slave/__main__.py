"""`python -m slave`: the command `buildd-slave`, in a checkout."""

from __future__ import annotations

from slave.main import main

main()
