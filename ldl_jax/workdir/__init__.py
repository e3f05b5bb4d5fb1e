"""The folder of a run."""

from ldl_jax.workdir.folder import Admit, Workdir, check, same
from ldl_jax.workdir.reading import (
    KINDS,
    Row,
    WorkdirError,
    check_links,
    differences,
    last_checkpoint,
    read_config,
    read_json,
    read_results,
    read_rows,
)

__all__ = [
    "KINDS",
    "Admit",
    "Row",
    "Workdir",
    "WorkdirError",
    "check",
    "check_links",
    "differences",
    "last_checkpoint",
    "read_config",
    "read_json",
    "read_results",
    "read_rows",
    "same",
]
