"""Batches of pictures for the jitted step: kept on the devices, or streamed to them.

`feeds.feed` gives a part's feed, from `resident` or `stream`; `part` has what they share, `order`
the order of the pictures, and `choice` picks where the pictures are kept.
"""
