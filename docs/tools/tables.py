"""The tables that are made of the code and of the benchmarks' results."""

import functools
import inspect
import json
import re
import statistics
from collections.abc import Callable, Mapping
from pathlib import Path

import jax
import jax.numpy as jnp

from docs.tools.api import anchor
from ldl_jax import models
from ldl_jax.data.datasets.catalogue import DATASETS
from ldl_jax.labels import AGE, LabelSpace
from ldl_jax.methods import METHODS, get, hyper_parameters, takes_counts

ROOT = Path(__file__).parents[2]
FEATURES = 256  # of the network whose head is counted
_ROW = re.compile(r"^### `(\w+)`.*$", re.MULTILINE)


def methods(markdown: str) -> str:
    """Adds the table of methods to the page that chooses between them."""
    benchmarks = results()
    heads = [f"MAE, {title}" for title in benchmarks]
    lines = [
        "## All methods",
        "",
        "| method | what it is | outputs | takes | loss, FLOPs a picture | "
        + " | ".join(heads)
        + " |",
        "| --- | --- | ---: | --- | ---: |" + " ---: |" * len(heads),
    ]
    for name, factory in METHODS.items():
        summary = (inspect.getdoc(factory) or "").splitlines()[0].rstrip(".").replace("|", "\\|")
        outputs, flops = costs(name, AGE)
        scores = [rows.get(name, "not computed yet") for rows in benchmarks.values()]
        cells = [f"[`{name}`](api/methods.md#{anchor(f'methods.{name}')})", summary, f"{outputs:,}"]
        cells += [needs(name), f"{flops:,.0f}", *scores]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        "Beside labels a method may take each label's standard deviation (σ, or a constant one), "
        "people's votes ([votes](votes.md)), and how often each label occurs in training. "
        f"Outputs are the numbers that the head gives for a picture, over the ages {AGE.low:g} to "
        f"{AGE.high:g} (K = {AGE.size}). The FLOPs are those that XLA counts for the loss and its "
        "gradient to the outputs before it compiles. MAE, in the labels' unit, is of heads on "
        "a frozen face network: mean ± standard deviation over the seeds "
        "([results](results/README.md)).",
    ]
    return markdown.rstrip() + "\n\n" + "\n".join(lines) + "\n"


def needs(name: str) -> str:
    """Returns what a method takes beside a label: σ, votes, the training labels' counts."""
    settings = hyper_parameters(name)
    parts = []
    if "sigma" in settings:
        parts.append("σ")
    if takes_counts(name):
        parts.append("label counts")
    if "target" in settings:
        parts.append("votes")
    return ", ".join(parts)


@functools.cache
def costs(name: str, space: LabelSpace) -> tuple[int, float]:
    """Returns how many outputs a method's head has, and the FLOPs of its loss and gradient."""
    counts = jnp.ones(space.size) if takes_counts(name) else None
    method = get(name, space=space, counts=counts)
    batch_size = 64
    width: int | Mapping[str, int] = FEATURES
    features = jax.ShapeDtypeStruct((batch_size, FEATURES), jnp.float32)
    inputs: object = features
    if name == "ssr":
        inputs, width = _stages()
    params = jax.eval_shape(lambda key: method.head.init(key, width), jax.random.key(0))
    outputs = jax.eval_shape(method.head.apply, params, inputs)
    batch = {
        "labels": jnp.full(batch_size, 30.0),
        "sigma": jnp.full(batch_size, 2.0),
    }

    def loss(outputs: Mapping[str, jax.Array]) -> jax.Array:
        return method.loss(outputs, batch).mean()

    lowered = jax.jit(jax.grad(loss)).lower(outputs)
    analysis = lowered.cost_analysis()
    total = sum(leaf.size for leaf in jax.tree.leaves(outputs))
    return total // batch_size, float(analysis["flops"]) / batch_size


def _stages() -> tuple[object, Mapping[str, int]]:
    model = models.build("ssrnet")
    params, state = jax.eval_shape(model.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((64, model.size, model.size, 3), jnp.float32)

    def features(params: object, state: object, images: jax.Array) -> object:
        return model.apply(params, state, images, train=False)[0]

    assert isinstance(model.width, Mapping)
    return jax.eval_shape(features, params, state, images), model.width


def results() -> dict[str, dict[str, str]]:
    """Returns each benchmark's MAE by method, of its part on frozen features."""
    benchmarks = {}
    for path in sorted((ROOT / "docs/results").glob("*.json")):
        page = json.loads(path.read_text())
        part = page.get("parts", {}).get("frozen")
        if not part:
            continue
        rows = {}
        for row in part["rows"]:
            values = row["metrics"]["mae"]
            spread = f" ± {statistics.stdev(values):.3f}" if len(values) > 1 else ""
            rows[row["row"]] = f"{statistics.fmean(values):.3f}{spread}"
        if rows.keys() & METHODS.keys():  # a page of one method's ways has none of them
            benchmarks[page["title"]] = rows
    return benchmarks


def datasets(markdown: str) -> str:
    """Adds to each dataset's section what the catalogue states: paper, licence, where to ask."""

    def stated(match: re.Match[str]) -> str:
        dataset = DATASETS.get(match[1])
        if dataset is None:
            return match[0]
        address = re.sub(r"(https?://\S+)", r"<\1>", dataset.where)
        pictures = " or ".join(f"{count:,}" for count in dataset.pictures)
        facts = {
            "Paper": dataset.paper,
            "Licence": dataset.licence,
            "Where to ask": address,
            "Pictures": pictures,
        }
        lines = [f"- {key}: {value}" for key, value in facts.items() if value]
        return "\n".join([match[0], "", *lines])

    return _ROW.sub(stated, markdown)


ADDED: Mapping[str, Callable[[str], str]] = {"choosing.md": methods, "ethics.md": datasets}
