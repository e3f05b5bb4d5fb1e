"""Weights split over devices learn what whole ones do, and a checkpoint changes its devices."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax
import numpy as np
import optax
import pytest

from ldl_jax import methods
from ldl_jax import placement as module
from ldl_jax.data.augment.augmentation import Preprocessing, Recipe
from ldl_jax.data.feed.feeds import EpochOrder, Part, feed
from ldl_jax.evaluation.evaluate import evaluate, jit_predict
from ldl_jax.labels import LabelSpace
from ldl_jax.models.functional import Model
from ldl_jax.placement import Placement, make_placement
from ldl_jax.train.checkpoint import Checkpoints
from ldl_jax.train.compiled import jit_train_step
from ldl_jax.train.record import Record
from ldl_jax.train.sharded import gathered
from ldl_jax.train.state import TrainState, Weights, init_state
from ldl_jax.train.step import make_predict_step, make_train_step

SPACE = LabelSpace.range(0, 30)
CEN = methods.get("cen", space=SPACE)
SIZE, B, STEPS = 8, 16, 3
# Sums over a batch, and over the parts of a matrix product, are taken in another order.
TOLERANCE = 1e-5
SGD = optax.sgd(1e-3, 0.9)
TOPOLOGIES = {"one": (1, 1), "eight": (8, 1), "split": (8, 4), "all split": (8, 8)}


@pytest.fixture(scope="module", autouse=True)
def _splits_small_arrays() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_SPLIT_FROM", 100)
        yield


def draw_part() -> Part:
    rng = np.random.default_rng(0)
    return Part(
        ids=tuple(f"{i}" for i in range(40)),
        labels=rng.integers(0, 31, 40).astype(np.float32),
        sigma=np.full(40, np.nan, np.float32),
        size=SIZE,
        images=rng.integers(0, 256, (40, SIZE, SIZE, 3), np.uint8),
    )


class Run:
    """Some steps with a teacher on some devices."""

    def __init__(
        self, model: Model, devices: int, fsdp: int, state: TrainState, teacher: Weights
    ) -> None:
        self.placement = make_placement(devices, fsdp)
        self.state = self.placement.place_state(state)
        self.teacher = self.placement.place_state(teacher)
        self.like = jax.tree.map(
            lambda x, place: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place),
            state,
            self.placement.shardings(state),
        )
        self.feed = feed(draw_part(), self.placement.place, self.placement.device_put)
        model, method = gathered(model, CEN, self.placement)
        step = make_train_step(model, method, SGD)
        preprocessing = Preprocessing(SIZE, SIZE)
        self.step = jit_train_step(
            step, self.feed.fetch, Recipe(), preprocessing, self.placement, like=state
        )
        self.predict = jit_predict(
            make_predict_step(model, method),
            self.feed.fetch,
            preprocessing,
            self.placement,
            state.weights,
        )

    def take(self, start: int) -> list[float]:
        """The losses of the steps from `start` on."""
        losses = []
        for item in self.feed.items(EpochOrder(40, B, 2, 0, 2), start):
            self.state, scalars = self.step(self.state, self.teacher, self.feed.store, item)
            losses.append(float(scalars["loss"]))
            if len(losses) == STEPS:
                break
        return losses


@pytest.fixture(scope="module")
def make(draw_weights: Any, tiny_model: Model) -> Callable[[int, int], Run]:
    weights, teacher = (
        jax.tree.map(np.array, draw_weights(tiny_model, CEN, seed)) for seed in (0, 1)
    )
    state = jax.tree.map(np.array, init_state(weights, SGD, 2, jax.random.key(3)))
    return lambda devices, fsdp: Run(tiny_model, devices, fsdp, state, teacher)


@pytest.fixture(scope="module")
def runs(make: Callable[[int, int], Run]) -> dict[str, tuple[Run, list[float]]]:
    made = {name: make(*topology) for name, topology in TOPOLOGIES.items()}
    return {name: (run, run.take(0)) for name, run in made.items()}


@pytest.mark.parametrize("name", ["eight", "split", "all split"])
def test_every_topology_learns_the_same(runs: Any, name: str) -> None:
    (one, losses), (other, theirs) = runs["one"], runs[name]
    np.testing.assert_allclose(theirs, losses, rtol=TOLERANCE)
    assert losses[0] != losses[-1]
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(b, a, rtol=TOLERANCE, atol=TOLERANCE),
        one.state.weights.params,
        other.state.weights.params,
    )


def test_every_device_holds_its_part_of_the_state_alone(runs: Any) -> None:
    run, _ = runs["all split"]
    for tree in (run.state.weights.params, run.state.opt_state):
        held = sum(leaf.addressable_shards[0].data.nbytes for leaf in jax.tree.leaves(tree))
        whole = sum(leaf.nbytes for leaf in jax.tree.leaves(tree))
        assert held < whole / 4  # the small arrays are whole on each
    kernel = run.state.weights.params["backbone"]["dense"]["kernel"]
    assert kernel.shape == (48, 16)
    assert {shard.data.shape for shard in kernel.addressable_shards} == {(6, 16)}
    whole, _ = runs["eight"]
    assert all(leaf.sharding.is_fully_replicated for leaf in jax.tree.leaves(whole.state))


def test_an_evaluation_sees_every_picture_once_whatever_holds_the_weights(runs: Any) -> None:
    found = {
        name: evaluate(run.predict, run.state.weights, run.feed, SPACE, B)
        for name, (run, _) in runs.items()
        if name in ("one", "all split")
    }
    one, split = found["one"], found["all split"]
    assert split.ids == one.ids == tuple(f"{i}" for i in range(40))
    np.testing.assert_allclose(split.values, one.values, rtol=1e-4, atol=1e-4)


def test_weights_are_gathered_and_no_activations(runs: Any) -> None:
    run, _ = runs["all split"]
    item = next(run.feed.items(EpochOrder(40, B, 2, 0, 2), 0))
    text = run.step.lower(run.state, run.teacher, run.feed.store, item).compile().as_text()
    found = set(re.findall(r"= f32\[([\d,]+)\]\S* all-gather\(", text))
    weights = {leaf.shape for leaf in jax.tree.leaves((run.state.weights, run.teacher))}
    shapes = {tuple(int(n) for n in shape.split(",")) for shape in found}
    assert shapes
    assert shapes <= weights


def test_a_checkpoint_goes_on_on_other_devices(
    runs: Any, make: Callable[[int, int], Run], tmp_path: Path, make_record: Callable[..., Record]
) -> None:
    """All split on 8, then whole on 1, then over 2 of 4: as if it had stayed on one."""
    stay, _ = runs["one"]
    expected = [*stay.take(STEPS), *stay.take(2 * STEPS)]
    before, _ = runs["all split"]
    found = []
    for number, topology in enumerate(((1, 1), (4, 2))):
        checkpoints = Checkpoints(tmp_path)
        checkpoints.save((number + 1) * STEPS, before.state, make_record())
        checkpoints.close()
        after = make(*topology)
        checkpoints = Checkpoints(tmp_path)
        restored = checkpoints.restore(after.like, print)
        checkpoints.close()
        jax.tree.map(np.testing.assert_array_equal, restored, before.state)
        assert all(
            leaf.sharding.is_equivalent_to(like.sharding, leaf.ndim)
            for leaf, like in zip(
                jax.tree.leaves(restored), jax.tree.leaves(after.like), strict=True
            )
        )
        after.state = restored
        found += after.take((number + 1) * STEPS)
        before = after
    np.testing.assert_allclose(found, expected, rtol=TOLERANCE)


@pytest.mark.parametrize(("devices", "fsdp"), [(8, 3), (8, 16), (4, 8), (8, 0)])
def test_a_mesh_that_does_not_fit(devices: int, fsdp: int) -> None:
    fitting = "1 or 2 or 4 or 8" if devices == 8 else "1 or 2 or 4"
    line = rf"^mesh.fsdp: {fsdp} does not divide the {devices} devices; take {fitting}$"
    with pytest.raises(ValueError, match=line):
        make_placement(devices, fsdp)


def test_what_is_split_and_along_which_axis() -> None:
    place: Placement = make_placement(8, 4)
    shapes = {
        "largest": (128, 512),
        "divisible": (1022, 8),
        "odd": (1023, 7),
        "small": (64,),
        "convolution": (3, 3, 64, 128),
    }
    arrays = {name: jax.ShapeDtypeStruct(shape, "float32") for name, shape in shapes.items()}
    specs = {name: tuple(s.spec) for name, s in place.shardings(arrays).items()}
    assert specs == {
        "largest": (None, "fsdp"),
        "divisible": (None, "fsdp"),
        "odd": (),
        "small": (),
        "convolution": (None, None, None, "fsdp"),
    }
