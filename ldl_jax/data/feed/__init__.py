"""Pictures to the device: resident or streamed batches in one order."""
