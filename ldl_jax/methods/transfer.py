"""The shared part of methods that learn a distribution: `decode`, and how one generation teaches.

A generation learns from its teacher by CEN's Eq. 7, here for every method: part of the loss is the
cross-entropy from the teacher's distribution, both softened by a temperature, the rest is the
method's own. So a method defines its own loss, head and target (`Definition`), and `completed` adds
the settings that all of them share: `decode`, and the fields of `Transfer`.

A method's own hyper-parameter keeps its paper's name. Where it has the name of a field of
`Transfer`, that field is called `transfer_NAME` for this method: SORD's `alpha` is the slope of its
soft labels, and its `transfer_alpha` the weight of the teacher. (CEN's `alpha` and `temperature`
are the paper's, which Eq. 7 is from.)
"""

import functools
import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax

from ldl_jax import decoders, encodings, losses
from ldl_jax.heads import Head, Outputs, dense
from ldl_jax.labels import LabelSpace
from ldl_jax.methods import contract
from ldl_jax.methods.contract import Batch, Knowledge, Method, Prediction
from ldl_jax.methods.forms import DECODERS, SOFTMAX, Form
from ldl_jax.methods.given import OWN, Given
from ldl_jax.methods.targets import Encoder, normalised_error, one_hot_encoder

OwnLoss = Callable[[Outputs, Batch], jax.Array]
GivenLoss = Callable[[Outputs, Batch, jax.Array], jax.Array]


class Transfer(NamedTuple):
    """The settings of learning from a teacher: how much of the loss, and how softly.

    L = α c CE(p̂^τ, q) + (1 - α) L_own,  c = τ^2 if scaled, else 1

    with q the teacher's distribution at its temperature, p̂^τ the student's at τ.

    Source: Li et al., "A Coupled Evolutionary Network for Age Estimation", Eq. 7; the factor τ^2
    is that of Hinton et al., "Distilling the Knowledge in a Neural Network", Sec. 2.
    """

    alpha: float = 0.5
    temperature: float = 2.0
    scale_by_temperature_squared: bool = False

    def checked(self, names: Mapping[str, str] | None = None) -> "Transfer":
        """Returns these settings, or raises ValueError where one is out of range.

        `names` are the fields' names in messages, where they differ.
        """
        names = {field: field for field in self._fields} | dict(names or {})
        contract.check_number(names["alpha"], self.alpha, low=0.0, high=1.0)
        contract.check_number(names["temperature"], self.temperature, low=0.0, strict=True)
        contract.check_flag(
            names["scale_by_temperature_squared"], self.scale_by_temperature_squared
        )
        return self


class Definition(NamedTuple):
    """The parts of a method that are its own, where its outputs stand for a distribution.

    Attributes:
      loss: `loss(outputs, batch) -> [B]`, the loss of a generation without a teacher.
      encode: the target of the method; one-hot by default.
      head: one dense layer to "logits" [B, K] by default.
      form: how the outputs stand for a distribution.
      given: `given(outputs, batch, target [B, K]) -> [B]`, the loss where another target than the
        method's own is given.
      ranked: whether a given target is compared as ranks: `encode` then gives these [B, K-1].
    """

    loss: OwnLoss
    encode: Encoder | None = None
    head: Head | None = None
    form: Form = SOFTMAX
    given: GivenLoss | None = None
    ranked: bool = False


def completed(
    decode: str = "expectation", *, given: bool = False
) -> Callable[[Callable[..., Definition]], Callable[..., Method]]:
    """Decorates `factory(space, **own) -> Definition`, so that it makes whole methods.

    The result takes `decode` (with this default) and the fields of `Transfer` beside the factory's
    own hyper-parameters, and if its definitions have `given`, those of `Given`. The method has the
    factory's name.

    Examples:
      >>> @methods.completed(decode="median")
      ... def scaled_crps(space, weight=2.0):
      ...     def loss(outputs, batch):
      ...         return weight * losses.crps(outputs["logits"], batch["labels"], space)
      ...     return methods.Definition(loss)
      >>> method = scaled_crps(LabelSpace.range(20, 24), weight=3.0, decode="mode", alpha=0.3)
      >>> method.name, method.predict({"logits": jnp.zeros((1, 5))}).value.item()
      ('scaled_crps', 20.0)
    """

    def decorate(factory: Callable[..., Definition]) -> Callable[..., Method]:
        parameters = inspect.signature(factory).parameters
        names = {f: f"transfer_{f}" if f in parameters else f for f in Transfer._fields}
        shared = {"decode": decode} | {n: Transfer._field_defaults[f] for f, n in names.items()}
        shared |= Given._field_defaults if given else {}
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        added = [inspect.Parameter(key, kind, default=x) for key, x in shared.items()]
        # Sorted by kind, as Python orders them: those by keyword alone come last.
        signature = inspect.Signature(sorted([*parameters.values(), *added], key=lambda p: p.kind))

        @functools.wraps(factory)
        def make(*args: object, **keywords: object) -> Method:
            bound = signature.bind(*args, **keywords)
            bound.apply_defaults()
            values = bound.arguments
            parts = _targeted(factory(**{key: values[key] for key in parameters}), values)
            transfer = Transfer(*(values[name] for name in names.values())).checked(names)
            parts |= {"own_loss": parts.pop("loss"), "decode": values["decode"]}
            return distribution_method(
                factory.__name__, values["space"], transfer=transfer, **parts
            )

        make.__signature__ = signature  # type: ignore[attr-defined]
        return make

    return decorate


def distribution_method(
    name: str,
    space: LabelSpace,
    own_loss: OwnLoss,
    *,
    encode: Encoder | None = None,
    head: Head | None = None,
    form: Form = SOFTMAX,
    decode: str = "expectation",
    transfer: Transfer = Transfer(),  # noqa: B008  (immutable)
    needs: tuple[str, ...] = (),
) -> Method:
    """Makes a method whose outputs stand for a distribution.

    Args:
      name: the method's name, for tables and messages.
      space: the label space.
      own_loss, encode, head, form: the method's own parts, as in `Definition`.
      decode: "expectation", "median" or "mode" of the distribution, or, of ordinal heads,
        "rank_count".
      transfer: how later generations learn.
      needs: what a batch must have beside labels and sigma.

    Raises: ValueError if a hyper-parameter is out of range.
    """
    alpha, temperature, scaled = transfer.checked()
    contract.check_choice("decode", decode, form.decoders)
    scale = temperature**2 if scaled else 1.0

    def loss(outputs: Outputs, batch: Batch, knowledge: Knowledge | None = None) -> jax.Array:
        untaught = own_loss(outputs, batch)
        if knowledge is None:
            return untaught
        taught = scale * form.cross_entropy(outputs, knowledge.probs, temperature)
        return alpha * taught + (1 - alpha) * untaught

    def predict(outputs: Outputs) -> Prediction:
        probs = form.probs(outputs, 1.0)
        if decode == "rank_count" and form.rank_probs is not None:
            return Prediction(decoders.rank_count(form.rank_probs(outputs), space), probs)
        return Prediction(DECODERS[decode](probs, space), probs)

    def teach(outputs: Outputs, batch: Batch) -> Knowledge:
        slack = normalised_error(predict(outputs).value, batch["labels"], space)
        return Knowledge(form.probs(outputs, temperature), slack)

    head = dense(logits=space.size) if head is None else head
    encode = one_hot_encoder(space) if encode is None else encode
    return Method(name, space, head, encode, loss, predict, teach, needs=needs)


def _targeted(definition: Definition, values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the arguments of `distribution_method` for a definition and its given target."""
    fields = definition._asdict()
    loss, ranked = fields.pop("given"), fields.pop("ranked")
    settings = Given(*(values.get(key, x) for key, x in Given._field_defaults.items())).checked()
    if settings.target == OWN:
        return fields
    assert loss is not None, "completed(given=True) is of definitions that have it"
    encode = settings.encoder(values["space"], values.get("sigma"))

    def own_loss(outputs: Outputs, batch: Batch) -> jax.Array:
        return loss(outputs, batch, encode(*(batch[key] for key in ("labels", "sigma", *needs))))

    def encode_ranks(*columns: jax.Array) -> jax.Array:
        return encodings.ranks_from_distribution(encode(*columns))

    needs = settings.needs
    return fields | {
        "loss": own_loss,
        "encode": encode_ranks if ranked else encode,
        "needs": needs,
    }


def of_logits(
    loss: Callable[..., jax.Array], *settings: object, output: str = "logits"
) -> Definition:
    """Defines a method by `loss(outputs[output], labels, *settings) -> [B]`."""
    return Definition(lambda outputs, batch: loss(outputs[output], batch["labels"], *settings))


def cross_entropy_to(outputs: Outputs, batch: Batch, target: jax.Array) -> jax.Array:
    """Returns the cross-entropy [B] from a given target, for `Definition.given`."""
    return losses.cross_entropy(outputs["logits"], target)


def of_target(
    loss: Callable[..., jax.Array], encode: Encoder, *settings: object, output: str = "logits"
) -> Definition:
    """Defines a method by `loss(outputs[output], target, *settings) -> [B]` and its target."""

    def own_loss(outputs: Outputs, batch: Batch) -> jax.Array:
        return loss(outputs[output], encode(batch["labels"], batch["sigma"]), *settings)

    def to_given(outputs: Outputs, batch: Batch, target: jax.Array) -> jax.Array:
        return loss(outputs[output], target, *settings)

    return Definition(own_loss, encode, given=to_given)


def from_loss(
    loss: Callable[[jax.Array, jax.Array], jax.Array],
    space: LabelSpace,
    *,
    name: str = "own",
    decode: str = "expectation",
    alpha: float = 0.5,
    temperature: float = 2.0,
) -> Method:
    """Makes a method of a loss on the logits of one dense layer.

    Args:
      loss: `loss(logits [B, K], labels [B]) -> [B]`, labels in the space's unit; not reduced.
      space: the label space.
      name: the method's name, for tables and messages.
      decode: "expectation", "median" or "mode".
      alpha: the weight of the teacher in a later generation's loss (CEN Eq. 7).
      temperature: of both distributions in that.

    Raises: ValueError if a hyper-parameter is out of range.

    Examples:
      >>> space = LabelSpace.range(20, 24)
      >>> method = methods.from_loss(lambda x, labels: losses.crps(x, labels, space), space)
      >>> method.predict({"logits": jnp.zeros((1, 5))}).value.item()
      22.0
    """
    transfer = Transfer(alpha, temperature)
    return distribution_method(name, space, of_logits(loss).loss, decode=decode, transfer=transfer)
