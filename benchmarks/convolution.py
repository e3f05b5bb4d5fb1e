"""Compares the forms of `ldl_jax.models.convolution` with XLA's own, forward and gradient.

    python -m benchmarks.convolution [--batch 128] [--repeats 9] [--no-network]

All forms are measured in turns (A B B A). A ratio says how many times as fast the form is; it is
the median over the turns. The gradient of a stem is that of its kernel, since pictures need none;
all other gradients are of the input and the kernel. The first table has a form in each case, and
says which form the library takes there with this version of jax (`ldl_jax.models.forms`). The
second has the whole of ResNet10-Tiny with the forms as they are taken, with one of them less, and
with none.
"""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp
from flax import linen

from benchmarks import printing, timing
from ldl_jax import models
from ldl_jax.models import convolution, forms, resnet
from ldl_jax.models.functional import ModelState, Params

Function = Callable[..., jax.Array]


class Case(NamedTuple):
    """An operation of a network, in two forms."""

    name: str
    form: Function  # `form(x, *kernel) -> y`, as used on CPUs
    xla: Function  # the same by XLA's own operations
    shapes: tuple[tuple[int, ...], ...]  # those of x, and of the kernel where there is one
    wrt: tuple[int, ...]  # the indices of the arguments that training differentiates by
    taken: str  # the name of the form that the library takes there
    tried: str = "space_to_depth"  # the name of this form


def xla_max_pool(x: jax.Array, size: int, stride: int, padding: int) -> jax.Array:
    """Pools by Flax's max pooling, whose gradient is XLA's select-and-scatter."""
    return linen.max_pool(
        x, window_shape=(size, size), strides=(stride, stride), padding=((padding, padding),) * 2
    )


def cases(batch: int) -> list[Case]:
    """Returns the cases: batches at 64x64, an eighth at 224x224."""
    large = max(1, batch // 8)
    patches, dense = convolution.patches, convolution.dense
    return [
        _stem(batch, 64, 32),
        _stem(large, 224, 32),
        _stem(batch, 64, 64),
        _convolution(patches, batch, 31, 32, 10, 1, 1),
        _convolution(patches, batch, 16, 32, 64, 1, 2),
        _convolution(patches, large, 56, 32, 64, 1, 2),
        _convolution(patches, batch, 16, 32, 64, 3, 2),
        _convolution(patches, batch, 8, 64, 128, 3, 2),
        _convolution(patches, batch, 4, 128, 256, 3, 2),
        _convolution(patches, batch, 4, 128, 128, 3, 1),
        _convolution(patches, batch, 2, 256, 256, 3, 1),
        _convolution(dense, batch, 2, 256, 256, 3, 1),
        _convolution(patches, batch, 1, 256, 256, 3, 1),
        _convolution(dense, batch, 1, 256, 256, 3, 1),
        _in_cells(batch, 64, 32),
        _pool(batch, 32, 32, 3, 2),
        _pool(large, 112, 32, 3, 2),
        _pool(batch, 31, 10, 8, 8),
    ]


def _stem(batch: int, side: int, width: int) -> Case:
    shapes = ((batch, side, side, 3), (7, 7, 3, width))
    return Case(
        f"stem 7x7 /2, 3 to {width}, {batch} of {side}x{side}",
        convolution.space_to_depth,
        lambda x, kernel: convolution.direct(x, kernel, 2, 3),
        shapes,
        (1,),
        forms.form_of(*shapes, 2, 3),
    )


def _convolution(
    form: Callable[..., jax.Array],
    batch: int,
    side: int,
    inputs: int,
    outputs: int,
    size: int,
    stride: int,
) -> Case:
    by = " /2" if stride == 2 else ""
    shapes = ((batch, side, side, inputs), (size, size, inputs, outputs))
    return Case(
        f"{size}x{size}{by}, {inputs} to {outputs}, {batch} of {side}x{side}",
        lambda x, kernel: form(x, kernel, stride, size // 2),
        lambda x, kernel: convolution.direct(x, kernel, stride, size // 2),
        shapes,
        (0, 1),
        forms.form_of(*shapes, stride, size // 2),
        form.__name__,
    )


def _in_cells(batch: int, side: int, width: int) -> Case:
    return Case(
        f"3x3, 3 to {width}, mean of 2x2, {batch} of {side}x{side}",
        lambda x, kernel: convolution.in_cells(x, kernel, 0).mean(axis=3),
        lambda x, kernel: convolution.average_pool(convolution.direct(x, kernel, 1, 0), 2),
        ((batch, side, side, 3), (3, 3, 3, width)),
        (1,),
        "in_cells",
        "in_cells",
    )


def _pool(batch: int, side: int, width: int, size: int, stride: int) -> Case:
    padding = size // 2 if size > stride else 0
    return Case(
        f"ReLU, max-pool {size}x{size} /{stride}, {width}, {batch} of {side}x{side}",
        lambda x: convolution.max_pool(jax.nn.relu(x), size, stride, padding),
        lambda x: xla_max_pool(jax.nn.relu(x), size, stride, padding),
        ((batch, side, side, width),),
        (0,),
        "max_pool",
        "max_pool",
    )


def measure(case: Case, repeats: int) -> str:
    """Times both forms of a case and returns its row of the table."""
    keys = jax.random.split(jax.random.key(0), len(case.shapes) + 1)
    arrays = [jax.random.normal(k, s) for k, s in zip(keys[1:], case.shapes, strict=True)]
    # The gradient that arrives from the layers above is drawn, too.
    cotangent = jax.random.normal(keys[0], jax.eval_shape(case.xla, *arrays).shape)

    def gradient(form: Function) -> Function:
        return jax.grad(lambda *a: jnp.vdot(form(*a), cotangent), case.wrt)

    both = {"xla": case.xla, "form": case.form}
    both |= {f"{name} gradient": gradient(form) for name, form in both.items()}
    runs = {name: timing.repeated(jax.jit(form), *arrays) for name, form in both.items()}
    times = timing.in_turns(runs, repeats)
    cells = [case.name, case.tried, case.taken]
    for kind in ("", " gradient"):
        xla, form = times["xla" + kind], times["form" + kind]
        cells += [f"{1e3 * xla.median:.2f}", f"{1e3 * form.median:.2f}", f"{xla.over(form):.1f}"]
    return printing.line(cells)


# How the table does without a form.
WITHOUT: dict[str, Callable[[forms.Forms], forms.Forms]] = {
    "stem": lambda line: line._replace(stem=0),
    "1x1": lambda line: line._replace(point=False),
    "dense": lambda line: line._replace(dense=0),
    "small maps": lambda line: line._replace(dense=0, small=0),
    "kept maps": lambda line: line._replace(kept=False),
}


@contextlib.contextmanager
def without(*names: str) -> Iterator[None]:
    """Makes networks that are traced inside use XLA's own in place of forms.

    They are named as in `WITHOUT`, or "max-pool".
    """
    line = forms.at_hand()
    for name in names:
        line = WITHOUT[name](line) if name in WITHOUT else line
    with contextlib.ExitStack() as stack:
        for module in (forms, convolution):
            stack.enter_context(mock.patch.object(module, "at_hand", return_value=line))
        if "max-pool" in names:
            stack.enter_context(mock.patch.object(resnet, "max_pool", xla_max_pool))
        yield


def network(name: str, size: int, batch: int, repeats: int) -> list[str]:
    """Times a network's training gradient and inference and returns the rows of its table."""
    names = (*WITHOUT, "max-pool")
    variants = {"all forms": (), **{f"without {name}": (name,) for name in names}, "none": names}
    model = models.build(name)
    images = jax.random.normal(jax.random.key(0), (batch, size, size, 3))
    arrays = [*model.init(jax.random.key(0)), images]

    def infer(params: Params, model_state: ModelState, images: jax.Array) -> jax.Array:
        return model.apply(params, model_state, images, train=False)[0]

    def loss(params: Params, model_state: ModelState, images: jax.Array) -> jax.Array:
        return jnp.square(model.apply(params, model_state, images, train=True)[0]).mean()

    timed = []
    for function in (jax.grad(loss), infer):
        runs = {}
        for title, off in variants.items():
            with without(*off):
                # JAX caches the trace of a function, so each variant is a new function object.
                fresh = functools.partial(function)
                compiled = jax.jit(fresh).lower(*arrays).compile()
                runs[title] = timing.repeated(compiled, *arrays)
        timed.append(timing.in_turns(runs, repeats))
    lines = []
    for title in variants:
        cells = [title]
        for times in timed:
            variant = times[title]
            cells += [f"{1e3 * variant.median:.0f}", f"{variant.over(times['all forms']):.2f}"]
        lines.append(printing.line(cells))
    return lines


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables."""
    parser = printing.parser("convolution", __doc__)
    parser.add_argument("--batch", type=int, default=128, help="pictures at 64x64; 1/8 at 224x224")
    parser.add_argument("--repeats", type=int, default=9, help="values that a median is taken of")
    parser.add_argument("--no-network", action="store_true", help="leave out the whole network")
    options = parser.parse_args(arguments)
    print(f"{jax.devices()[0].device_kind}, jax {jax.__version__}, float32, milliseconds")
    columns = "case|tried|taken|XLA:|form:|ratio:|XLA, gradient:|form, gradient:|ratio:"
    print("\n" + printing.head(columns))
    for case in cases(options.batch):
        print(measure(case, options.repeats), flush=True)
    if not options.no_network:
        columns = "training gradient:|of all forms':|inference:|of all forms':"
        print("\n" + printing.head(f"resnet10_tiny, {options.batch} of 64x64|{columns}"))
        print("\n".join(network("resnet10_tiny", 64, options.batch, options.repeats)))


if __name__ == "__main__":
    main()
