"""The order of pictures, and feeds that give the same batches from memory and from files."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from ldl_jax.data import pictures, pipeline
from ldl_jax.layout import layout

COUNT, SIZE = 24, 6


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The same pictures in files and in memory."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    paths = []
    for index in range(COUNT):
        paths.append(folder / f"{index}.png")
        pixels = rng.integers(0, 256, (9 + index % 3, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(paths[-1])
    images, _ = pictures.decode(paths, SIZE)
    columns = {
        "ids": tuple(path.name for path in paths),
        "labels": rng.uniform(0, 100, COUNT).astype(np.float32),
        "sigma": np.where(np.arange(COUNT) % 2, 2.5, np.nan).astype(np.float32),
        "size": SIZE,
    }
    return {
        "memory": pipeline.Part(**columns, images=images),
        "files": pipeline.Part(**columns, paths=tuple(paths)),
    }


@pytest.fixture(params=["memory", "files"])
def part(request, parts):
    return parts[request.param]


def batches(part, rows, start=0, devices=1):
    """The batches of a feed, fetched under jit as the step does it."""
    placement = layout(devices)
    feed = pipeline.feed(part, placement.place, placement.split)
    fetch = jax.jit(feed.fetch)
    return [jax.device_get(fetch(feed.store, item)) for item in feed.items(rows, start)]


def assert_same(some, others):
    assert len(some) == len(others)
    for one, other in zip(some, others, strict=True):
        assert one.keys() == other.keys() == {"images", "labels", "sigma"}
        for name, value in one.items():
            assert value.dtype == other[name].dtype
            np.testing.assert_array_equal(value, other[name])


class TestEpochOrder:
    @pytest.mark.parametrize(("count", "batch"), [(12, 3), (13, 4), (5, 5), (7, 1)])
    def test_every_epoch_visits_each_picture_at_most_once(self, count, batch):
        order = pipeline.EpochOrder(count, batch, epochs=3, seed=1, generation=1)
        steps = count // batch
        assert order.steps_per_epoch == steps
        assert len(order) == 3 * steps
        rows = np.stack([order[step] for step in range(len(order))])
        assert rows.shape == (3 * steps, batch)
        assert rows.dtype == np.int32
        assert rows.min() >= 0
        assert rows.max() < count
        for epoch in rows.reshape(3, -1):
            assert len(set(epoch.tolist())) == steps * batch

    def test_epochs_seeds_and_generations_differ_and_repeat(self):
        def rows(seed, generation):
            order = pipeline.EpochOrder(40, 20, 2, seed, generation)
            return np.stack([order[step] for step in range(len(order))])

        np.testing.assert_array_equal(rows(1, 1), rows(1, 1))
        epochs = [e for s in (0, 1) for g in (1, 2) for e in rows(s, g).reshape(2, 40)]
        for one, other in itertools.combinations(epochs, 2):
            assert (one != other).any()
            assert sorted(one) == sorted(other) == list(range(40))

    def test_any_step_is_known_without_those_before_it(self):
        order = pipeline.EpochOrder(30, 7, 5, 3, 2)
        forward = [order[step].tolist() for step in range(len(order))]
        fresh = pipeline.EpochOrder(30, 7, 5, 3, 2)
        backward = [fresh[step].tolist() for step in reversed(range(len(fresh)))]
        assert forward == backward[::-1]

    def test_it_ends(self):
        order = pipeline.EpochOrder(10, 5, 2, 0, 1)
        assert len(list(order)) == 4
        for step in (-1, 4):
            with pytest.raises(IndexError, match=f"step {step} of 4"):
                order[step]

    def test_a_batch_larger_than_the_set_is_an_error(self):
        with pytest.raises(ValueError, match="batch_size: 8 is more than the 7 training pictures"):
            pipeline.EpochOrder(7, 8, 1, 0, 1)


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 24])
@pytest.mark.parametrize("batch", [1, 3, 8, 30])
def test_once_each_visits_every_picture_exactly_once(count, batch):
    rows = pipeline.once_each(count, batch)
    assert rows.shape == (-(-count // batch), batch)
    assert rows.dtype == np.int32
    flat = rows.reshape(-1)
    np.testing.assert_array_equal(flat[:count], np.arange(count))
    np.testing.assert_array_equal(flat[count:], 0)


def test_a_batch_is_the_rows_of_the_part(part, parts):
    rows = pipeline.EpochOrder(COUNT, 8, 2, 0, 1)
    given = batches(part, rows)
    assert len(given) == 6
    memory = parts["memory"]
    expected = [
        {"images": memory.images[r], "labels": memory.labels[r], "sigma": memory.sigma[r]}
        for r in (rows[step] for step in range(6))
    ]
    assert_same(given, expected)
    assert given[0]["images"].dtype == np.uint8
    assert given[0]["images"].shape == (8, SIZE, SIZE, 3)


@pytest.mark.parametrize("start", [1, 3, 5, 6])
def test_a_start_in_the_middle_gives_the_tail(part, start):
    rows = pipeline.EpochOrder(COUNT, 8, 2, 0, 1)
    assert_same(batches(part, rows, start), batches(part, rows)[start:])


def test_memory_and_files_give_the_same_evaluation(parts):
    rows = pipeline.once_each(COUNT, 9)  # the last row is padded
    memory, files = (batches(parts[name], rows) for name in ("memory", "files"))
    assert len(memory) == 3
    assert_same(memory, files)


def test_a_batch_is_split_over_the_devices(part):
    if jax.device_count() < 8:
        pytest.skip("needs 8 devices")
    rows = pipeline.EpochOrder(COUNT, 8, 1, 0, 1)
    placement = layout(8)
    feed = pipeline.feed(part, placement.place, placement.split)
    items = list(feed.items(rows))
    for array in jax.tree.leaves(items):
        assert array.sharding.is_equivalent_to(placement.by_batch, array.ndim)
        assert array.addressable_shards[0].data.shape[0] == 1
    for array in feed.store.values():
        assert array.sharding.is_fully_replicated
    assert_same(batches(part, rows, devices=8), batches(part, rows))


def test_the_store_holds_what_is_in_memory_and_nothing_of_files(parts):
    placement = layout(1)
    memory, files = (
        pipeline.feed(parts[name], placement.place, placement.split) for name in ("memory", "files")
    )
    assert set(memory.store) == {"images", "labels", "sigma"}
    assert memory.store["images"].dtype == jnp.uint8
    assert files.store == {}


def test_a_part_has_as_many_pictures_as_names(part):
    assert len(part) == COUNT
