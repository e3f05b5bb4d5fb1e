"""Datasets, their splits, and the way of pictures to the device.

Here are `records` (a dataset's rows, of which no picture is open yet), `pictures` (decoding),
`packed` and `lazy` (pictures in archives, and those made on demand) and `align` (faces cut out of
pictures). `datasets` reads each set into records, `splits` parts them, `feed` makes batches,
`augment` changes those inside the jitted step, `prepare` writes sets anew that are quick to read,
and `synthetic` draws faces.
"""
