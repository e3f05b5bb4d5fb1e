"""Factories that a user brings along, by their name "package.module:factory".

`names` tells and imports them, and `calls` calls them. Only the standard library is needed.
"""

from ldl_jax.factories.calls import NO_DEFAULT, call, parameters, said
from ldl_jax.factories.names import imported, is_own

__all__ = ["NO_DEFAULT", "call", "imported", "is_own", "parameters", "said"]
