"""Which pictures train, validate and test; what leaks between them."""
