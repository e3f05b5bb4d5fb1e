"""Configs of runs, one a file: `get_config()` returns it."""
