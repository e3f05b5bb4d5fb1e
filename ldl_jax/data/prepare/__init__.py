"""Datasets made ready once: faces cut out, pictures in files that are quick to read.

`preparation.prepare` runs the stages: `chunk` makes some pictures ready in one process, `work`
spreads the chunks over processes or Apache Beam, and `builder` joins them into a TFDS dataset.
`sheet` draws pictures before and after.
"""
