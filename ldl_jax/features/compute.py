"""Computes the features of pictures: each once, a file of the cache at a time."""

import dataclasses
import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from ldl_jax.data.augment.augmentation import Preprocessing, Recipe, augment, prepare
from ldl_jax.data.augment.looks import Crops, looks_at, shares
from ldl_jax.data.feed.feeds import Part
from ldl_jax.data.feed.stream import batches
from ldl_jax.data.records import Records
from ldl_jax.features.cache import Cache, LogLine
from ldl_jax.heads import joined
from ldl_jax.models.functional import Model, ModelState, Params
from ldl_jax.placement import Placement

PICTURE, MIRROR = "picture", "mirror"
_CROP = "crop "  # how the names begin of the views of another crop
_FILE = 1024  # pictures of a file; what a run that is killed may lose
_BATCH = {"cpu": 8}  # pictures at a time; small ones stay in a CPU's caches
_SAID = 10.0  # seconds between lines on progress
Stop = Callable[[], None]  # raises where the run is to stop


@dataclasses.dataclass(frozen=True)
class Extractor:
    """A frozen network, and the views of a picture that it gives features of.

    Attributes:
      model: the network.
      weights: its parameters and its running statistics.
      preprocessing: of each picture.
      recipe: of the augmented views.
    """

    model: Model
    weights: tuple[Params, ModelState]
    preprocessing: Preprocessing
    recipe: Recipe

    def augmented(self, count: int) -> list[str]:
        """Returns the names of so many augmented views; another recipe has others."""
        content = dataclasses.asdict(self.recipe)
        del content["mixup"]  # of pictures of a batch, which comes after
        if not self.recipe.name:  # recipes without a change of one's own keep their views
            del content["name"], content["options"]
        text = json.dumps(content, sort_keys=True)
        recipe = hashlib.sha256(text.encode()).hexdigest()[:16]
        return [f"{recipe} {index}" for index in range(count)]

    def features(
        self, weights: tuple[Params, ModelState], images: jax.Array, seeds: jax.Array, views: tuple
    ) -> jax.Array:
        """Returns the features [B, W, D] of uint8 pictures [B, S, S, 3]; it is pure.

        Args:
          weights: as of the class.
          images: the pictures.
          seeds: uint32 [B], of each picture's augmented views.
          views: W names.
        """
        inputs, model = prepare(images, self.preprocessing), self.model

        def view(name: str) -> jax.Array:
            if name in (PICTURE, MIRROR) or name.startswith(_CROP):
                share = float(name.split()[1]) if name.startswith(_CROP) else 1.0
                return looks_at(inputs, name.endswith(MIRROR), (share,))[-1]
            index = int(name.rpartition(" ")[2])

            def drawn(seed: jax.Array, image: jax.Array) -> jax.Array:
                key = jax.random.fold_in(jax.random.key(index), seed)
                return augment(key, image[None], self.recipe, self.preprocessing)[0]

            return jax.vmap(drawn)(seeds, images)

        columns = [joined(model.apply(*weights, view(name), train=False)[0]) for name in views]
        return jnp.stack(columns, axis=1)


def look_names(flip: bool, crops: Crops) -> list[str]:
    """Returns the names of the views of `looks_at`, in its order."""
    pairs = [
        (PICTURE, MIRROR) if share == 1 else (f"{_CROP}{share}", f"{_CROP}{share} {MIRROR}")
        for share in shares(crops)
    ]
    return [name for pair in pairs for name in pair[: 2 if flip else 1]]


def digests_of(records: Records, rows: Sequence[int]) -> list[bytes]:
    """Returns the SHA-256 of the file of each picture, or of its pixels where it is in none."""
    in_memory = not records.paths and records.packed is None

    def digest(row: int) -> bytes:
        if in_memory:
            assert records.images is not None
            content = np.ascontiguousarray(records.images[row]).tobytes()
        else:
            content = records.content(row)
        return hashlib.sha256(content).digest()

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(digest, rows))


def features_of(
    part: Part,
    digests: Sequence[bytes],
    views: Sequence[str],
    extractor: Extractor,
    cache: Cache,
    placement: Placement,
    log: LogLine,
    stop: Stop = lambda: None,
) -> np.ndarray:
    """Returns the features of a part's pictures, from the cache or computed and put there.

    Args:
      part: N pictures.
      digests: N, of `digests_of`.
      views: W of `look_names` and the extractor's augmented ones.
      extractor: computes those that the cache lacks.
      cache: of this extractor.
      placement: of the devices that share a batch.
      log: takes lines on the progress.
      stop: is called now and then; what it raises ends the computing.

    Returns: float32 [N, W, D].
    Raises: ValueError where features are NaN or infinite; DataError where a picture is broken.
    """
    features, known = cache.read(digests, views)
    left = int((~known.all(axis=1)).sum())
    if not left:
        return features
    log(f"features: {len(part) - left:,} of {len(part):,} pictures known, {left:,} to compute")
    done, start, said = 0, time.monotonic(), time.monotonic()
    for missing in np.unique(known, axis=0):
        wanted = tuple(view for view, there in zip(views, missing, strict=True) if not there)
        if not wanted:
            continue
        rows = np.flatnonzero((known == missing).all(axis=1))
        columns = np.flatnonzero(~missing)
        for chosen, computed in _computed(part, digests, rows, wanted, extractor, placement, stop):
            _check(part, chosen, computed, extractor)
            cache.add([digests[row] for row in chosen], wanted, computed)
            features[np.ix_(chosen, columns)] = computed
            done += len(chosen)
            now = time.monotonic()
            if now - said > _SAID or done == left:
                rate, said = done / (now - start), now
                log(f"features: {done:,} of {left:,} pictures, {rate:.1f} a second")
    return features


def _computed(
    part: Part,
    digests: Sequence[bytes],
    rows: np.ndarray,
    views: tuple[str, ...],
    extractor: Extractor,
    placement: Placement,
    stop: Stop,
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (rows, their features [n, W, D]) of at most a file's pictures at a time."""
    size = _BATCH.get(jax.default_backend(), 256)
    size = -(-min(size, len(rows)) // placement.devices) * placement.devices
    padded = np.resize(rows, -(-len(rows) // size) * size).reshape(-1, size)
    seeds = np.asarray([int.from_bytes(digest[:4]) for digest in digests], np.uint32)
    split, everywhere = placement.by_batch, placement.replicated
    step = jax.jit(
        lambda weights, images, seeds: extractor.features(weights, images, seeds, views),
        in_shardings=(everywhere, split, split),
        out_shardings=everywhere,
    )
    weights = placement.place(extractor.weights)
    pending: list[jax.Array] = []
    first = 0
    for index, batch in enumerate(batches(part, list(padded)), start=1):
        stop()
        pending.append(step(weights, batch["images"], seeds[padded[index - 1]]))
        if len(pending) > 1:
            pending[-2].block_until_ready()  # not more than a batch ahead of the devices
        end = min(index * size, len(rows))
        if end - first >= _FILE or end == len(rows):
            computed = np.concatenate(jax.device_get(pending))[: end - first]
            yield rows[first:end], computed
            first, pending = end, []


def _check(part: Part, rows: np.ndarray, features: np.ndarray, extractor: Extractor) -> None:
    broken = ~np.isfinite(features).all(axis=(1, 2))
    if broken.any():
        raise ValueError(
            f"init.features: {extractor.model.name} gives NaN or infinite features for "
            f"{int(broken.sum())} pictures, the first {part.ids[rows[broken.argmax()]]}; its "
            "weights are of no use"
        )
