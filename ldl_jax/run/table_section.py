"""The section of a config that says what a sweep's table shows."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class TableConfig:
    """The contents of a sweep's table.

    Attributes:
      columns: keys of `ldl_jax.evaluation.report.summary`, as "mae epsilon_error"; "" for all.
      generations: a row for each, or the last one's alone.
      heads: a row for each of the heads' estimates too.
    """

    columns: str = ""
    generations: bool = False
    heads: bool = False
