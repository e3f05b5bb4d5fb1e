"""Configs of sweeps, one table a file: many runs of one config, compared side by side."""
