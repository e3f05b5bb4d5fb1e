"""Augmentation inside the jitted step.

`augmentation.augment` makes random network inputs out of a batch, by `resize`, `warp`, `colour` and
`gridmask`; `recipes` has the papers' settings.
"""
