"""Commands called in the process of the test, each time with flags as at their start."""

import pytest
from absl import flags

from launch import predict
from ldl_jax.run import command

# Where the flags of launch.predict are defined, which are there as soon as it is imported.
_PREDICT = ("launch.predict", "ldl_jax.run.answering", "ldl_jax.run.film_flags")


def called(module, capsys, *arguments):
    """Calls a command with flags of its own, by `define_flags`: (exit code, printed, errors)."""
    values = flags.FlagValues()
    values["verbosity"] = flags.FLAGS["verbosity"]
    given, code = [module.__name__.rpartition(".")[2], *map(str, arguments)], 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flags, "FLAGS", values)
        patch.setattr("sys.argv", given)
        try:
            with command.flag_errors():
                module.define_flags(values)
            module.main(command.parse_flags(given))
        except SystemExit as end:
            code = end.code
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def predicted(*arguments):
    """Calls launch.predict; returns its exit code."""
    flags.FLAGS.unparse_flags()
    try:
        predict.main(command.parse_flags(["predict", *map(str, arguments)]))
    except SystemExit as end:
        return int(end.code or 0)
    finally:
        flags.FLAGS.unparse_flags()
        for name in flags.FLAGS:
            if flags.FLAGS.find_module_defining_flag(name) in _PREDICT:
                flags.FLAGS[name].unparse()
        flags.FLAGS(["predict"])
    return 0
