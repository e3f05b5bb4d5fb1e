"""The features of a frozen network: computed once for each picture, kept, and learnt from.

`cache` keeps them in a folder, `compute` gives those that are not there yet, and `feed` puts them
in the place of pictures.
"""
