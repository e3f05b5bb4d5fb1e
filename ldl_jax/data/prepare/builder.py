"""Parts become a TFDS dataset of ArrayRecord files, without TensorFlow."""

from __future__ import annotations

import contextlib
import functools
import io
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import split_builder, writer
from tensorflow_datasets.proto import tf_example_pb2

from ldl_jax.data.datasets import prepared_index
from ldl_jax.data.datasets.prepared_folder import NAME, SPLIT, VERSION
from ldl_jax.data.packed import IMAGE
from ldl_jax.data.prepare.chunk import Part
from ldl_jax.data.records import Records


class Faces(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """The builder of prepared sets: one split, in the records' own order.

    TFDS's own writer keeps a split that is not shuffled in memory, up to 1 GB, and needs TensorFlow
    for more (its shuffler's buckets are `tf.io` files). So shards are written one by one with the
    same package's `submit_shard_based_generation`, from `_generate_examples` of the parts of each;
    it needs no TensorFlow, and goes through Apache Beam where a runner is given.
    """

    name = NAME
    VERSION = tfds.core.Version(VERSION)
    # Nothing is downloaded. TFDS would look for checksums, with a package it does not bring.
    url_infos = None

    def __init__(
        self,
        records: Records,
        shards: Sequence[Sequence[Part]],
        folder: Path,
        finish: Callable[[Path], None],
        advance: Callable[[], None] | None,
    ) -> None:
        """Of records without those left out, with the parts of each shard.

        `finish` may write more files into the dataset's folder before it takes its final name;
        `advance` is called at each picture, where this process writes them.
        """
        self._records, self._shards, self._finish = records, shards, finish
        self._advance = advance
        super().__init__(data_dir=folder, file_format="array_record")

    def _info(self) -> tfds.core.DatasetInfo:
        features: dict[str, Any] = {
            "id": tfds.features.Text(),
            "source": tfds.features.Text(),
            "label": np.float32,
            "sigma": np.float32,
            "subject": tfds.features.Text(),
            "split": tfds.features.Text(),
            "fold": np.int64,
            IMAGE: tfds.features.Image(),
        }
        if self._records.truth is not None:
            shape = self._records.truth.shape[1:]
            features["truth"] = tfds.features.Tensor(shape=shape, dtype=np.float32)
        return _Info(
            builder=self,
            description=f"{self._records.name}, prepared; labels in {self._records.unit}",
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Iterator[tuple[int, Any]]]:
        parts = [part for shard in self._shards for part in shard]
        return {SPLIT: self._generate_examples(parts)}

    @staticmethod
    def _generate_examples(
        parts: Sequence[Part], advance: Callable[[], None] | None = None
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for part in parts:
            for key, example in _examples(part):
                yield key, example
                if advance is not None:
                    advance()

    def _example_writer(self) -> writer.ExampleWriter:
        return _SameBytes(self.info.file_format)

    def _generate_splits(self, dl_manager: Any, download_config: Any) -> list[Any]:
        builder = split_builder.SplitBuilder(
            split_dict=self.info.splits,
            features=self.info.features,
            dataset_size=self.info.dataset_size,
            max_examples_per_split=None,
            beam_options=download_config.beam_options,
            beam_runner=download_config.beam_runner,
            shard_config=None,
            example_writer=self._example_writer(),
            ignore_duplicates=False,
        )
        made = builder.submit_shard_based_generation(
            split_name=SPLIT,
            filename_template=self._get_filename_template(SPLIT),
            example_gen_per_shard=[
                functools.partial(self._generate_examples, parts, self._advance)
                for parts in self._shards
            ],
        )
        folder = Path(self.data_dir)
        (folder / f"{NAME}-{SPLIT}.shard_infos.json").unlink(missing_ok=True)  # of Beam's workers
        self._finish(folder)
        return [made.result()]


class _Info(tfds.core.DatasetInfo):
    def initialize_from_bucket(self) -> None:
        """Asks TFDS's servers for nothing; it would leave an empty temporary folder each time."""


class _SameBytes(writer.ExampleWriter):
    """Writes examples with their features in one order: protobuf's own differs in each process."""

    def write(self, path: Any, examples: Any) -> Any:
        def sorted_features(example: bytes) -> bytes:
            parsed = tf_example_pb2.Example.FromString(example)
            return parsed.SerializeToString(deterministic=True)

        return super().write(path, ((key, sorted_features(one)) for key, one in examples))


def build(builder: Faces, scratch: Path, beam: Sequence[str] | None = None) -> None:
    """Writes the dataset; with options of Apache Beam pipelines, its shards in parallel.

    `scratch` is for what TFDS writes beside it.
    """
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    if beam is not None:
        from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

        options = PipelineOptions(list(beam))
        # Without a runner's name TFDS would write the shards in this process.
        runner = options.view_as(StandardOptions).runner or "DirectRunner"
        config = config.replace(beam_options=options, beam_runner=runner)
    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):  # it says what it does, at length
        builder.download_and_prepare(download_dir=scratch / "downloads", download_config=config)


def _examples(part: Part) -> Iterator[tuple[int, dict[str, Any]]]:
    """The pictures of a part, with their rows in the whole set as keys."""
    with np.load(part.columns) as arrays:
        rows, lengths = arrays["rows"], arrays["lengths"]
        if not len(rows):
            return
        records = prepared_index.from_arrays(arrays, [b""] * len(rows))
    sigma = np.full(len(rows), np.nan, np.float32) if records.sigma is None else records.sigma
    starts = np.concatenate([[0], np.cumsum(lengths)])
    for i, row in enumerate(rows.tolist()):
        example = {
            "id": records.ids[i],
            "source": records.sources[i],
            "label": np.float32(records.labels[i]),
            "sigma": np.float32(sigma[i]),
            "subject": records.subjects[i] if records.subjects else "",
            "split": records.split[i] if records.split else "",
            "fold": -1 if records.folds is None else int(records.folds[i]),
            IMAGE: _Stored(part.pictures, int(starts[i]), int(lengths[i])),
        }
        if records.truth is not None:
            example["truth"] = np.asarray(records.truth[i], np.float32)
        yield row, example


class _Stored(NamedTuple):
    """A picture in a part, read when it is written: TFDS keeps a shard's examples in memory."""

    file: Path
    start: int
    length: int

    def read(self) -> bytes:
        with self.file.open("rb") as file:
            file.seek(self.start)
            return file.read(self.length)
