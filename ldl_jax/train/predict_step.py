"""The predict step, as a pure function: what training evaluates with, and a predictor answers."""

from collections.abc import Callable

import jax

from ldl_jax.calibration import Calibration, apply
from ldl_jax.data.augment.looks import Crops, looks_at
from ldl_jax.methods import Method, Prediction
from ldl_jax.models.functional import Model
from ldl_jax.train.weights import PyTree, Weights

PredictStep = Callable[[Weights, jax.Array], Prediction]


def head_outputs(model: Model, method: Method, weights: Weights, images: jax.Array) -> PyTree:
    """Returns the head's outputs in inference."""
    params = weights.params
    features, _ = model.apply(params["backbone"], weights.model_state, images, train=False)
    return method.head.apply(params["head"], features)


def make_predict_step(
    model: Model,
    method: Method,
    *,
    flip: bool = True,
    crops: Crops = (),
    calibration: Calibration | None = None,
) -> PredictStep:
    """Returns a pure `predict(weights, images) -> Prediction` of preprocessed images [B, H, W, 3].

    With `flip`, values and probabilities are the means over a picture and its mirror image
    (DLDL-v2, "Inference Details"), and with `crops` over those shares of the picture (as the ten
    crops of Krizhevsky et al., "ImageNet Classification", 2012). A calibration changes the
    probabilities, and leaves the values: those are the method's own estimate, which a run's tables
    measure.
    """

    def once(weights: Weights, images: jax.Array) -> Prediction:
        return method.predict(head_outputs(model, method, weights, images))

    def predict(weights: Weights, images: jax.Array) -> Prediction:
        looks = (model.looks or looks_at)(images, flip, crops)
        answers = [once(weights, look) for look in looks]
        return jax.tree.map(lambda *each: sum(each[1:], each[0]) / len(each), *answers)

    def calibrated(weights: Weights, images: jax.Array) -> Prediction:
        prediction = predict(weights, images)
        assert calibration is not None
        return prediction._replace(probs=apply(calibration, prediction.probs))

    return predict if calibration is None else calibrated
