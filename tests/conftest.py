"""Gives every test 8 fake CPU devices, no silent promotion, and a network that is quick."""

import ctypes
import gc
import os

DEVICES = 8
if os.environ.get("LDL_JAX_TEST_GPU") != "1":  # which tests/gpu is run with
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ["XLA_FLAGS"] = " ".join(
        [
            os.environ.get("XLA_FLAGS", ""),
            f"--xla_force_host_platform_device_count={DEVICES}",
            "--xla_backend_optimization_level=0",  # tests compile much and compute little
        ]
    )

from pathlib import Path  # noqa: E402

import jax  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402
from flax import nnx  # noqa: E402

from ldl_jax import models  # noqa: E402
from ldl_jax.data.align import Alignment  # noqa: E402
from ldl_jax.data.augment.augmentation import Preprocessing  # noqa: E402
from ldl_jax.labels import AGE  # noqa: E402
from ldl_jax.models.functional import functional  # noqa: E402
from ldl_jax.train.checkpoint import Checkpoints  # noqa: E402
from ldl_jax.train.record import Record  # noqa: E402
from ldl_jax.train.state import Weights  # noqa: E402

# One for each process, and none for commands: a killed one may leave half an entry.
CACHE = Path(__file__).parents[1] / ".cache" / os.environ.get("PYTEST_XDIST_WORKER", "jax")
jax.config.update("jax_compilation_cache_dir", str(CACHE))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_numpy_rank_promotion", "raise")

# Bytes above which a process drops its compiled programs; without that one grows to 5 GB.
ROOM = 1.2e9
GROWTH = 0.4e9  # what a process may always add before the next time, whatever stays in memory
_STATM = Path("/proc/self/statm")
_malloc_trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
_limit = ROOM


def resident():
    """Returns the bytes of memory that this process holds, or 0 where the system does not tell."""
    return int(_STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if _malloc_trim else 0


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown():
    """Drops what JAX has compiled once it takes much memory; what is needed again is in CACHE."""
    global _limit
    if resident() > _limit:
        jax.clear_caches()
        gc.collect()
        _malloc_trim(0)
        _limit = max(ROOM, resident() + GROWTH)


class Tiny(nnx.Module):
    """One dense layer on 4x4 pooled cells, and a batch normalisation: all a step can handle."""

    def __init__(self, rngs):
        self.dense = nnx.Linear(48, 16, rngs=rngs)
        self.norm = nnx.BatchNorm(16, momentum=0.9, rngs=rngs)

    def __call__(self, images, *, train):
        batch, height, width, channels = images.shape
        cells = images.reshape(batch, 4, height // 4, 4, width // 4, channels).mean(axis=(2, 4))
        x = self.dense(cells.reshape(batch, 16 * channels))
        return jax.nn.relu(self.norm(x, use_running_average=not train))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of the real datasets, beside the repository."""
    folder = Path(__file__).parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real datasets at {folder}")
    return folder


@pytest.fixture
def optax_promotes():
    """For optax's Adam and cosine, which mix their int32 count with floats."""
    with jax.numpy_dtype_promotion("standard"):
        yield


@pytest.fixture(scope="session")
def tiny_model():
    """A stand-in for a network, with 16 features, that compiles in a moment."""
    return functional("tiny", Tiny, 16)


@pytest.fixture(scope="module")
def tiny_network(tiny_model):
    """Makes model.name "tiny" that stand-in; gives its name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(models.MODELS, "tiny", lambda dtype="float32": tiny_model)
        yield "tiny"


@pytest.fixture(scope="session")
def make_record():
    """`make_record(**fields)`: the record of a checkpoint of the tiny network."""

    def make(**fields):
        defaults = {
            "model": {"name": "tiny", "dtype": "float32"},
            "method": {"name": "dldl"},
            "space": AGE,
            "preprocessing": Preprocessing(32, 32),
            "alignment": Alignment(),
            "flip": False,
        }
        return Record(**defaults | fields)

    return make


@pytest.fixture(scope="session")
def write_checkpoint(make_record):
    """`write_checkpoint(folder, weights, **fields)`: a generation's folder, as a run leaves it."""

    def write(folder, weights, **fields):
        checkpoints = Checkpoints(folder)
        checkpoints.save(1, {"weights": weights}, make_record(**fields))
        checkpoints.close()
        return folder

    return write


@pytest.fixture(scope="session")
def draw_weights():
    """`draw_weights(model, method, seed=0) -> Weights`: random ones, nothing compiled for them."""

    def draw(model, method, seed=0):
        rng = np.random.default_rng(seed)

        def leaf(path, like):
            name = path[-1].key
            if name in ("scale", "var") or name.startswith("gamma"):
                return jax.numpy.ones(like.shape, like.dtype)
            if name != "kernel":
                return jax.numpy.zeros(like.shape, like.dtype)
            spread = np.sqrt(2 / np.prod(like.shape[:-1]))
            return jax.numpy.asarray(rng.normal(0, spread, like.shape), like.dtype)

        shapes = jax.eval_shape(model.init, jax.random.key(0))
        head = jax.eval_shape(lambda key: method.head.init(key, model.width), jax.random.key(0))
        backbone, model_state = jax.tree.map_with_path(leaf, shapes)
        return Weights(
            {"backbone": backbone, "head": jax.tree.map_with_path(leaf, head)}, model_state
        )

    return draw


@pytest.fixture(scope="session", autouse=True)
def no_lines_of_slow_machines():
    """Keeps what is printed the same where a busy machine takes long over it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("ldl_jax.run.progress._BarOrLines._line_due", float("inf"))
        yield
