"""Benchmarks for `python -m launch.benchmark`: many methods on one dataset, with many seeds."""
