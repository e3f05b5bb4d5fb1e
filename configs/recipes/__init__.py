"""What the runs of one paper share."""
