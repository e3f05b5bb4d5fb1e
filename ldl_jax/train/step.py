"""The train step and the predict step, as pure functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from ldl_jax.methods import Batch, Method, Prediction
from ldl_jax.models.functional import Model
from ldl_jax.train.state import TrainState, Weights

Scalars = dict[str, jax.Array]
TrainStep = Callable[..., tuple[TrainState, Scalars]]
PredictStep = Callable[[Weights, jax.Array], Prediction]


def make_train_step(
    model: Model,
    method: Method,
    optimizer: optax.GradientTransformation,
    *,
    frozen: bool = False,
    teacher_model: Model | None = None,
    teacher_method: Method | None = None,
) -> TrainStep:
    """A pure `step(state, batch, key, teacher=None) -> (state, scalars)`.

    batch holds "images", preprocessed float [B, H, W, 3], and "labels" and "sigma", float32 [B];
    key is the step's. With a teacher, the `Weights` of the previous generation, that network runs
    frozen on the same images and hands over its distributions and slack. `scalars` are the mean
    loss, the mean absolute error of the estimate and the gradient's norm, all float32 [].

    Args:
      model: the student's network.
      method: the student's method.
      optimizer: of the student's parameters.
      frozen: whether the trunk is left as it is: it runs as in inference, so its running statistics
        stay and it drops nothing out, and no gradient is taken through it.
      teacher_model: the teacher's network; the student's where it is None.
      teacher_method: the teacher's method; the student's where it is None.
    """
    ancestor_model = teacher_model or model
    ancestor_method = teacher_method or method

    def knowledge(teacher: Weights | None, batch: Batch) -> Any:
        if teacher is None:
            return None
        features, _ = ancestor_model.apply(
            teacher.params["trunk"], teacher.model_state, batch["images"], train=False
        )
        outputs = ancestor_method.head.apply(teacher.params["head"], features)
        return jax.lax.stop_gradient(ancestor_method.teach(outputs, batch))

    def step(
        state: TrainState, batch: Batch, key: jax.Array, teacher: Weights | None = None
    ) -> tuple[TrainState, Scalars]:
        taught = knowledge(teacher, batch)

        def mean_loss(params: dict[str, Any]) -> tuple[jax.Array, tuple[Any, Any]]:
            trunk = jax.lax.stop_gradient(params["trunk"]) if frozen else params["trunk"]
            features, model_state = model.apply(
                trunk, state.weights.model_state, batch["images"], train=not frozen, key=key
            )
            outputs = method.head.apply(params["head"], features)
            return method.loss(outputs, batch, taught).mean(), (outputs, model_state)

        grad = jax.value_and_grad(mean_loss, has_aux=True)
        (loss, (outputs, model_state)), gradient = grad(state.weights.params)
        updates, opt_state = optimizer.update(gradient, state.opt_state, state.weights.params)
        params = optax.apply_updates(state.weights.params, updates)
        error = jnp.abs(method.predict(outputs).value - batch["labels"]).mean()
        scalars = {"loss": loss, "mae": error, "gradient_norm": optax.global_norm(gradient)}
        scalars |= method.watch(outputs)
        state = state._replace(
            weights=Weights(params, model_state), opt_state=opt_state, step=state.step + 1
        )
        return state, scalars

    return step


def make_predict_step(model: Model, method: Method, *, flip: bool = True) -> PredictStep:
    """A pure `predict(weights, images) -> Prediction` of preprocessed images [B, H, W, 3].

    With `flip`, values and probabilities are the means over a picture and its mirror image
    (DLDL-v2, "Inference Details").
    """

    def once(weights: Weights, images: jax.Array) -> Prediction:
        features, _ = model.apply(weights.params["trunk"], weights.model_state, images, train=False)
        return method.predict(method.head.apply(weights.params["head"], features))

    def predict(weights: Weights, images: jax.Array) -> Prediction:
        if not flip:
            return once(weights, images)
        both = once(weights, images), once(weights, images[:, :, ::-1])
        return jax.tree.map(lambda a, b: (a + b) / 2, *both)

    return predict
