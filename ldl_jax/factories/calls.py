"""Calls the factories that a user brings along, and says what broke where one of them fails."""

import inspect
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any

NO_DEFAULT = inspect.Parameter.empty
_SEVERAL = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)


def parameters(factory: Callable[..., object]) -> dict[str, object]:
    """Returns a factory's parameters with their defaults, NO_DEFAULT without one.

    It is empty where a callable does not tell, as some of other languages.
    """
    return {p.name: p.default for p in _signature(factory) if p.kind not in _SEVERAL}


def call(
    key: str,
    name: str,
    factory: Callable[..., object],
    given: Mapping[str, object],
    options: Mapping[str, object],
    options_key: str,
    required: Sequence[str] = (),
) -> Any:
    """Calls a factory with what the program gives it and with the user's options.

    Args:
      key: the config's key or the flag that has the factory's name, for messages.
      name: the factory's name.
      factory: what the name stands for.
      given: arguments that the program has; a factory is given those that it has a parameter for.
      options: the user's.
      options_key: what stands before an option's name in the config or the command.
      required: those of `given` that a factory must take.

    Raises:
      ValueError: the factory does not take what it must, an option is not its or is missing, or it
        raised an error of its own; all faults of the options are said at once.
    """
    known, takes_all = parameters(factory), _takes_all(factory)
    if missing := [each for each in required if each not in known and not takes_all]:
        expected, has = " and ".join(missing), ", ".join(known) or "none"
        raise ValueError(
            f"{key}: {name!r} must have a parameter named {expected}; its parameters: {has}"
        )
    user_options = [each for each in known if each not in given]
    faults = []
    for option in options:
        if option in given:
            faults.append(f"{options_key}{option}: the program gives {name!r} this itself")
        elif option not in known and not takes_all:
            listed = ", ".join(user_options) or "none"
            faults.append(f"{options_key}{option}: {name!r} has no such option; its: {listed}")
    for option in user_options:
        if known[option] is NO_DEFAULT and option not in options:
            faults.append(f"{options_key}{option}: {name!r} has no default for it, give it")
    if faults:
        raise ValueError("; ".join(faults))
    handed = {each: x for each, x in given.items() if each in known or each in required}
    try:
        return factory(**handed, **options)
    except Exception as error:  # a user's file is a program, and may raise anything
        raise ValueError(f"{key}: {name!r} raised {said(error, factory)}") from error


def said(error: BaseException, function: Callable[..., object]) -> str:
    """Returns an error as "KeyError: 'age' (faces.py:12)": the last line in the function's file."""
    frames = traceback.extract_tb(error.__traceback__)
    code = getattr(inspect.unwrap(function), "__code__", None)
    in_file = [frame for frame in frames if code is not None and frame.filename == code.co_filename]
    line = ""
    if frames:
        frame = (in_file or frames)[-1]
        line = f" ({frame.filename.rpartition('/')[2]}:{frame.lineno})"
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) < 400 else f'{text[:400]} ...'}{line}"


def _takes_all(factory: Callable[..., object]) -> bool:
    return any(p.kind is inspect.Parameter.VAR_KEYWORD for p in _signature(factory))


def _signature(factory: Callable[..., object]) -> list[inspect.Parameter]:
    try:
        return [*inspect.signature(factory).parameters.values()]
    except (TypeError, ValueError):  # of a callable in another language
        return []
