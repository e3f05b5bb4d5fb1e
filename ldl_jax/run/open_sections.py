"""The sections of a config whose keys are open: those of the method and of the network it names."""

import dataclasses
from collections.abc import Iterable

from ml_collections.config_dict import placeholder

from ldl_jax import factories, models
from ldl_jax.run.reading import Content, read_section
from ldl_jax.run.sections import ConfigError, MethodConfig, ModelConfig

# Options of networks that other keys of a config give.
_ELSEWHERE = {"dtype", "size"}


def unset(choices: Iterable[Content]) -> Content:
    """Returns a placeholder for every option of any of the choices."""
    options = {key: value for choice in choices for key, value in choice.items()}
    return {key: placeholder(type(x)) for key, x in options.items() if key not in _ELSEWHERE}


def method_of(content: object) -> MethodConfig:
    """Returns the section "method": a name, and the hyper-parameters that are set.

    Raises:
      ConfigError: it is no section, or has no name.
    """
    if not isinstance(content, dict) or not isinstance(content.get("name"), str):
        raise ConfigError(f"method: expected a dict with a name, got {content!r}")
    hyper_parameters = {k: v for k, v in content.items() if k != "name" and v is not None}
    return MethodConfig(content["name"], hyper_parameters)


def model_of(content: object) -> ModelConfig:
    """Returns the section "model": its own keys, and the options of the network it names.

    Raises:
      ConfigError: it is no section, or a key or its value is not the section's.
    """
    if not isinstance(content, dict):
        raise ConfigError(f"model: expected a section, got {content!r}")
    name, hidden = content.get("name", ModelConfig().name), content.get("hidden")
    is_own = factories.is_own(str(name))
    every = {key for known in models.MODELS for key in models.known_options(known)} - _ELSEWHERE
    if is_own:  # its factory says which options it has
        every = {"hidden", *content} - (vars(ModelConfig()).keys() - {"hidden"})
    if not isinstance(hidden, int) or isinstance(hidden, bool):
        every -= {"hidden"}
    elif not is_own and "hidden" not in models.known_options(name):
        raise ConfigError(f"model.hidden: expected units of layers, as ({hidden},), got {hidden}")
    options = {k: v for k, v in content.items() if k in every and v is not None}
    rest = {k: v for k, v in content.items() if k not in every}
    return dataclasses.replace(read_section(ModelConfig, rest, "model."), options=options)
