"""Evaluation: predictions, their file, tables and figures."""
