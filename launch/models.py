"""Prints a table of all networks: parameters, size on disk, multiply-adds, memory, features.

python -m launch.models
python -m launch.models --model=ssrnet --size=96
python -m launch.models --model=package.module:factory
"""

import inspect
from collections.abc import Mapping, Sequence

import jax
from absl import flags

from ldl_jax import factories, heads, models
from ldl_jax.labels import AGE
from ldl_jax.models import cost, own
from ldl_jax.models.functional import ModelState, Params
from ldl_jax.run.command import fail, only_flags, quiet, start

_MODEL = flags.DEFINE_string(
    "model", None, "one network, e.g. ssrnet, or your own, package.module:factory; default all"
)
_SIZE = flags.DEFINE_integer(
    "size", None, "the pictures' side; by default the paper's", lower_bound=1
)
_MEMORY = flags.DEFINE_boolean("memory", True, "compile each network for its memory")
_COLUMNS = (
    *("network", "source", "pictures", "parameters", "statistics"),
    *("MB", "MACs (M)", "memory (MB)", "features"),
)


def main(arguments: Sequence[str]) -> None:
    """Prints the table; ends the process with 1 where a flag is wrong."""
    quiet()
    only_flags(arguments)
    names = list(models.MODELS) if _MODEL.value is None else [_MODEL.value]
    try:
        print("\n".join(table(names, _SIZE.value, memory=_MEMORY.value)))
    except ValueError as error:
        fail(str(error))


def table(names: Sequence[str], size: int | None = None, *, memory: bool = True) -> list[str]:
    """Returns a markdown table with a row for each network, and a note on its columns."""
    rule = ["---", "---", *["---:"] * (len(_COLUMNS) - 2)]
    rows = [_row(name, size, memory) for name in names]
    return [
        *map(_line, [_COLUMNS, rule, *rows]),
        "",
        f"Each with its usual head for the ages {AGE.low:g} to {AGE.high:g} (K = {AGE.size}). "
        "Statistics are the batch normalisations'; MB are the float32 arrays, both together. MACs "
        "are the multiply-adds of one picture, in XLA's own convolutions. Memory is the arrays and "
        f"what XLA sets aside to infer one picture on this device ({jax.default_backend()}). A "
        "network of your own is model.name=package.module:factory, and has a row here by "
        "--model=package.module:factory; docs/own_network.md says how it is written.",
    ]


def usual_head(name: str, stages: Sequence[int] = ()) -> heads.Head:
    """Returns the head that a network's own paper gives it, for ages; `stages` are SSR-Net's."""
    if name == "ssrnet":
        return heads.stagewise(stages)
    if name == "orcnn":
        return heads.dense(rank_logits=AGE.size - 1)
    if name in ("mobilenet", "densenet"):
        return heads.dense(score=None)
    if name in ("resnet10", "resnet18", "resnet10_tiny", "resnet18_tiny"):
        return heads.dense(logits=AGE.size, score=None)
    return heads.dense(logits=AGE.size)


def _row(name: str, size: int | None, memory: bool) -> list[str]:
    options = models.known_options(name)
    sized = {"size": size} if "size" in options and size is not None else {}
    model = models.build(name, **sized)
    side = size or model.size
    if factories.is_own(name):
        models.check(model, side)
    head = usual_head(name, options.get("stages", ()))
    key = jax.random.key(0)
    backbone, model_state = jax.eval_shape(model.init, key)
    head_params = jax.eval_shape(lambda key: head.init(key, model.width), key)
    params = {"backbone": backbone, "head": head_params}

    def infer(
        params: Params, model_state: ModelState, images: jax.Array
    ) -> Mapping[str, jax.Array]:
        features, _ = model.apply(params["backbone"], model_state, images, train=False)
        return head.apply(params["head"], features)

    costs = cost.measure(infer, params, model_state, side, activations=memory)
    total = "" if costs.activations is None else f"{(costs.size + costs.activations) / 1e6:.1f}"
    features = model.width if isinstance(model.width, int) else sum(model.width.values())
    source = _source(name)
    numbers = [f"{costs.parameters:,}", f"{costs.statistics:,}", f"{costs.size / 1e6:.2f}"]
    numbers += [f"{costs.multiply_adds / 1e6:,.1f}", total, f"{features:,}"]
    return [name, source, f"{side}x{side}", *numbers]


def _source(name: str) -> str:
    """Returns the first line of what a network's factory says of itself."""
    if factories.is_own(name):
        factory: object = own.factory(name)
    else:
        factory = models.MODELS[name]
    return (inspect.getdoc(factory) or "").partition("\n")[0]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def cli() -> None:
    """Runs the command, for `python -m launch.models` and for `ldl-models`."""
    start(main)


if __name__ == "__main__":
    cli()
