"""SSR-Net's method: a value from soft stages of bins, each of which refines the one before."""

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np

from ldl_jax import decoders, encodings, losses
from ldl_jax.heads import Outputs, stagewise
from ldl_jax.labels import LabelSpace
from ldl_jax.methods.contract import Batch, Method, Prediction, check_choice, check_number
from ldl_jax.methods.regression import of_value
from ldl_jax.methods.targets import of_labels


def ssr(
    space: LabelSpace,
    stages: Sequence[int] = (3, 3, 3),
    activation: Literal["relu", "softmax"] = "relu",
    offset_scale: float = 1.0,
    delta_scale: float = 1.0,
    least: float = 1e-3,
) -> Method:
    """SSR-Net: soft stagewise regression, from coarse to fine.

    L = |ŷ - y| in the label's unit, ŷ of `decoders.soft_stagewise` with V = K times the mean step.

    Args:
      space: the label space.
      stages: s_k, the number of bins of each stage.
      activation: of the bins' probabilities. "relu" is the paper's, whose probabilities need not
        sum to one; the two values next to the estimate then stand for its distribution. "softmax"
        makes each stage a distribution, and all of them together one over the labels whose mean is
        the estimate.
      offset_scale: λ_η.
      delta_scale: λ_Δ; 0 switches the dynamic range off (the paper's ablation).
      least: floor of each stage's 1 + λ_Δ Δ; 0 for the paper's form.

    Training logs `dead_bins`, how many bins are 0 for the whole batch (in the released weights all
    that move an estimate are the Δ), and `least_denominator`, the least 1 + λ_Δ Δ.

    Source: Yang et al., "SSR-Net: A Compact Soft Stagewise Regression Network for Age Estimation".
    """
    stages = tuple(stages)
    if not stages or not all(isinstance(s, int) and s > 0 for s in stages):
        raise ValueError(f"method.stages: expected numbers of bins, all above 0, got {stages}")
    if len(stages) > 16 or max(stages) > 1000:
        raise ValueError(
            f"method.stages: expected at most 16 stages of 1,000 bins, got {len(stages)} of up to "
            f"{max(stages)}"
        )
    check_choice("activation", activation, ("relu", "softmax"))
    check_number("offset_scale", offset_scale, low=0.0)
    check_number("delta_scale", delta_scale, low=0.0)
    check_number("least", least, low=0.0)
    bins = jax.nn.relu if activation == "relu" else jax.nn.softmax
    read = _Stages(space, len(stages), bins, offset_scale, delta_scale, least)

    def value(outputs: Outputs) -> jax.Array:
        return read.value(read.probs(outputs), outputs)

    def predict(outputs: Outputs) -> Prediction:
        if activation == "relu":
            estimate = value(outputs)
            return Prediction(estimate, encodings.two_hot(estimate, space))
        probs = _of_all_paths(read.probs(outputs), outputs, read.value, space)
        return Prediction(value(outputs), probs)

    def error(outputs: Outputs, batch: Batch, slack: jax.Array) -> jax.Array:
        return losses.slack_l1(value(outputs), batch["labels"], slack * (space.high - space.low))

    encode = of_labels(lambda labels: labels)
    method = of_value("ssr", space, stagewise(stages), encode, error, predict)
    return dataclasses.replace(method, watch=read.watch)


@dataclasses.dataclass(frozen=True)
class _Stages:
    """Reads a head of `count` stages; the other fields are as the arguments of `ssr`."""

    space: LabelSpace
    count: int
    bins: Callable[[jax.Array], jax.Array]
    offset_scale: float
    delta_scale: float
    least: float

    def _all(self, name: str, outputs: Outputs) -> list[jax.Array]:
        return [outputs[f"{name}{k}"] for k in range(1, self.count + 1)]

    def probs(self, outputs: Outputs) -> list[jax.Array]:
        """Returns each stage's probabilities [B, s_k]."""
        return [self.bins(x) for x in self._all("probs", outputs)]

    def value(self, probs: Sequence[jax.Array], outputs: Outputs) -> jax.Array:
        """Returns the estimate [...] of stages whose bins have these probabilities."""
        space = self.space
        return decoders.soft_stagewise(
            probs,
            [jnp.tanh(x) for x in self._all("offsets", outputs)],
            [jnp.tanh(x) for x in self._all("range", outputs)],
            (space.values[-1] - space.values[0]) * space.size / (space.size - 1),
            low=space.values[0],
            offset_scale=self.offset_scale,
            delta_scale=self.delta_scale,
            least=self.least,
        )

    def watch(self, outputs: Outputs) -> dict[str, jax.Array]:
        """Counts bins without a gradient, 0 for the whole batch; a small denominator blows up."""
        dead = [jnp.sum(jnp.all(p <= 0, axis=0), dtype=jnp.int32) for p in self.probs(outputs)]
        widths = [1 + self.delta_scale * jnp.min(jnp.tanh(x)) for x in self._all("range", outputs)]
        return {
            "dead_bins": jnp.sum(jnp.stack(dead)).astype(jnp.float32),
            "least_denominator": jnp.min(jnp.stack(widths)),
        }


def _of_all_paths(
    probs: Sequence[jax.Array],
    outputs: Outputs,
    decode: Callable[[Sequence[jax.Array], Outputs], jax.Array],
    space: LabelSpace,
) -> jax.Array:
    """Returns the distribution [B, K] of independent stages.

    Each path through the stages' bins has its probability at the value that it leads to.
    """
    paths = np.array(list(itertools.product(*(range(p.shape[-1]) for p in probs)))).T  # [stages, P]
    mass = jnp.prod(jnp.stack([p[..., path] for p, path in zip(probs, paths, strict=True)]), axis=0)

    def of_each_path(x: jax.Array) -> jax.Array:
        return jnp.broadcast_to(x[:, None], (*mass.shape, *x.shape[1:]))

    chosen = [
        jnp.broadcast_to(jax.nn.one_hot(path, p.shape[-1])[None], (*mass.shape, p.shape[-1]))
        for p, path in zip(probs, paths, strict=True)
    ]
    values = decode(chosen, {name: of_each_path(x) for name, x in outputs.items()})
    return jnp.sum(mass[..., None] * encodings.two_hot(values, space), axis=1)
