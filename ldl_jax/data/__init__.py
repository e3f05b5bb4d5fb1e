"""Datasets, their splits, and the way of pictures to the device."""
