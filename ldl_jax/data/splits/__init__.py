"""Splits of a dataset into training, validation and test pictures, and the audit of a split.

`protocols` splits (with `draw`, `people` and `cross`, for two datasets), `split_file` keeps a
split; `audit` finds what the parts share, by `hashes` of the pictures, which `hashes_file` keeps.
"""
