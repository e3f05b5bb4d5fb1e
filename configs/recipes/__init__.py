"""Recipes: the settings that the runs of one paper share."""
