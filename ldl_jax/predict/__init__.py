"""Answers for pictures: a trained network with the preprocessing that it was trained with."""
