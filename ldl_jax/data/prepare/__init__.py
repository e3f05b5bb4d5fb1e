"""Datasets made ready once: faces cut out, pictures in files that are quick to read."""
