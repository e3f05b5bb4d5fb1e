"""Models for others: their card, and files for other programs."""
