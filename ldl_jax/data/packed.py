"""Pictures in ArrayRecord files, read one by one when they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ldl_jax.data.records import DataError

IMAGE = "image"  # the feature that holds a picture's file


class Packed(Sequence[bytes]):
    """N encoded pictures (the bytes of a JPEG or PNG file) in the shards of a TFDS dataset.

    Any row at any time, from several threads; a pickled copy opens the files anew. What stays in
    memory does not grow with N, nor with how many rows were read.
    """

    def __init__(self, shards: Sequence[Path], counts: Sequence[int]) -> None:
        """Of ArrayRecord files of TFDS's examples, with how many each holds."""
        from array_record.python import array_record_data_source

        self._count = sum(counts)
        # The counts are given, so that no file is opened before it is read.
        self._source = array_record_data_source.ArrayRecordDataSource(
            [f"{path}[0:{count}]" for path, count in zip(shards, counts, strict=True)]
        )

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, row: Any) -> Any:
        from tensorflow_datasets.proto import tf_example_pb2

        place = int(row)
        if not 0 <= place < self._count:  # what ends an iteration over a sequence
            raise IndexError(f"picture {place} of {self._count}")
        try:
            example = tf_example_pb2.Example.FromString(self._source[place])
        except Exception as error:  # the reader's own, of any kind
            raise DataError(
                f"picture {place} of the prepared set cannot be read ({error}); prepare it again"
            ) from error
        return example.features.feature[IMAGE].bytes_list.value[0]


class Joined(Sequence[bytes]):
    """The pictures of one sequence, then those of another."""

    def __init__(self, first: Sequence[bytes], second: Sequence[bytes]) -> None:
        self._first, self._second = first, second

    def __len__(self) -> int:
        return len(self._first) + len(self._second)

    def __getitem__(self, row: Any) -> Any:
        place = int(row)
        start = len(self._first)
        return self._first[place] if place < start else self._second[place - start]
