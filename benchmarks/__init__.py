"""What the library claims about speed, measured: `python -m benchmarks.NAME`."""
