"""Makes a TFDS dataset of ArrayRecord files out of chunks, without TensorFlow."""

import contextlib
import functools
import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow_datasets as tfds
from tensorflow_datasets.core import split_builder, writer
from tensorflow_datasets.proto import tf_example_pb2

from ldl_jax.data.datasets import prepared_index
from ldl_jax.data.datasets.prepared_folder import NAME, SPLIT, VERSION
from ldl_jax.data.packed import IMAGE
from ldl_jax.data.prepare.chunk import ChunkFiles
from ldl_jax.data.records import Records

Keyed = tuple[int, dict[str, Any]]  # a picture's row, and its features by name


class Faces(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Builds a prepared set: one split, in the records' own order.

    TFDS's own writer keeps a split that is not shuffled in memory, up to 1 GB, and needs TensorFlow
    for more (its shuffler's buckets are `tf.io` files). So shards are written one by one with the
    same package's `submit_shard_based_generation`, from `_generate_examples` of each one's chunks;
    it needs no TensorFlow, and goes through Apache Beam where a runner is given.
    """

    name = NAME
    VERSION = tfds.core.Version(VERSION)
    # Nothing is downloaded; TFDS would look for checksums, with a package that it does not bring.
    url_infos = None

    def __init__(
        self,
        records: Records,
        shards: Sequence[Sequence[ChunkFiles]],
        folder: Path,
        finish: Callable[[Path], None],
        advance: Callable[[], None] | None,
    ) -> None:
        """Takes the records that are not left out, and the files of each shard's chunks.

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
        for name in ("truth", "votes"):
            if (column := getattr(self._records, name)) is not None:
                shape = column.shape[1:]
                features[name] = tfds.features.Tensor(shape=shape, dtype=np.float32)
        return _Info(
            builder=self,
            description=f"{self._records.name}, prepared; labels in {self._records.unit}",
            features=tfds.features.FeaturesDict(features),
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager: object) -> dict[str, Iterator[Keyed]]:
        chunks = [files for shard in self._shards for files in shard]
        return {SPLIT: self._generate_examples(chunks)}

    @staticmethod
    def _generate_examples(
        chunks: Sequence[ChunkFiles], advance: Callable[[], None] | None = None
    ) -> Iterator[Keyed]:
        for files in chunks:
            for key, example in _examples(files):
                yield key, example
                if advance is not None:
                    advance()

    def _example_writer(self) -> writer.ExampleWriter:
        return _SameBytes(self.info.file_format)

    def _generate_splits(
        self, dl_manager: object, download_config: tfds.download.DownloadConfig
    ) -> list[tfds.core.SplitInfo]:
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
        written = builder.submit_shard_based_generation(
            split_name=SPLIT,
            filename_template=self._get_filename_template(SPLIT),
            example_gen_per_shard=[
                functools.partial(self._generate_examples, chunks, self._advance)
                for chunks in self._shards
            ],
        )
        folder = Path(self.data_dir)
        # Beam's workers write this file.
        (folder / f"{NAME}-{SPLIT}.shard_infos.json").unlink(missing_ok=True)
        self._finish(folder)
        return [written.result()]


class _Info(tfds.core.DatasetInfo):
    def initialize_from_bucket(self) -> None:
        """Asks TFDS's servers for nothing; it would leave an empty temporary folder each time."""


class _SameBytes(writer.ExampleWriter):
    """Writes examples with their features in one order: protobuf's own differs in each process."""

    def write(self, path: Path, examples: Iterable[tuple[bytes, bytes]]) -> object:
        def sorted_features(example: bytes) -> bytes:
            parsed = tf_example_pb2.Example.FromString(example)
            return parsed.SerializeToString(deterministic=True)

        return super().write(path, ((key, sorted_features(example)) for key, example in examples))


def build(builder: Faces, scratch: Path, beam: Sequence[str] | None = None) -> None:
    """Writes the dataset; with options of Apache Beam pipelines, its shards in parallel.

    `scratch` is for what TFDS writes beside it.
    """
    config = tfds.download.DownloadConfig(try_download_gcs=False)
    if beam is not None:
        from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions

        options = PipelineOptions(list(beam))
        # TFDS would write the shards in this process if no runner were named.
        runner = options.view_as(StandardOptions).runner or "DirectRunner"
        config = config.replace(beam_options=options, beam_runner=runner)
    tfds.disable_progress_bar()
    with contextlib.redirect_stdout(io.StringIO()):  # TFDS prints what it does, at length
        builder.download_and_prepare(download_dir=scratch / "downloads", download_config=config)


def _examples(files: ChunkFiles) -> Iterator[Keyed]:
    """Yields the pictures of a chunk, with their rows in the whole set as keys."""
    with np.load(files.columns) as arrays:
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
            IMAGE: _Stored(files.pictures, int(starts[i]), int(lengths[i])),
        }
        for name in ("truth", "votes"):
            if (column := getattr(records, name)) is not None:
                example[name] = np.asarray(column[i], np.float32)
        yield row, example


class _Stored(NamedTuple):
    """Points to a picture in a chunk's file, which is read when it is written.

    TFDS keeps a shard's examples in memory.
    """

    file: Path
    start: int
    length: int

    def read(self) -> bytes:
        with self.file.open("rb") as file:
            file.seek(self.start)
            return file.read(self.length)
