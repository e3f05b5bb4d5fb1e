"""Times every loss with its gradient beside PyTorch: the table of docs/losses.md.

    python -m benchmarks.losses [--batch 4096] [--classes 101] [--repeats 15] [--no-torch]

A call computes the mean of a loss over the batch and its gradient to the network's outputs (logits,
scores), in float32 on the CPU. The library's calls are jitted, PyTorch's are eager. Both must give
the same numbers before they are timed. They are measured in turns, and each call is waited for; a
ratio is the median over the turns.
"""

import importlib.metadata
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType

import jax
import numpy as np

from benchmarks import printing, timing
from ldl_jax import encodings, losses
from ldl_jax.labels import LabelSpace

# A loss's mean over the batch, and its gradients by output.
Result = tuple[jax.Array, Mapping[str, jax.Array]]
# The losses by their arguments, which are names of `draw`, and the space.
LOSSES = {
    "logits labels space": """
        crps dex expectation_huber expectation_l1 expectation_l2 mean_residue mean_variance sord
        slace unimodal_concentrated weighted_kappa
    """,
    "logits rank_logits labels space": "megaage",
    "logits score labels space": "cen_initial",
    "logits score labels space teacher_probs slack": "cen_evolution",
    "logits target": """
        cdw_ce cross_entropy focal jensen_shannon kl_divergence reverse_kl_divergence squared_emd
    """,
    "logits target counts": "balanced_softmax",
    "logits target labels space": "dldl_v2",
    "logits target space": "emd",
    "rank_logits labels space": "corn",
    "thresholds target": "cumulative_link",
    "rank_logits ranks": "conditional_cross_entropy coral ordinal_cross_entropy",
    "score normalised slack": "slack_l1",
    "value labels widths": "gaussian_nll",
    "value labels": "huber l1 l2 smooth_l1",
}
ARGUMENTS = dict(sorted((name, key) for key, names in LOSSES.items() for name in names.split()))
# The peers that are compared as they compute in float64: in float32 the logarithm of a difference
# of logistic functions loses digits. With K = 101 its gradients were off by up to 0.0056, ours by
# 1.4e-6.
DOUBLE = ("cumulative_link",)
# The relative difference that is allowed where a peer computes something else: 1e-9 more within the
# logarithm, where the probability itself is small.
LOSSY = {"slace": 1e-2}
# The arguments that are a network's outputs: gradients are taken with respect to them.
OUTPUTS = ("logits", "rank_logits", "score", "thresholds", "value")


def draw(batch: int, space: LabelSpace, seed: int = 0) -> dict[str, np.ndarray]:
    """Draws outputs, labels and targets of a batch, float32; labels are values of the space."""
    rng = np.random.default_rng(seed)
    K = space.size
    labels = rng.choice(space.values, batch).astype(np.float32)
    drawn = {
        "logits": 2 * rng.normal(size=(batch, K)),
        "rank_logits": 2 * rng.normal(size=(batch, K - 1)),
        "score": rng.normal(0.5, 0.3, batch),
        "value": labels + rng.normal(0, 5, batch),
        "labels": labels,
        "normalised": encodings.normalised(labels, space),
        "target": encodings.gaussian(labels, space),
        "ranks": encodings.rank(labels, space),
        "teacher_probs": encodings.gaussian(labels, space, 5.0),
        "slack": rng.uniform(0, 0.2, batch),
        "counts": rng.integers(1, 1000, K),
        "thresholds": rng.normal(size=(batch, 1)) + np.linspace(3, -3, K - 1),
        "widths": rng.uniform(1, 5, batch),
    }
    return {name: np.array(value, np.float32) for name, value in drawn.items()}


def ours(name: str, drawn: Mapping[str, np.ndarray], space: LabelSpace) -> Callable[[], Result]:
    """Returns a call of the library's loss: its mean over the batch, and its gradients."""
    arguments = ARGUMENTS[name].split()
    known = {key: jax.numpy.asarray(drawn[key]) for key in arguments if key != "space"}
    outputs = {key: known.pop(key) for key in arguments if key in OUTPUTS}

    def mean(outputs: dict[str, jax.Array], known: dict[str, jax.Array]) -> jax.Array:
        values = {**outputs, **known, "space": space}
        return jax.numpy.mean(getattr(losses, name)(*[values[key] for key in arguments]))

    both = jax.jit(jax.value_and_grad(mean))
    return lambda: jax.block_until_ready(both(outputs, known))


def verify(name: str, library: Result, peer: Result, batch: int) -> None:
    """Checks that both sides have the same value and the same gradients of one example.

    Raises:
      AssertionError: they differ.
    """
    np.testing.assert_allclose(library[0], peer[0], rtol=2e-5, err_msg=name)
    rtol = LOSSY.get(name, 1e-4)
    assert library[1].keys() == peer[1].keys(), name
    for key, gradient in library[1].items():
        expected = batch * np.asarray(peer[1][key])
        atol = rtol / 10 * max(1.0, float(np.abs(expected).max()))
        np.testing.assert_allclose(batch * np.asarray(gradient), expected, rtol, atol, err_msg=name)


def row(
    name: str, batch: int, space: LabelSpace, torch_side: ModuleType | None, repeats: int
) -> str:
    """Times a loss on both sides and returns its row of the table."""
    drawn = draw(batch, space)
    calls = {"library": ours(name, drawn, space)}
    if torch_side is not None:
        wrt = [key for key in ARGUMENTS[name].split() if key in OUTPUTS]
        calls["torch"] = torch_side.call(name, drawn, space.values, wrt)
        exact = {key: x.astype(np.float64) for key, x in drawn.items()}
        peer = torch_side.call(name, exact if name in DOUBLE else drawn, space.values, wrt)
        verify(name, calls["library"](), peer(), batch)
    times = timing.in_turns({key: timing.repeated(call) for key, call in calls.items()}, repeats)
    milliseconds = [f"{1e3 * timed.median:.3g}" for timed in times.values()]
    beside = ["-", "-", "-"]
    if torch_side is not None:
        ratio = times["torch"].over(times["library"])
        beside = [f"{ratio:.2f}", torch_side.peer(name)]
    return printing.line([name, *milliseconds, *beside])


def _import_torch() -> tuple[ModuleType | None, str]:
    """Imports PyTorch's side and tells its versions; None if a package of `peers` is missing."""
    try:
        from benchmarks import torch_losses
    except ImportError as error:
        return None, f"{error.name} not installed, no comparison"
    return torch_losses, _versions(torch_losses.PACKAGES)


def _others_seconds() -> float:
    """Returns the CPU seconds that other processes have used; NaN where /proc does not tell."""
    stat = Path("/proc/stat")
    if not stat.exists():
        return math.nan
    ticks = [int(field) for field in stat.read_text().split()[1:9]]
    busy = sum(ticks) - ticks[3] - ticks[4]  # all but idle and waiting for disks
    process = os.times()
    return busy / os.sysconf("SC_CLK_TCK") - process.user - process.system


def _versions(packages: Sequence[str]) -> str:
    return ", ".join(f"{name} {importlib.metadata.version(name)}" for name in packages)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, a row as soon as it is measured."""
    parser = printing.parser("losses", __doc__)
    parser.add_argument("--batch", type=int, default=4096, help="examples")
    parser.add_argument("--classes", type=int, default=101, help="K, label values")
    parser.add_argument("--repeats", type=int, default=15, help="values that a median is taken of")
    parser.add_argument("--no-torch", action="store_true", help="leave PyTorch out")
    parser.add_argument("--losses", nargs="+", choices=ARGUMENTS, help="all by default")
    options = parser.parse_args(arguments)
    jax.config.update("jax_platforms", "cpu")
    space = LabelSpace.range(0, options.classes - 1)
    torch_side, word = (None, "PyTorch left out") if options.no_torch else _import_torch()
    print(f"{printing.device()}; {_versions(['jax'])}, {word};")
    print(f"batch {options.batch}, K = {options.classes}, float32.\n")
    print(printing.head("loss|ldl_jax ms:|PyTorch ms:|PyTorch / ldl_jax:|peer"), flush=True)
    start, others = time.perf_counter(), _others_seconds()
    for name in options.losses or ARGUMENTS:
        print(row(name, options.batch, space, torch_side, options.repeats), flush=True)
    cores = (_others_seconds() - others) / (time.perf_counter() - start)
    print(f"\nMeanwhile other processes kept {cores:.2f} cores busy.")


if __name__ == "__main__":
    main()
