"""Checks formats of pictures before their pixels count, and turns their modes into RGB."""
