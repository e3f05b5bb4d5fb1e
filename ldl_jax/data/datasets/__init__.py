"""The readers of datasets, one file a set.

`catalogue.read` reads a set by its name; `dataset` says what a set's file states of it. The readers
share `entries` (records out of rows), `tables` (lists, CSV files), `sheets` (spreadsheets) and
`folders` (labels in names of files). `prepared` reads what `ldl_jax.data.prepare` wrote, by
`prepared_folder` and `prepared_index`.
"""
