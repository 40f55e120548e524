"""Benchmarks: measured, printed, never asserted.  `python -m bench dispatch --builders 20 --jobs 500 --json`."""
