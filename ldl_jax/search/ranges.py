"""The ranges of a search, as a config gives them."""

import dataclasses
import math

FORMS = (
    "('uniform', low, high), ('log', low, high), ('int', low, high), ('int_log', low, high) or "
    "('choice', a, b, ...)"
)
_NUMBERS = ("uniform", "log")
_INTEGERS = ("int", "int_log")


@dataclasses.dataclass(frozen=True)
class Range:
    """The values that a search may give to a key.

    Attributes:
      kind: "uniform", "log", "int", "int_log" or "choice".
      low: the least number, without which there are choices.
      high: the greatest one.
      choices: of "choice", any values.
    """

    kind: str
    low: float = 0.0
    high: float = 0.0
    choices: tuple[object, ...] = ()

    @property
    def ends(self) -> tuple[object, ...]:
        """The values that a check tries: both ends, or all choices."""
        return self.choices or (self.low, self.high)


def parse(key: str, given: object) -> Range:
    """Returns the range that a config gives to a key.

    Raises:
      ValueError: it is none; the message names the key, what came and the forms.

    Examples:
      >>> parse("method.lam", ("log", 0.01, 1))
      Range(kind='log', low=0.01, high=1.0, choices=())
      >>> parse("optimizer.name", ("choice", "sgd", "adam")).ends
      ('sgd', 'adam')
    """
    wrong = ValueError(f"search.ranges: {key}: expected {FORMS}, got {given!r}")
    if not isinstance(given, tuple | list) or not given:
        raise wrong
    kind, *values = given
    if kind == "choice":
        texts = [repr(value) for value in values]
        if len(values) < 2 or len({*texts}) < len(texts):
            raise ValueError(
                f"search.ranges: {key}: expected two different choices or more, got {given!r}"
            )
        return Range("choice", choices=tuple(values))
    if kind not in (*_NUMBERS, *_INTEGERS) or len(values) != 2:
        raise wrong
    wanted = int if kind in _INTEGERS else int | float
    for value in values:
        if isinstance(value, bool) or not isinstance(value, wanted):
            raise wrong
        if not math.isfinite(value):
            raise wrong
    low, high = values
    if not low < high:
        raise ValueError(f"search.ranges: {key}: expected low < high, got {given!r}")
    if "log" in kind and low <= 0:
        raise ValueError(f"search.ranges: {key}: expected low > 0 on a log scale, got {given!r}")
    if kind in _NUMBERS:
        low, high = float(low), float(high)
    return Range(kind, low, high)
