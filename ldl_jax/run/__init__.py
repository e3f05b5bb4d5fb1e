"""Runs: the only rooms that see a config, and what the commands share."""
