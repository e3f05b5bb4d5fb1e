"""Benchmarks of what the library claims about speed: `python -m benchmarks.NAME`."""
