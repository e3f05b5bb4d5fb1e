"""Runs the training command with the stand-in network.

With DIE=n in the environment it kills itself before step n, as soon as the file ONCE exists; with
SLOW_TABLE=n a sweep's table takes n seconds.
"""

import os
import signal
import time
from pathlib import Path

import jax

FLAGS = os.environ["XLA_FLAGS"]

from launch import main  # noqa: E402
from ldl_jax import models  # noqa: E402
from ldl_jax.evaluation import ablation, gallery  # noqa: E402
from ldl_jax.models.functional import functional  # noqa: E402
from ldl_jax.run.command import start  # noqa: E402
from ldl_jax.run.progress import ProgressBar  # noqa: E402
from tests.conftest import Tiny  # noqa: E402

os.environ["XLA_FLAGS"] = FLAGS  # the tests have devices and a cache of their own
jax.config.update("jax_compilation_cache_dir", os.environ["CACHE"])
models.MODELS["tiny"] = lambda dtype="float32": functional("tiny", Tiny, 16)
steps = 0


def step(self, epoch):
    global steps
    steps += 1
    if steps == int(os.environ.get("DIE", -1)):
        end = time.monotonic() + 60
        while not Path(os.environ.get("ONCE", "/")).exists() and time.monotonic() < end:
            time.sleep(0.05)
        os.kill(os.getpid(), getattr(signal, os.environ.get("BY", "SIGKILL")))


def rows(*arguments, **options):
    time.sleep(float(os.environ.get("SLOW_TABLE", 0)))
    return table_rows(*arguments, **options)


table_rows, ablation.rows = ablation.rows, rows
ProgressBar.step = step
gallery.draw = lambda folder, *_: folder.mkdir(exist_ok=True)  # which takes as long as all the rest
start(main.main)
