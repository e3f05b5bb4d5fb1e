"""One file a run: `get_config()` gives it."""
