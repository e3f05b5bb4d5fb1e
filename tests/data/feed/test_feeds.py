"""The order of pictures, and feeds that give the same batches from wherever the pictures are."""

import dataclasses
import itertools
import threading
import time

import grain
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordWriter
from PIL import Image

from ldl_jax.data import pictures
from ldl_jax.data.feed import feeds
from ldl_jax.data.feed import stream as pipeline_stream
from ldl_jax.data.records import DataError
from ldl_jax.placement import make_placement

COUNT, SIZE = 24, 6
KINDS = ("memory", "shares", "files", "packed", "memory, streamed")


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """The same pictures in files, in an archive and in memory."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    paths = []
    for index in range(COUNT):
        paths.append(folder / f"{index}.png")
        pixels = rng.integers(0, 256, (9 + index % 3, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(paths[-1])
    archive = str(folder / "pictures.array_record")
    writer = ArrayRecordWriter(archive, "group_size:1")
    for path in paths:
        writer.write(path.read_bytes())
    writer.close()
    images, _ = pictures.decode(paths, SIZE)
    columns = {
        "ids": tuple(path.name for path in paths),
        "labels": rng.uniform(0, 100, COUNT).astype(np.float32),
        "sigma": np.where(np.arange(COUNT) % 2, 2.5, np.nan).astype(np.float32),
        "size": SIZE,
    }
    memory = feeds.Part(**columns, images=images)
    return {
        "memory": memory,
        "shares": memory,
        "memory, streamed": memory,
        "files": feeds.Part(**columns, paths=tuple(paths)),
        "packed": feeds.Part(**columns, packed=grain.sources.ArrayRecordDataSource([archive])),
    }


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def make(kind, parts):
    """`make(devices=1, shard=(0, 1))`: the feed of a kind."""
    return lambda devices=1, shard=(0, 1): make_feed(parts, kind, devices, shard)


def make_feed(parts, kind, devices=1, shard=(0, 1)):
    placement = make_placement(devices)
    across = placement.by_batch if kind == "shares" else None
    stream = True if kind == "memory, streamed" else None
    return feeds.feed(
        parts[kind], placement.place, placement.device_put, across, stream, shard=shard
    )


def batches(feed, rows, start=0):
    """The batches of a feed, fetched under jit as the step does it."""
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
        order = feeds.EpochOrder(count, batch, epochs=3, seed=1, generation=1)
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
            order = feeds.EpochOrder(40, 20, 2, seed, generation)
            return np.stack([order[step] for step in range(len(order))])

        np.testing.assert_array_equal(rows(1, 1), rows(1, 1))
        epochs = [e for s in (0, 1) for g in (1, 2) for e in rows(s, g).reshape(2, 40)]
        for one, other in itertools.combinations(epochs, 2):
            assert (one != other).any()
            assert sorted(one) == sorted(other) == list(range(40))

    def test_any_step_is_known_without_those_before_it(self):
        order = feeds.EpochOrder(30, 7, 5, 3, 2)
        forward = [order[step].tolist() for step in range(len(order))]
        fresh = feeds.EpochOrder(30, 7, 5, 3, 2)
        backward = [fresh[step].tolist() for step in reversed(range(len(fresh)))]
        assert forward == backward[::-1]

    def test_it_is_numpy_s_permutation(self):
        order = feeds.EpochOrder(40, 40, 2, 3, 2)
        for epoch in range(2):
            expected = np.random.default_rng((3, 2, epoch)).permutation(40)
            np.testing.assert_array_equal(order[epoch], expected)

    def test_threads_that_ask_at_once_draw_an_epoch_once(self, monkeypatch):
        draws = []
        draw = np.random.default_rng
        monkeypatch.setattr(np.random, "default_rng", lambda s: draws.append(s) or draw(s))
        order = feeds.EpochOrder(1000, 10, 3, 0, 1)
        threads = [threading.Thread(target=list, args=(order,)) for _ in range(4)]
        for one in threads:
            one.start()
        for one in threads:
            one.join()
        assert sorted(set(draws)) == [(0, 1, 0), (0, 1, 1), (0, 1, 2)]
        assert len(order._drawn) <= 2

    def test_it_ends(self):
        order = feeds.EpochOrder(10, 5, 2, 0, 1)
        assert len(list(order)) == 4
        for step in (-1, 4):
            with pytest.raises(IndexError, match=f"step {step} of 4"):
                order[step]

    def test_a_batch_larger_than_the_set_is_an_error(self):
        with pytest.raises(ValueError, match="batch_size: 8 is more than the 7 training pictures"):
            feeds.EpochOrder(7, 8, 1, 0, 1)


@pytest.mark.parametrize("count", [1, 2, 7, 8, 9, 24])
@pytest.mark.parametrize("batch", [1, 3, 8, 30])
def test_once_each_visits_every_picture_exactly_once(count, batch):
    rows = feeds.once_each(count, batch)
    assert rows.shape == (-(-count // batch), batch)
    assert rows.dtype == np.int32
    flat = rows.reshape(-1)
    np.testing.assert_array_equal(flat[:count], np.arange(count))
    np.testing.assert_array_equal(flat[count:], 0)


def test_a_batch_is_the_rows_of_the_part(make, parts):
    rows = feeds.EpochOrder(COUNT, 8, 2, 0, 1)
    given = batches(make(), rows)
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
def test_a_start_in_the_middle_gives_the_tail(make, start):
    rows = feeds.EpochOrder(COUNT, 8, 2, 0, 1)
    feed = make()
    assert_same(batches(feed, rows, start), batches(feed, rows)[start:])


def test_every_kind_gives_the_same_evaluation(make, parts):
    rows = feeds.once_each(COUNT, 9)  # the last row is padded
    given = batches(make(), rows)
    assert len(given) == 3
    assert_same(given, batches(make_feed(parts, "memory"), rows))


@pytest.mark.parametrize("start", [0, 2])
def test_spans_are_the_items_of_several_steps(make, start):
    rows = feeds.EpochOrder(COUNT, 8, 2, 0, 1)
    feed = make()
    together = list(feed.spans(rows, [start + 1, 4, 6], start))
    assert [jax.tree.leaves(item)[0].shape[:2] for item in together] == [
        (1, 8), (3 - start, 8), (2, 8)
    ]  # fmt: skip

    def scan(store, item):
        return jax.lax.scan(lambda none, one: (none, feed.fetch(store, one)), None, item)[1]

    joined = [jax.device_get(jax.jit(scan)(feed.store, item)) for item in together]
    flat = jax.tree.map(lambda *a: np.concatenate(a), *joined)
    one_by_one = [jax.tree.map(lambda a, i=i: a[i], flat) for i in range(6 - start)]
    assert_same(one_by_one, batches(feed, rows, start))


def test_spans_of_one_length_end_with_the_last_item_again(make):
    rows = feeds.EpochOrder(COUNT, 8, 2, 0, 1)
    feed = make()
    pairs = zip(feed.spans(rows, [1, 4], 0, 3), feed.spans(rows, [1, 4]), strict=True)
    for padded, span in pairs:
        for ours, its in zip(jax.tree.leaves(padded), jax.tree.leaves(span), strict=True):
            assert len(ours) == 3
            expected = np.concatenate([its, *[its[-1:]] * (3 - len(its))])
            np.testing.assert_array_equal(ours, expected)


def test_spans_that_do_not_rise(make):
    rows = feeds.EpochOrder(COUNT, 8, 2, 0, 1)
    with pytest.raises(ValueError, match="ends: expected ends that rise from 2, got 2"):
        list(make().spans(rows, [2, 2]))


def test_a_batch_is_split_over_the_devices(make, kind):
    if jax.device_count() < 8:
        pytest.skip("needs 8 devices")
    rows = feeds.EpochOrder(COUNT, 8, 1, 0, 1)
    placement = make_placement(8)
    feed = make(8)
    for array in jax.tree.leaves(list(feed.items(rows))):
        assert array.sharding.is_equivalent_to(placement.by_batch, array.ndim)
        assert array.addressable_shards[0].data.shape[0] == 1
    for array in jax.tree.leaves(list(feed.spans(rows, [3]))):
        assert array.shape[:2] == (3, 8)
        assert array.addressable_shards[0].data.shape[:2] == (3, 1)
    for name, array in feed.store.items():
        assert array.sharding.is_fully_replicated == (kind != "shares" or name != "images")
    assert_same(batches(feed, rows), batches(make(), rows))


@pytest.mark.parametrize("devices", [2, 3, 8])
def test_shares_of_any_number_of_devices_give_the_same_batches(parts, devices):
    few = {name: dataclasses.replace(part, ids=part.ids[:23], labels=part.labels[:23],
                                     sigma=part.sigma[:23], images=part.images[:23])
           for name, part in parts.items() if name in ("memory", "shares")}  # fmt: skip
    rows = feeds.once_each(23, 2 * devices)
    shares = make_feed(few, "shares", devices)
    held = [shard.data.shape[0] for shard in shares.store["images"].addressable_shards]
    assert held == [-(-23 // devices)] * devices
    given = batches(shares, rows)
    assert_same(given, batches(make_feed(few, "memory"), rows))


@pytest.mark.parametrize("count", [2, 4])
def test_the_shares_of_all_processes_are_the_whole_batch(parts, kind, count):
    if kind == "shares":
        pytest.skip("the devices of one process")
    rows = feeds.EpochOrder(COUNT, 8, 2, 0, 1)
    each = [batches(make_feed(parts, kind, shard=(i, count)), rows, 1) for i in range(count)]
    assert all(len(batch["labels"]) == 8 // count for batch in each[0])
    whole = [jax.tree.map(lambda *a: np.concatenate(a), *step) for step in zip(*each, strict=True)]
    assert_same(whole, batches(make_feed(parts, kind), rows, 1))


@pytest.mark.parametrize(
    ("shard", "says"),
    [
        ((0, 3), "shard: 3 processes do not divide a batch of 8"),
        ((2, 2), "shard: expected an index"),
    ],
)
def test_a_shard_that_cannot_be(make, shard, says):
    feed = make(shard=shard)
    for give in (feed.items, lambda rows: feed.spans(rows, [1])):
        with pytest.raises(ValueError, match=says):
            list(give(feeds.EpochOrder(COUNT, 8, 2, 0, 1)))


def test_items_for_one_device_go_there_with_the_call(make):
    for array in jax.tree.leaves(next(make().items(feeds.once_each(COUNT, 4)))):
        assert isinstance(array, np.ndarray)  # that is quicker than to put them there first


def test_the_store_holds_what_is_in_memory_and_nothing_that_is_streamed(make, kind):
    store = make().store
    if kind in ("memory", "shares"):
        assert set(store) == {"images", "labels", "sigma"}
        assert store["images"].dtype == jnp.uint8
    else:
        assert store == {}


def test_only_pictures_in_memory_stay_on_the_devices(parts):
    placement = make_placement(1)
    with pytest.raises(ValueError, match="part: only pictures in memory"):
        feeds.feed(parts["files"], placement.place, placement.device_put, stream=False)


def test_a_part_has_as_many_pictures_as_names(parts, kind):
    assert len(parts[kind]) == COUNT


def test_memory_is_lent_again_when_the_last_view_of_it_is_gone():
    memory = pipeline_stream._Memory()
    first = memory.lend((4, 6))
    first[...] = 1
    view = first[1:3].reshape(-1)[2:]
    address = first.ctypes.data
    del first
    second = memory.lend((4, 6))
    assert second.ctypes.data != address
    second[...] = 2
    assert (view == 1).all()
    del view
    assert memory.lend((4, 6)).ctypes.data == address


@pytest.mark.parametrize("shape", [(4, 32, 3), (16, 5, 5, 3)])
def test_memory_goes_to_a_cpu_without_a_copy(shape):
    lent = pipeline_stream._Memory().lend(shape)
    lent[...] = 7
    array = jax.device_put(lent, jax.devices("cpu")[0])
    assert array.unsafe_buffer_pointer() == lent.ctypes.data
    assert (np.asarray(array) == 7).all()


@pytest.mark.parametrize("devices", [1, 8])
def test_batches_that_are_kept_do_not_change(parts, devices):
    rows = feeds.EpochOrder(COUNT, 8, 20, 0, 1)
    feed = make_feed(parts, "memory, streamed", devices)
    kept = [item["images"] for item in feed.items(rows)]
    views = [np.asarray(images)[2:5] for images in kept]
    del kept
    images = parts["memory"].images
    for step, view in enumerate(views):
        np.testing.assert_array_equal(view, images[rows[step]][2:5])


# What goes wrong on the way.


def decoding():
    """The threads that decode now."""
    return [one for one in threading.enumerate() if one.name.startswith("grain-prefetch")]


def ends(threads, seconds=5.0):
    """Whether they end within so many seconds."""
    limit = time.monotonic() + seconds
    while any(one.is_alive() for one in threads) and time.monotonic() < limit:
        time.sleep(0.01)
    return not any(one.is_alive() for one in threads)


@pytest.fixture
def failing(tmp_path):
    """`failing(kind)`: a part whose picture 13 cannot be read, and what the error says of it."""

    def make(kind):
        paths = [tmp_path / f"{index}.png" for index in range(COUNT)]
        for index, path in enumerate(paths):
            Image.new("RGB", (SIZE, SIZE), (index, 0, 0)).save(path)
        packed = [path.read_bytes() for path in paths]
        if kind == "gone":
            paths[13].unlink()
        elif kind == "half":
            paths[13].write_bytes(packed[13][:40])
        packed[13] = packed[13][:40]
        columns = {
            "ids": tuple(path.name for path in paths),
            "labels": np.zeros(COUNT, np.float32),
            "sigma": np.zeros(COUNT, np.float32),
            "size": SIZE,
        }
        if kind == "packed":
            return feeds.Part(**columns, packed=packed), "13.png: "
        if kind == "archive":
            return feeds.Part(**columns, packed=Archive(packed)), "13.png: no such chunk here"
        return feeds.Part(**columns, paths=paths), f"{paths[13]}: cannot be read as a picture"

    return make


class Archive(list):
    """An archive with a damaged record."""

    def __getitem__(self, index):
        if index == 13:
            raise RuntimeError("no such chunk\n here")
        return super().__getitem__(index)


@pytest.mark.parametrize("broken", ["gone", "half", "packed", "archive"])
def test_a_picture_that_breaks_on_the_way_stops_the_stream_in_its_turn(failing, broken):
    part, says = failing(broken)
    placement = make_placement(1)
    feed = feeds.feed(part, placement.place, placement.device_put)
    before = set(decoding())
    stream = pipeline_stream.batches(part, feeds.once_each(COUNT, 4))
    assert len(list(itertools.islice(stream, 3))) == 3  # the fourth batch holds picture 13
    with pytest.raises(DataError) as caught:
        next(stream)
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match=r"13\.png: "):
        list(feed.items(feeds.once_each(COUNT, 4)))
    assert ends(set(decoding()) - before)


class Slow:
    """Encoded pictures that take their time, and count how often they are asked for."""

    def __init__(self, content):
        self.content, self.asked = content, 0

    def __getitem__(self, index):
        self.asked += 1
        time.sleep(0.02)
        return self.content


def test_a_stream_that_nobody_reads_on_ends_its_threads(parts):
    content = parts["files"].paths[0].read_bytes()
    columns = {"labels": np.zeros(4000, np.float32), "sigma": np.zeros(4000, np.float32)}
    part = feeds.Part(ids=range(4000), size=SIZE, packed=Slow(content), **columns)
    before = set(decoding())
    stream = pipeline_stream.batches(part, feeds.once_each(4000, 50))
    next(stream)
    threads = set(decoding()) - before
    assert threads
    stream.close()  # as Ctrl-C does it: the picture in work is finished, and no more
    asked = part.packed.asked
    assert ends(threads, 1.0)
    assert part.packed.asked - asked <= len(threads)
