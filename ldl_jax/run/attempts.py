"""Says the faults of several checks at once."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ldl_jax import processes

P = ParamSpec("P")
T = TypeVar("T")


class Attempts:
    """Collects the ValueErrors of checks, those that read the same once, to raise all of them."""

    def __init__(self) -> None:
        self._errors: dict[str, ValueError] = {}

    def of(self, check: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T | None:
        """Returns a check's result; None after a ValueError, which is kept.

        Of several processes, which compare notes between checks, the error is raised at once.
        """
        try:
            return check(*arguments, **named)
        except ValueError as error:
            if processes.count() > 1:
                raise
            self._errors.setdefault(str(error), error)
            return None

    def __bool__(self) -> bool:
        """Returns whether some check failed."""
        return bool(self._errors)

    def end(self) -> None:
        """Raises the error of the checks, or one that says all; of their type if they share it."""
        errors = [*self._errors.values()]
        if len(errors) == 1:
            raise errors[0]
        if errors:
            kinds = {type(error) for error in errors}
            kind = kinds.pop() if len(kinds) == 1 else ValueError
            raise kind("; and ".join(self._errors))
