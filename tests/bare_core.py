"""Trains, scores, answers and shows tables where the core's optional packages are not found.

python -m tests.bare_core FOLDER
"""

import importlib
import pkgutil
import sys
from pathlib import Path

from tests.blocked import OPTIONAL, Blocked

sys.meta_path.insert(0, Blocked(*OPTIONAL))

import jax  # noqa: E402
import numpy as np  # noqa: E402
from rich.console import Console  # noqa: E402

import launch  # noqa: E402
import ldl_jax  # noqa: E402
from ldl_jax import models  # noqa: E402
from ldl_jax.models.functional import functional  # noqa: E402
from ldl_jax.run.command import parse_flags  # noqa: E402
from ldl_jax.run.config import Config, DataConfig  # noqa: E402
from tests.conftest import Tiny  # noqa: E402

commands = {
    name: importlib.import_module(f"launch.{name}")
    for _, name, _ in pkgutil.iter_modules(launch.__path__)
}
jax.config.update("jax_numpy_dtype_promotion", "standard")  # as in a user's own process
models.MODELS["tiny"] = lambda dtype="float32": functional("tiny", Tiny, 16)
folder = Path(sys.argv[1])
given = ["--config.model.name=tiny", "--config.chain.generations=1", "--config.epochs=1"]
given += ["--config.data.synthetic_count=128", f"--workdir={folder / 'run'}"]
commands["main"].main(parse_flags(["main", "--config=quickstart", *given]))
scored = Config(data=DataConfig(name="synthetic", synthetic_count=40, space="2:1:80"))
commands["evaluate"].run([folder / "run"], scored, "test", folder / "scores", Console())
answer = ldl_jax.load(folder / "run")(np.zeros((2, 32, 32, 3), np.uint8))
assert np.isfinite(answer.value).all()
commands["report"].main(["report", str(folder / "run")])
loaded = {name.partition(".")[0] for name in sys.modules} & {*OPTIONAL}
print("loaded", *(loaded or {"none"}))
