"""The train step: it learns, its teacher stands still, and a new teacher compiles nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from ldl_jax import methods, models
from ldl_jax.data.augment import looks
from ldl_jax.data.augment.augmentation import Preprocessing, Recipe, augment
from ldl_jax.data.feed.feeds import Part, feed
from ldl_jax.labels import LabelSpace
from ldl_jax.models.functional import Model
from ldl_jax.placement import make_placement
from ldl_jax.train.compiled import jit_train_step
from ldl_jax.train.faults import FaultConfig
from ldl_jax.train.state import init_state, init_weights
from ldl_jax.train.step import make_predict_step, make_train_step

SPACE = LabelSpace.range(0, 19)
CEN = methods.get("cen", space=SPACE)
SGD = optax.sgd(0.05, 0.9)
SIZE, B = 32, 8
PREPROCESSING = Preprocessing(SIZE, SIZE)
RECIPE = Recipe()


def draw_part(count=24, seed=0):
    """Pictures as bright as their label is high, in noise."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 20, count).astype(np.float32)
    images = 10 * labels[:, None, None, None] + rng.uniform(0, 60, (count, SIZE, SIZE, 3))
    return Part(
        ids=tuple(f"{i}" for i in range(count)),
        labels=labels,
        sigma=np.full(count, np.nan, np.float32),
        size=SIZE,
        images=images.astype(np.uint8),
    )


def draw_batch(dtype=jnp.float32):
    part = draw_part(B)
    images = (part.images.astype(np.float32) - 127.5) / 127.5
    return {
        "images": jnp.asarray(images, dtype),
        "labels": jnp.asarray(part.labels),
        "sigma": jnp.asarray(part.sigma),
    }


def train(model, method, batch, weights, teacher=None, steps=30, optimizer=SGD):
    step = jax.jit(make_train_step(model, method, optimizer))
    state = init_state(weights, optimizer, 1, jax.random.key(0))
    scalars = []
    for _ in range(steps):
        state, values = step(state, batch, jax.random.key(1), teacher)
        scalars.append(jax.device_get(values))
    return state, scalars


def snapshot(tree):
    return jax.tree.map(np.array, tree)


def assert_equal(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


@pytest.mark.parametrize("name", ["cen", "dldl_v2"])
def test_the_loss_falls_on_a_fixed_batch(tiny_model, draw_weights, name):
    method = methods.get(name, space=SPACE)
    weights = draw_weights(tiny_model, method)
    state, scalars = train(tiny_model, method, draw_batch(), weights)
    assert scalars[-1]["loss"] < 0.5 * scalars[0]["loss"]
    assert scalars[-1]["mae"] < scalars[0]["mae"]
    assert int(state.step) == 30
    assert int(state.generation) == 1
    assert_equal(state.key, jax.random.key_data(jax.random.key(0)))
    assert not np.allclose(state.weights.model_state["norm"]["mean"], 0)


def test_what_a_method_watches_is_logged(tiny_model, draw_weights):
    method = methods.get("ssr", space=SPACE)
    weights = draw_weights(tiny_model, method)
    _, (scalars,) = train(tiny_model, method, draw_batch(), weights, steps=1)
    assert 0 <= scalars["dead_bins"] <= 9
    assert 0 <= scalars["least_denominator"] <= 2


def test_resnet10_tiny_learns_in_bfloat16_and_answers_in_float32(draw_weights):
    model = models.build("resnet10_tiny", dtype="bfloat16")
    weights = draw_weights(model, CEN)
    # At ten times this rate the loss goes up and down, on each kind of CPU in another way.
    optimizer = optax.sgd(1e-4)
    state, scalars = train(model, CEN, draw_batch(), weights, steps=8, optimizer=optimizer)
    assert scalars[-1]["loss"] < 0.8 * scalars[0]["loss"]
    for values in scalars:
        assert all(
            np.isfinite(v) and v.dtype == np.float32 and v.shape == () for v in values.values()
        )
    before, after = (jax.tree.leaves(w) for w in (weights, state.weights))
    assert all(x.dtype == jnp.float32 for x in after)
    assert all((x != y).any() for x, y in zip(before, after, strict=True))


def test_scalars_are_the_batchs_means(tiny_model, draw_weights):
    weights, batch = draw_weights(tiny_model, CEN), draw_batch()
    _, (scalars,) = train(tiny_model, CEN, batch, weights, steps=1)

    def loss(params):
        features, _ = tiny_model.apply(
            params["backbone"], weights.model_state, batch["images"], train=True
        )
        outputs = CEN.head.apply(params["head"], features)
        return CEN.loss(outputs, batch).mean(), CEN.predict(outputs).value

    (expected, value), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(weights.params)
    np.testing.assert_allclose(scalars["loss"], expected, rtol=1e-5)
    np.testing.assert_allclose(scalars["mae"], np.abs(value - batch["labels"]).mean(), rtol=1e-5)
    norm = np.sqrt(sum(np.square(g, dtype=np.float64).sum() for g in jax.tree.leaves(gradient)))
    np.testing.assert_allclose(scalars["gradient_norm"], norm, rtol=1e-5)


# Parts of a batch.


def shifted(params, model_state, images, *, train, key=None):
    """A network without batch normalisation, whose state counts its calls."""
    features = images.mean(axis=(1, 2)) * params["kernel"][None, :]
    return jnp.tanh(features), {"calls": model_state["calls"] + 1.0}


COUNTING = Model(
    "counting", lambda key: ({"kernel": jnp.ones(3)}, {"calls": jnp.zeros(())}), shifted, 3
)


@pytest.mark.parametrize("parts", [2, 8])
def test_parts_of_a_batch_give_the_gradient_of_the_whole(draw_weights, parts):
    weights, teacher = (draw_weights(COUNTING, CEN, seed) for seed in (0, 1))
    state = init_state(weights, SGD, 2, jax.random.key(0))
    results = []
    for count in (1, parts):
        step = jax.jit(make_train_step(COUNTING, CEN, SGD, accumulate=count))
        after, scalars = step(state, draw_batch(), jax.random.key(1), teacher)
        assert float(after.weights.model_state["calls"]) == count
        assert int(after.step) == 1
        results.append((after.weights.params, after.opt_state, scalars))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6), *results)
    assert (results[0][0]["backbone"]["kernel"] != weights.params["backbone"]["kernel"]).all()


def test_every_example_is_in_one_part(draw_weights):
    """An example that is not finite is in one part, and its part in the sum."""
    state = init_state(draw_weights(COUNTING, CEN), SGD, 1, jax.random.key(0))
    step = jax.jit(make_train_step(COUNTING, CEN, SGD, accumulate=4))
    batch = draw_batch()
    whole = float(step(state, batch, jax.random.key(1))[1]["loss"])
    for row in range(B):
        other = {**batch, "labels": batch["labels"].at[row].set((batch["labels"][row] + 9) % 20)}
        assert float(step(state, other, jax.random.key(1))[1]["loss"]) != whole


# The teacher.


def test_the_teacher_stands_still_and_gets_no_gradient(tiny_model, draw_weights):
    batch, teacher = draw_batch(), draw_weights(tiny_model, CEN, seed=1)
    before = snapshot(teacher)
    student = draw_weights(tiny_model, CEN)
    _, scalars = train(tiny_model, CEN, batch, student, teacher, steps=5)
    assert_equal(teacher, before)
    _, alone = train(tiny_model, CEN, batch, student, steps=1)
    assert scalars[0]["loss"] != alone[0]["loss"]

    step = make_train_step(tiny_model, CEN, SGD)
    state = init_state(student, SGD, 2, jax.random.key(0))
    gradient = jax.jit(jax.grad(lambda t: step(state, batch, jax.random.key(1), t)[1]["loss"]))(
        teacher
    )
    assert all((g == 0).all() for g in jax.tree.leaves(gradient))


def test_another_networks_and_methods_teacher(tiny_model, draw_weights):
    """What crosses a generation is a distribution and a value, so neither has to be the same."""
    dldl = methods.get("dldl", space=SPACE)

    def pooled(params, model_state, images, *, train, key=None):
        return images.mean(axis=(1, 2)) * params["kernel"][None, :], model_state

    linear = Model("linear", lambda key: ({"kernel": jnp.ones(3)}, {}), pooled, 3)
    teacher = draw_weights(linear, dldl)
    step = make_train_step(tiny_model, CEN, SGD, teacher_model=linear, teacher_method=dldl)
    state = init_state(draw_weights(tiny_model, CEN), SGD, 2, jax.random.key(0))
    batch = draw_batch()
    after, scalars = jax.jit(step)(state, batch, jax.random.key(0), teacher)

    @jax.jit
    def by_hand(teacher, student):
        features, _ = linear.apply(teacher.params["backbone"], {}, batch["images"], train=False)
        knowledge = dldl.teach(dldl.head.apply(teacher.params["head"], features), batch)
        features, _ = tiny_model.apply(
            student.params["backbone"], student.model_state, batch["images"], train=True
        )
        outputs = CEN.head.apply(student.params["head"], features)
        return CEN.loss(outputs, batch, knowledge).mean()

    expected = by_hand(teacher, state.weights)
    np.testing.assert_allclose(scalars["loss"], expected, rtol=1e-5)
    assert int(after.step) == 1


@pytest.fixture(scope="module")
def jitted(tiny_model):
    """The whole step as a run has it, on one device, and its feed."""
    place = make_placement(1)
    pictures = feed(draw_part(), place.place, place.device_put)
    step = make_train_step(tiny_model, CEN, SGD)
    return jit_train_step(step, pictures.fetch, RECIPE, PREPROCESSING, place), pictures, place


def first_state(tiny_model, draw_weights, place, seed=0, generation=1):
    weights = draw_weights(tiny_model, CEN, seed)
    return place.place(init_state(weights, SGD, generation, jax.random.key(seed)))


def test_a_later_generations_loss_is_its_methods(tiny_model, draw_weights, jitted):
    """Eq. 15 on the same augmented pictures that the teacher sees."""
    step, pictures, place = jitted
    state = first_state(tiny_model, draw_weights, place, generation=2)
    teacher = place.place(draw_weights(tiny_model, CEN, seed=5))
    (item,) = pictures.items([np.arange(3, 3 + B, dtype=np.int32)])
    student = snapshot(state.weights)
    after, scalars = step(state, teacher, pictures.store, item)

    @jax.jit
    def by_hand(images, labels, teacher, student):
        augment_key, _ = jax.random.split(jax.random.fold_in(jax.random.key(0), 0))
        images = augment(augment_key, images, RECIPE, PREPROCESSING)

        def outputs(weights, *, train):
            backbone, head = weights.params["backbone"], weights.params["head"]
            features, _ = tiny_model.apply(backbone, weights.model_state, images, train=train)
            return CEN.head.apply(head, features)

        batch = {"labels": labels}
        knowledge = CEN.teach(outputs(teacher, train=False), batch)
        return CEN.loss(outputs(student, train=True), batch, knowledge).mean()

    rows = slice(3, 3 + B)
    expected = by_hand(pictures.part.images[rows], pictures.part.labels[rows], teacher, student)
    np.testing.assert_allclose(scalars["loss"], expected, rtol=1e-4)
    assert scalars["loss"].dtype == jnp.float32
    assert int(after.step) == 1
    assert_equal(teacher, draw_weights(tiny_model, CEN, seed=5))


def test_a_new_teacher_compiles_nothing(tiny_model, draw_weights, jitted):
    step, pictures, place = jitted
    step.clear_cache()
    (item,) = pictures.items([np.arange(B, dtype=np.int32)])

    def generation(number, teacher):
        state = first_state(tiny_model, draw_weights, place, seed=number, generation=number)
        for _ in range(2):
            state, _ = step(state, teacher, pictures.store, item)
        return state.weights

    teacher = generation(1, None)
    assert step._cache_size() == 1
    for number in (2, 3, 4):
        teacher = generation(number, teacher)
        assert step._cache_size() == 2  # with a teacher, and without
    # One that comes from a file, too.
    generation(5, place.place(jax.tree.map(np.asarray, teacher)))
    assert step._cache_size() == 2


def test_the_state_is_given_up_and_nothing_else(tiny_model, draw_weights, jitted):
    step, pictures, place = jitted
    state = first_state(tiny_model, draw_weights, place, generation=2)
    teacher = place.place(draw_weights(tiny_model, CEN, seed=1))
    (item,) = pictures.items([np.arange(B, dtype=np.int32)])
    item = place.split(item)
    step(state, teacher, pictures.store, item)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(state.weights.params))
    kept = jax.tree.leaves((teacher, pictures.store, item))
    assert not any(leaf.is_deleted() for leaf in kept)


def test_the_same_step_twice_is_bitwise_the_same(tiny_model, draw_weights, jitted):
    step, pictures, place = jitted
    (item,) = pictures.items([np.arange(B, dtype=np.int32)])
    results = [
        snapshot(step(first_state(tiny_model, draw_weights, place), None, pictures.store, item))
        for _ in range(2)
    ]
    assert_equal(*results)


def test_steps_and_keys_see_different_pictures(tiny_model, draw_weights, jitted):
    """The step's key is folded from the generation's key and the step."""
    step, pictures, place = jitted
    (item,) = pictures.items([np.arange(B, dtype=np.int32)])
    losses = []
    for seed, number in ((0, 0), (0, 1), (1, 0)):
        state = first_state(tiny_model, draw_weights, place)
        key = jax.random.key_data(jax.random.key(seed))
        state = place.place(state._replace(step=jnp.int32(number), key=key))
        losses.append(float(step(state, None, pictures.store, item)[1]["loss"]))
    assert len(set(losses)) == 3


def test_runs_in_one_program_are_the_runs_alone(tiny_model, draw_weights):
    """A leading axis over states, as runs of several seeds have it, average and watch included."""
    step = make_train_step(tiny_model, CEN, SGD, ema=0.9, faults=FaultConfig(not_finite="skip"))
    states = [
        init_state(draw_weights(tiny_model, CEN, seed), SGD, 1, jax.random.key(seed), average=True)
        for seed in (0, 1)
    ]
    batch, keys = draw_batch(), jax.random.split(jax.random.key(3), 2)
    bad = {**batch, "images": batch["images"].at[0].set(jnp.nan)}
    batches = jax.tree.map(lambda *x: jnp.stack(x), batch, bad)
    together = jax.tree.map(lambda *x: jnp.stack(x), *states)
    got = jax.jit(jax.vmap(step))(together, batches, keys)
    for place, (state, own) in enumerate(zip(states, (batch, bad), strict=True)):
        alone = jax.jit(step)(state, own, keys[place])
        jax.tree.map(
            lambda a, b, i=place: np.testing.assert_allclose(a[i], b, rtol=1e-4, atol=1e-5),
            got,
            alone,
        )
    np.testing.assert_array_equal(got[0].watch.skipped, [[0, 0], [1, 1]])


# The answer.


def test_crops_are_averaged_over_with_their_mirror_images(tiny_model, draw_weights):
    weights, images = draw_weights(tiny_model, CEN), draw_batch()["images"]
    one = jax.jit(make_predict_step(tiny_model, CEN, flip=True))
    several = jax.jit(make_predict_step(tiny_model, CEN, flip=True, crops=(1.0, 0.6)))
    whole, middle = one(weights, images), one(weights, looks.middle(images, 0.6))
    assert not np.allclose(whole.value, middle.value)
    expected = jax.tree.map(lambda a, b: (a + b) / 2, whole, middle)
    averaged = several(weights, images)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), averaged, expected)


def test_flip_averages_over_the_mirror_image(tiny_model, draw_weights):
    weights, images = draw_weights(tiny_model, CEN), draw_batch()["images"]
    one, both = (jax.jit(make_predict_step(tiny_model, CEN, flip=flip)) for flip in (False, True))
    straight, mirrored = one(weights, images), one(weights, jnp.flip(images, 2))
    assert not np.allclose(straight.value, mirrored.value)
    expected = jax.tree.map(lambda a, b: (a + b) / 2, straight, mirrored)
    averaged = both(weights, images)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), averaged, expected)
    np.testing.assert_allclose(averaged.probs.sum(-1), 1, rtol=1e-5)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5),
        both(weights, jnp.flip(images, 2)),
        averaged,
    )
    assert set(averaged.heads) == {"distribution", "regression"}


def test_the_answer_about_a_picture_does_not_depend_on_its_batch(tiny_model, draw_weights):
    weights, images = draw_weights(tiny_model, CEN), draw_batch()["images"]
    predict = jax.jit(make_predict_step(tiny_model, CEN))
    np.testing.assert_allclose(
        predict(weights, images[2:3]).value, predict(weights, images).value[2:3], rtol=1e-5
    )


def test_first_weights(tiny_model):
    weights = init_weights(tiny_model, CEN, jax.random.key(0))
    again, other = (init_weights(tiny_model, CEN, jax.random.key(k)) for k in (0, 1))
    assert_equal(weights, again)
    assert set(weights.params) == {"backbone", "head"}
    for name in ("backbone", "head"):
        mine, others = (jax.tree.leaves(w.params[name]) for w in (weights, other))
        assert any((x != y).any() for x, y in zip(mine, others, strict=True))
    state = init_state(weights, SGD, 3, jax.random.key(7))
    assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(state))
    assert (int(state.step), int(state.generation)) == (0, 3)
    assert (state.step.dtype, state.key.dtype, state.key.shape) == (jnp.int32, jnp.uint32, (2,))
