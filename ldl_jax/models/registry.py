"""The networks by name: each is built with options that are checked first."""

from collections.abc import Callable, Mapping
from typing import Any

from ldl_jax import factories
from ldl_jax.models import compact, convnext, faceres, mobile, own, resnet, ssrnet, vgg, vit
from ldl_jax.models.functional import Model

_FACTORIES: tuple[Callable[..., Model], ...] = (
    *(resnet.resnet10, resnet.resnet18, resnet.resnet10_tiny, resnet.resnet18_tiny),
    *(resnet.resnet34, resnet.resnet50, resnet.resnet18_adience),
    *(ssrnet.ssrnet, vgg.thinagenet, vgg.tinyagenet, vgg.vgg16, vit.vit_b16),
    *(compact.orcnn, compact.mobilenet, compact.densenet),
    *(faceres.faceres, vit.farl_b16, vit.dinov2_s14, vit.dinov2_b14, vit.dinov3_s16),
    *(vit.dinov3_b16, mobile.mobilenet_v3_small, mobile.mobilenet_v3_large),
    *(mobile.efficientnet_b0, convnext.convnext_tiny),
)
MODELS = {factory.__name__: factory for factory in _FACTORIES}
DTYPES = ("float32", "bfloat16")
# No network is so large; a record of somebody else's may ask for one, which would take for ever.
_MOST, _MOST_BLOCKS = 2**16, 1000


def build(name: str, **options: object) -> Model:
    """Builds the network of that name.

    Args:
      name: one of `MODELS`, or the name of one's own factory, "package.module:factory", which is
        imported; see `ldl_jax.models.check` for what is expected of its network.
      **options: the network's own, see `known_options`. `dtype` is the type that it computes in;
        its parameters stay float32.

    Raises:
      ValueError: the name, an option or its value is unknown; the message lists the known ones.
    """
    if factories.is_own(name):
        _check_dtype(options)
        return own.build(name, options)
    known = known_options(name)
    for key in options:
        if key not in known:
            raise ValueError(
                f"model.{key}: {name!r} has no such option; it has: {', '.join(known)}"
            )
        if not _alike(options[key], known[key]):
            raise ValueError(f"model.{key}: expected one like {known[key]!r}, got {options[key]!r}")
        _check_size(key, options[key])
    _check_dtype(options)
    return MODELS[name](**options)


def _check_dtype(options: Mapping[str, object]) -> None:
    dtype = options.get("dtype", "float32")
    if dtype not in DTYPES:
        raise ValueError(f"model.dtype: expected one of {', '.join(DTYPES)}, got {dtype!r}")


def _check_size(key: str, value: object) -> None:
    """Raises ValueError where an option asks for a network beyond all bounds."""
    if isinstance(value, list | tuple):
        if len(value) > _MOST_BLOCKS:
            raise ValueError(
                f"model.{key}: expected at most {_MOST_BLOCKS} numbers, got {len(value)}"
            )
        for inner in value:
            _check_size(key, inner)
    most = _MOST_BLOCKS if key == "depth" else _MOST
    if isinstance(value, int | float) and not -most <= value <= most:
        raise ValueError(f"model.{key}: expected at most {most}, got {str(value)[:20]}")


def _alike(value: object, default: object) -> bool:
    """Returns whether an option's value has its default's type; a tuple may come as a list."""
    if isinstance(default, tuple):
        return isinstance(value, tuple | list)
    if isinstance(default, float):
        return isinstance(value, int | float) and not isinstance(value, bool)
    return type(value) is type(default)


def known_options(name: str) -> dict[str, Any]:
    """Returns the options of the network of that name, with their defaults.

    Raises:
      ValueError: the name is unknown, or one's own factory cannot be imported.
    """
    if factories.is_own(name):
        return own.options(name)
    if name not in MODELS:
        known = ", ".join((*MODELS, "or 'package.module:factory'"))
        raise ValueError(f"model.name: unknown network {name!r}; known: {known}")
    return factories.parameters(MODELS[name])
