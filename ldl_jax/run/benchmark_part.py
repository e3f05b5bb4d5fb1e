"""A part of a benchmark: rows that differ in their method alone."""

import dataclasses
import difflib
from collections.abc import Mapping

from ldl_jax import factories, methods
from ldl_jax.run import sweep
from ldl_jax.run.config import Config, MethodConfig
from ldl_jax.run.reading import Content


@dataclasses.dataclass(frozen=True)
class BenchmarkPart:
    """Rows of a benchmark that differ in their method alone, as all on one network's features.

    Attributes:
      name: for `--only`.
      title: above its table.
      run: the run of every row, but for its method; its sweep is the grid to choose from.
      rows: the keys that each row sets, by its name.
      grids: the values that are chosen from for a row alone, beside the common ones.
      reference: the row that the others are compared with.
      seeds: how many runs a row has.
      generations: a line of the table for each generation, not for the last alone.
      trained: the names of the rows that are trained, by `--only` some.
    """

    name: str
    title: str
    run: Config
    rows: Mapping[str, Content]
    grids: Mapping[str, Content]
    reference: str
    seeds: int
    generations: bool
    trained: tuple[str, ...]

    def config(self, row: str) -> Config:
        """Returns the run of a row, whose sweep is what is chosen from."""
        values = {"method.name": row} if self.rows[row] == {} else self.rows[row]
        name = str(values.get("method.name", self.run.method.name))
        known = methods.hyper_parameters(name)
        hyper = {k: x for k, x in self.run.method.hyper_parameters.items() if k in known}
        changed = dataclasses.replace(self.run, method=MethodConfig(name, hyper), sweep=())
        (point,) = sweep.points(dataclasses.replace(changed, sweep=({**values, "seed": 0},)))
        common = self.run.sweep[0] if self.run.sweep else {}
        # A value of the method's own is for those methods that have it.
        others = [key for key in common if key.startswith("method.") and key[7:] not in known]
        grid = {key: x for key, x in common.items() if key not in others and key not in values}
        return dataclasses.replace(point.config, sweep=({**grid, **self.grids.get(row, {})},))


def named(row: str, values: Content) -> bool:
    """Returns whether a row names a method that there is, or sets its keys itself."""
    return bool(values) or row in methods.METHODS or factories.is_own(row)


def unknown(row: str) -> str:
    """Returns what is said of a method that there is not."""
    near = difflib.get_close_matches(row, methods.METHODS, 1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(methods.METHODS)}"
    return f"unknown method {row!r}; {hint}"
