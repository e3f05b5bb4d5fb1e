"""Methods bundle, as pure functions, how a label is encoded, learnt, decoded and taught on.

A method is a value: `get("cen", space=AGE, lam=2.0)` makes one, and so does any function
`factory(space, **hyper_parameters) -> Method`, which a config names as "package.module:factory".

- `contract` says what a method is, and `check` checks a user's own; `registry` makes one by name.
- `distribution`, `moments`, `ordinal` and `classes` have the methods that learn a distribution.
  Each defines what is its own; `transfer` adds the settings they share: `decode`, `alpha`,
  `temperature` and `scale_by_temperature_squared`, and `given` the targets that most of them take
  in the place of their own, as people's votes. `forms` reads a distribution from a head's
  outputs. A setting whose name a method uses itself is called `transfer_NAME` there: `sord` has
  its own `alpha`, and `transfer_alpha` for the teacher's weight.
- `regression` and `ssr` have the methods that learn a value; `cen` learns both.
- `targets` has the `encode` functions of all of them.
"""

from ldl_jax.methods import classes, distribution, moments, ordinal, regression
from ldl_jax.methods.cen import cen
from ldl_jax.methods.check import answers, check
from ldl_jax.methods.classes import *  # noqa: F403  (the families' modules list their methods)
from ldl_jax.methods.contract import Batch, Knowledge, Method, Prediction
from ldl_jax.methods.distribution import *  # noqa: F403
from ldl_jax.methods.forms import Form
from ldl_jax.methods.moments import *  # noqa: F403
from ldl_jax.methods.ordinal import *  # noqa: F403
from ldl_jax.methods.registry import METHODS, RENAMED, get, hyper_parameters, takes_counts
from ldl_jax.methods.regression import *  # noqa: F403
from ldl_jax.methods.ssr import ssr
from ldl_jax.methods.transfer import Definition, Transfer, completed, distribution_method, from_loss

__all__ = [
    "METHODS",
    "RENAMED",
    "Batch",
    "Definition",
    "Form",
    "Knowledge",
    "Method",
    "Prediction",
    "Transfer",
    "answers",
    "cen",
    "check",
    "completed",
    "distribution_method",
    "from_loss",
    "get",
    "hyper_parameters",
    "ssr",
    "takes_counts",
    *classes.__all__,
    *distribution.__all__,
    *moments.__all__,
    *ordinal.__all__,
    *regression.__all__,
]
