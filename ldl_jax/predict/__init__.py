"""Answers for pictures with a trained network and the preprocessing that it was trained with."""
