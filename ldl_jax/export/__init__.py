"""What a trained model leaves the house as: files for other programs, and a card that explains."""
