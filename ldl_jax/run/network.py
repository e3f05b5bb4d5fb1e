"""The network that `init.path` names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax

from ldl_jax import models
from ldl_jax.heads import Head
from ldl_jax.methods import deep
from ldl_jax.run.config import Config, ConfigError, to_dict
from ldl_jax.run.data import LogLine
from ldl_jax.run.resolved import Resolved
from ldl_jax.run.sections import RANDOM
from ldl_jax.train import transfer


def pretrained_backbone(
    config: Config,
    model: models.Model,
    log: LogLine,
    stages: Path | None = None,
    head: Head | None = None,
) -> transfer.Backbone:
    """Returns the network that init.path holds, with that head; `log` takes lines on misfits.

    Raises:
      ConfigError: there is none that can be read, it is another network, or does not fit.
    """
    path = config.init.path
    if config.init.stage:
        if stages is None:
            raise ConfigError(f"init.path: {path} is of a run with stages; give its workdir")
        path = str(stages / config.init.stage)
    key = jax.random.key(config.seed)
    if path == RANDOM:
        return transfer.Backbone(*model.init(jax.random.key(0)), inputs={})
    try:
        backbone = transfer.read_backbone(path, model, key, strict=config.init.strict, head=head)
    except ValueError as error:
        text = str(error).removeprefix("path: ")  # which may list every array of a network
        text = text if len(text) < 600 else f"{text[:600]} ... and more"
        raise ConfigError(f"init.path: {text}") from error
    for note in backbone.notes:
        log(f"init.path: not taken: {note}")
    if backbone.head is not None and not config.model.standardise:
        try:
            return backbone._replace(head=deep.folded(backbone.head))
        except ValueError as error:
            raise ConfigError(
                f"init.head: the head of {path} {error}; give model.standardise=true with "
                "init.features=true, or leave init.head off"
            ) from None
    return backbone


def same(known: Mapping[str, Any], resolved: Resolved) -> bool:
    """Returns whether a run of another description has read the network that this one would."""
    config = resolved.config
    return bool(
        config.init.strict
        and not config.init.head  # which depends on the method
        and not config.init.stage
        and known["init"] == to_dict(config)["init"]
        and known["model"] == to_dict(config)["model"]
        and known["data"]["size"] == config.data.size
    )
