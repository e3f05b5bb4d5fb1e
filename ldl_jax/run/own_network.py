"""The network that a config names; one of the user's own is checked before it is used."""

import dataclasses
import functools
import hashlib
import importlib
import json
from pathlib import Path
from typing import Any

from ldl_jax import factories, models
from ldl_jax.models import own
from ldl_jax.run.config import Config


def network(config: Config) -> tuple[dict[str, Any], models.Model]:
    """Returns the options of `models.build` that a config gives, and the network.

    Raises:
      ValueError: an option is not the network's, or an own network breaks the contract.
    """
    section = config.model
    known = models.known_options(section.name)
    options = dict(section.options)
    if "size" in options:
        raise ValueError(
            f"model.size: {section.name!r} is given data.size, got {options['size']!r}"
        )
    if "size" in known:  # made for one size of pictures
        options["size"] = config.data.size
    if not factories.is_own(section.name):
        options = {"name": section.name, "dtype": section.dtype, **options}
        return options, models.build(**options)
    if "dtype" in known:
        options["dtype"] = section.dtype
    elif section.dtype != "float32":
        raise ValueError(f"model.dtype: {section.name!r} takes no dtype, got {section.dtype!r}")
    options = own.complete(section.name, options)
    model = _checked(section.name, json.dumps(options), config.data.size)
    return {"name": section.name, **options}, model


def source(name: str) -> dict[str, str]:
    """Returns the SHA-256 of an own network's file, as what depends on its code; else nothing."""
    if not factories.is_own(name):
        return {}
    module = importlib.import_module(name.partition(":")[0])
    file = Path(module.__file__ or "")
    return {"source": hashlib.sha256(file.read_bytes()).hexdigest() if file.is_file() else ""}


@functools.cache
def _checked(name: str, options: str, size: int) -> models.Model:
    """Returns an own network for pictures of a size; it is checked once for all runs of a plan."""
    model = dataclasses.replace(models.build(name, **json.loads(options)), size=size)
    models.check(model, size)
    return model
