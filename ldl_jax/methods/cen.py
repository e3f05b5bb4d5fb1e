"""CEN's method: two heads on one network, refined over generations."""

import functools

import jax
import jax.numpy as jnp

from ldl_jax import decoders, encodings, losses
from ldl_jax.heads import Outputs, dense
from ldl_jax.labels import LabelSpace
from ldl_jax.methods import contract
from ldl_jax.methods.contract import Batch, Knowledge, Method, Prediction
from ldl_jax.methods.forms import DECODERS
from ldl_jax.methods.targets import one_hot_encoder
from ldl_jax.methods.transfer import Transfer


def cen(
    space: LabelSpace,
    lam: float = 4.0,
    alpha: float = 0.5,
    temperature: float = 2.0,
    hard_temperature: float = 1.0,
    scale_by_temperature_squared: bool = False,
    decode: str = "expectation",
) -> Method:
    """CEN: a distribution and a regressed value, each refined over generations.

    Source: Li et al., "A Coupled Evolutionary Network for Age Estimation": Eq. 14 for the first
    generation, Eq. 15 for the later ones, Eqs. 16-18 for the estimate. `hard_temperature` and
    `scale_by_temperature_squared` settle what the paper leaves open, see `losses.cen_evolution`;
    `decode` reads the distribution's head: "expectation" (Eq. 16), "median" or "mode".
    """
    contract.check_number("lam", lam, low=0.0)
    contract.check_number("hard_temperature", hard_temperature, low=0.0, strict=True)
    Transfer(alpha, temperature, scale_by_temperature_squared).checked()
    contract.check_choice("decode", decode, tuple(DECODERS))
    evolve = functools.partial(
        losses.cen_evolution,
        hard_temperature=hard_temperature,
        scale_by_temperature_squared=scale_by_temperature_squared,
    )

    def loss(outputs: Outputs, batch: Batch, knowledge: Knowledge | None = None) -> jax.Array:
        arguments = outputs["logits"], outputs["score"], batch["labels"], space
        if knowledge is None:
            return losses.cen_initial(*arguments, lam)
        return evolve(*arguments, *knowledge, alpha, lam, temperature)

    def predict(outputs: Outputs) -> Prediction:
        probs = jax.nn.softmax(outputs["logits"])
        distribution = DECODERS[decode](probs, space)
        regression = decoders.from_score(outputs["score"], space)
        value = (distribution + regression) / 2
        return Prediction(value, probs, {"distribution": distribution, "regression": regression})

    def teach(outputs: Outputs, batch: Batch) -> Knowledge:
        target = encodings.normalised(batch["labels"], space)
        probs = jax.nn.softmax(outputs["logits"] / temperature)
        return Knowledge(probs, jnp.abs(outputs["score"] - target))

    encode = one_hot_encoder(space)  # CEN assumes no form of the distribution
    head = dense(logits=space.size, score=None)
    return Method("cen", space, head, encode, loss, predict, teach)
