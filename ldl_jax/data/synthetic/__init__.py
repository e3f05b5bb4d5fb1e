"""Drawn faces whose true label distributions are known.

`faces.faces` gives a whole dataset of them. The persons and their looks come from `people`, the
painting from `canvas` and `shapes` and the layers in `drawing`, `skin` and `hair`, the labels from
`labels` and `attractiveness`, and what makes a set harder from `groups` and `corruptions`.
"""
