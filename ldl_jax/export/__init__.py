"""What leaves the house: a model card, and files for other programs."""
