"""One file a table: many runs of one config, trained and put side by side."""
