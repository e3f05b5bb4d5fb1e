"""The command on the stand-in network; DIE=STEP makes it kill itself before it takes that step."""

import os
import signal

import jax

FLAGS = os.environ["XLA_FLAGS"]

jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

from absl import app  # noqa: E402

from launch import main  # noqa: E402
from launch.command import parse_flags  # noqa: E402
from launch.progress import ProgressBar  # noqa: E402
from ldl_jax import models  # noqa: E402
from ldl_jax.models.functional import functional  # noqa: E402
from tests.conftest import Tiny  # noqa: E402

os.environ["XLA_FLAGS"] = FLAGS  # not the tests' own devices
jax.config.update("jax_compilation_cache_dir", None)
models.MODELS["tiny"] = lambda dtype="float32": functional("tiny", Tiny, 16)
steps = 0


def step(self, epoch):
    global steps
    steps += 1
    if steps == int(os.environ.get("DIE", -1)):
        os.kill(os.getpid(), getattr(signal, os.environ.get("BY", "SIGKILL")))


ProgressBar.step = step
app.run(main.main, flags_parser=parse_flags)
