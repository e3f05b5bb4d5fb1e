"""The catalogue of datasets, one file a set, and what their readers share."""
