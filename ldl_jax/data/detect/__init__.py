"""Detectors: an RGB picture becomes its faces.

`choice.load` takes a detector by its name, its weights' file or its factory; `mtcnn` is ours.
"""
