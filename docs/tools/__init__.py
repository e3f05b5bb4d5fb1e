"""The programs that make the documentation's site (`make docs`)."""
