"""The train step, as a pure function; the predict step is `predict_step`'s."""

from collections.abc import Callable, Collection

import jax
import jax.numpy as jnp
import optax

from ldl_jax.methods import Batch, Knowledge, Method
from ldl_jax.models.functional import Model
from ldl_jax.train.average import averaged
from ldl_jax.train.ensemble import Members, is_joined
from ldl_jax.train.ensemble import knowledge as of_ensemble
from ldl_jax.train.faults import FaultConfig, observe
from ldl_jax.train.flat import Layout
from ldl_jax.train.predict_step import PredictStep, head_outputs, make_predict_step
from ldl_jax.train.state import PyTree, TrainState, Weights

__all__ = ["PredictStep", "Scalars", "TrainStep", "make_predict_step", "make_train_step"]
Scalars = dict[str, jax.Array]
Stepped = tuple[TrainState, Scalars]


# `step(state, batch, key, teacher) -> (state, scalars)`: batch holds "images", preprocessed float
# [B, H, W, 3], "labels" and "sigma", float32 [B], and where people voted "votes" [B, K]; key is the
# step's. With a teacher, the `Weights` of the previous generation, that network runs frozen on the
# same images and hands over its distributions and slack. The scalars are the mean loss, the mean
# absolute error of the estimate, the gradient's norm, those that the method watches and those of
# `faults.observe`, all float32 [].
TrainStep = Callable[[TrainState, Batch, jax.Array, Weights | None], Stepped]
# `learn(weights, batch, key, teacher) -> (gradient, model_state, scalars)`
Learnt = tuple[dict[str, PyTree], PyTree, Scalars]
Change = Callable[[PyTree], PyTree]
Learn = Callable[[Weights, Batch, jax.Array, Weights | None], Learnt]


def make_train_step(
    model: Model,
    method: Method,
    optimizer: optax.GradientTransformation,
    *,
    frozen: bool = False,
    still: Collection[str] = (),
    teacher_model: Model | None = None,
    teacher_method: Method | None = None,
    accumulate: int = 1,
    ema: float = 0.0,
    faults: FaultConfig | None = None,
    ensemble: Members = (),
    layout: Layout | None = None,
) -> TrainStep:
    """Returns a pure `step(state, batch, key, teacher=None) -> (state, scalars)`; see `TrainStep`.

    Args:
      model: the student's network.
      method: the student's method.
      optimizer: of the student's parameters.
      frozen: whether the backbone is left as it is: it runs as in inference, so its running
        statistics stay and it drops nothing out, and no gradient is taken through it.
      still: top-level names of the backbone's parameters that have no gradient, where the others
        do; the optimizer leaves them as they are (`transfer.scaled` by 0).
      teacher_model, teacher_method: the teacher's; the student's where they are None.
      accumulate: N, the parts of a batch that the gradient is summed over, one after the other. It
        is that of the whole batch, but for what depends on other examples: batch statistics are of
        B / N examples and the running ones move N times, and dropout draws other numbers.
      ema: the decay of the state's moving average (`ldl_jax.train.average`); 0 for none, and then
        `state.ema` is None.
      faults: what is done about them; None for `FaultConfig()`.
      ensemble: networks and methods of several teachers, whose weights are `ensemble.joined`.
      layout: of the states that the step takes and gives, where their arrays lie end to end. The
        updates are the same bits; the gradient's norm is summed in another order.
    """
    policy = faults or FaultConfig()
    teacher_of = teacher_model or model, teacher_method or method
    learn = _learner(model, method, frozen, still, *teacher_of, ensemble)
    if accumulate > 1:
        learn = _accumulated(learn, accumulate)

    def step(
        state: TrainState, batch: Batch, key: jax.Array, teacher: Weights | None = None
    ) -> Stepped:
        weights = state.weights if layout is None else layout.unpack_weights(state.weights)
        gradient, model_state, scalars = learn(weights, batch, key, teacher)
        moved = Weights(gradient, model_state)
        moved = moved if layout is None else layout.pack_weights(moved)
        learnt = _updated(state, moved.params, moved.model_state, optimizer, ema)
        norm = optax.global_norm(moved.params)
        assert state.watch is not None, "a state of before it was there gets a first_watch"
        # What is frozen has no gradients, and no dead units.
        alive = _of_frozen(_ones, gradient["backbone"], frozen, still)
        watch, finite, signs = observe(
            policy, state.watch, scalars["loss"], norm, {**gradient, "backbone": alive}
        )
        if policy.not_finite == "skip":
            # Not optax.apply_if_finite: batch statistics and the moving average stay, too.
            before = state.weights, state.opt_state, state.ema
            learnt = jax.tree.map(lambda new, old: jnp.where(finite, new, old), learnt, before)
        weights, opt_state, mean = learnt
        new = TrainState(
            weights, opt_state, state.step + 1, state.generation, state.key, watch, mean
        )
        return new, {**scalars, "gradient_norm": norm, **signs}

    return step


def _of_frozen(change: Change, backbone: PyTree, frozen: bool, still: Collection[str]) -> PyTree:
    """Applies a change to what is frozen of the backbone's parameters, or of their gradients."""
    if frozen:
        return change(backbone)
    if not still:
        return backbone
    return {name: change(tree) if name in still else tree for name, tree in backbone.items()}


def _ones(tree: PyTree) -> PyTree:
    return jax.tree.map(jnp.ones_like, tree)


def _updated(
    state: TrainState,
    gradient: dict[str, PyTree],
    model_state: PyTree,
    optimizer: optax.GradientTransformation,
    ema: float,
) -> tuple[Weights, optax.OptState, Weights | None]:
    """Returns the weights, the optimizer's state and the moving average after a step."""
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.weights.params)
    weights = Weights(optax.apply_updates(state.weights.params, updates), model_state)
    mean = None if state.ema is None else averaged(state.ema, weights, ema, state.step)
    return weights, opt_state, mean


def _learner(
    model: Model,
    method: Method,
    frozen: bool,
    still: Collection[str],
    teacher_model: Model,
    teacher_method: Method,
    ensemble: Members = (),
) -> Learn:
    """Returns what gives a batch's gradient of the mean loss, running statistics and scalars."""

    def knowledge(teacher: Weights | None, batch: Batch) -> Knowledge | None:
        if teacher is None:
            return None
        if is_joined(teacher):
            return jax.lax.stop_gradient(of_ensemble(ensemble, teacher, batch))
        outputs = head_outputs(teacher_model, teacher_method, teacher, batch["images"])
        return jax.lax.stop_gradient(teacher_method.teach(outputs, batch))

    def learn(weights: Weights, batch: Batch, key: jax.Array, teacher: Weights | None) -> Learnt:
        taught = knowledge(teacher, batch)

        def mean_loss(params: dict[str, PyTree]) -> tuple[jax.Array, tuple[PyTree, PyTree]]:
            backbone = _of_frozen(jax.lax.stop_gradient, params["backbone"], frozen, still)
            features, model_state = model.apply(
                backbone, weights.model_state, batch["images"], train=not frozen, key=key
            )
            if method.head.train is None:
                outputs = method.head.apply(params["head"], features)
            else:
                drawn = jax.random.fold_in(key, 1)
                outputs = method.head.train(params["head"], features, drawn)
            return method.loss(outputs, batch, taught).mean(), (outputs, model_state)

        grad = jax.value_and_grad(mean_loss, has_aux=True)
        (loss, (outputs, model_state)), gradient = grad(weights.params)
        error = jnp.abs(method.predict(outputs).value - batch["labels"]).mean()
        return gradient, model_state, {"loss": loss, "mae": error, **method.watch(outputs)}

    return learn


def _accumulated(learn: Learn, count: int) -> Learn:
    """Returns `learn` of `count` parts of a batch, one after the other; results are means.

    It is not optax.microbatching, which does not hand running statistics from part to part.
    """

    def accumulated(
        weights: Weights, batch: Batch, key: jax.Array, teacher: Weights | None
    ) -> Learnt:
        # Part i is the examples i, i + N, ...: of a batch that is split over devices each device
        # has a share of every part.
        parts = {
            name: x.reshape(-1, count, *x.shape[1:]).swapaxes(0, 1) for name, x in batch.items()
        }

        def add(carry: PyTree, part: PyTree) -> tuple[PyTree, None]:
            model_state, total = carry
            examples, own_key = part
            gradient, model_state, scalars = learn(
                weights._replace(model_state=model_state), examples, own_key, teacher
            )
            return (model_state, jax.tree.map(jnp.add, total, (gradient, scalars))), None

        keys = jax.random.split(key, count)
        first = jax.tree.map(lambda x: x[0], parts)
        gradient, _, scalars = jax.eval_shape(learn, weights, first, keys[0], teacher)
        nothing = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), (gradient, scalars))
        # XLA's convolutions for CPUs are 7 times and more as slow inside a loop.
        unroll = jax.default_backend() == "cpu"
        carry = weights.model_state, nothing
        (model_state, total), _ = jax.lax.scan(add, carry, (parts, keys), unroll=unroll)
        gradient, scalars = jax.tree.map(lambda x: x / count, total)
        return gradient, model_state, scalars

    return accumulated
