"""Reads pictures in ArrayRecord files one by one, when they are asked for."""

from collections.abc import Sequence
from pathlib import Path
from typing import SupportsIndex

from ldl_jax import extras
from ldl_jax.data.records import DataError

IMAGE = "image"  # the feature that holds a picture's file
_NEEDED = ("reading a prepared set", "tfds")


class Packed(Sequence[bytes]):
    """N encoded pictures (the bytes of a JPEG or PNG file) in the shards of a TFDS dataset.

    Several threads may read any rows at any time; a pickled copy opens the files anew. The memory
    that it takes does not grow with N, nor with how many rows were read.
    """

    def __init__(self, shards: Sequence[Path], counts: Sequence[int]) -> None:
        """Takes ArrayRecord files of TFDS's examples, and how many each holds."""
        array_record_data_source = extras.needed(
            "array_record.python.array_record_data_source", *_NEEDED
        )
        extras.check("tensorflow_datasets", *_NEEDED)
        self._count = sum(counts)
        # The counts are given, so that no file is opened before it is read.
        files = [f"{path}[0:{count}]" for path, count in zip(shards, counts, strict=True)]
        self._source = array_record_data_source.ArrayRecordDataSource(files)

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: SupportsIndex) -> bytes:  # type: ignore[override]
        from tensorflow_datasets.proto import tf_example_pb2

        index = int(row)
        if not 0 <= index < self._count:  # this ends an iteration over a sequence
            raise IndexError(f"picture {index} of {self._count}")
        try:
            example = tf_example_pb2.Example.FromString(self._source[index])
        except Exception as error:  # the reader raises errors of any kind
            raise DataError(
                f"picture {index} of the prepared set cannot be read ({error}); prepare it again"
            ) from error
        return example.features.feature[IMAGE].bytes_list.value[0]
