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
from ldl_jax.methods.given import OWN, Given
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
    target: str = "own",
    target_smoothing: float = 0.0,
) -> Method:
    """CEN: a distribution and a regressed value, each refined over generations.

    Source: Li et al., "A Coupled Evolutionary Network for Age Estimation": Eq. 14 for the first
    generation, Eq. 15 for the later ones, Eqs. 16-18 for the estimate. `hard_temperature` and
    `scale_by_temperature_squared` settle what the paper leaves open, see `losses.cen_evolution`;
    `decode` reads the distribution's head: "expectation" (Eq. 16), "median" or "mode". A `target`
    other than "own" (`methods.given.Given`) takes the place of the hard label's one-hot in Eqs. 4
    and 15.
    """
    contract.check_number("lam", lam, low=0.0)
    contract.check_number("hard_temperature", hard_temperature, low=0.0, strict=True)
    Transfer(alpha, temperature, scale_by_temperature_squared).checked()
    contract.check_choice("decode", decode, tuple(DECODERS))
    settings = Given(target, target_smoothing).checked()
    encode = one_hot_encoder(space)  # CEN assumes no form of the distribution
    if settings.target != OWN:
        encode = settings.encoder(space)
    softly = alpha, temperature, hard_temperature, scale_by_temperature_squared
    evolve = functools.partial(
        losses.cen_evolution,
        hard_temperature=hard_temperature,
        scale_by_temperature_squared=scale_by_temperature_squared,
    )

    def loss(outputs: Outputs, batch: Batch, knowledge: Knowledge | None = None) -> jax.Array:
        if settings.target != OWN:
            soft = encode(*(batch[key] for key in ("labels", "sigma", *settings.needs)))
            return _to_given(outputs, batch["labels"], soft, space, lam, knowledge, softly)
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

    head = dense(logits=space.size, score=None)
    return Method("cen", space, head, encode, loss, predict, teach, needs=settings.needs)


def _to_given(
    outputs: Outputs,
    labels: jax.Array,
    target: jax.Array,
    space: LabelSpace,
    lam: float,
    knowledge: Knowledge | None,
    softly: tuple[float, float, float, bool],
) -> jax.Array:
    """Returns the losses of Eqs. 14 and 15 with a distribution in the place of the label's one-hot.

    `softly` has α, τ, the hard label's temperature, and whether the teacher's term is scaled.
    """
    alpha, temperature, hard_temperature, scaled = softly
    label, logits = encodings.normalised(labels, space), outputs["logits"]
    if knowledge is None:
        return losses.cross_entropy(logits, target) + lam * losses.l1(outputs["score"], label)
    scale = temperature**2 if scaled else 1.0
    taught = scale * losses.cross_entropy(logits / temperature, knowledge.probs)
    untaught = losses.cross_entropy(logits / hard_temperature, target)
    regression = losses.slack_l1(outputs["score"], label, knowledge.slack)
    return alpha * taught + (1 - alpha) * untaught + lam * regression
