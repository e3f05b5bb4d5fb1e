# ---
# jupyter:
#   jupytext:
#     formats: py:percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Quickstart
#
# Two generations of CEN on drawn faces, whose true label distributions are known. It is `make quickstart` in small, so
# its answers are rough: fewer pictures, smaller ones, fewer epochs.
#
# A run is one command, and every key of its config is a flag. In a notebook a line that starts with `!` is a command.

# %%
# !python -m launch.main --config=configs/quickstart.py --workdir=runs/quickstart --config.data.synthetic_count=400 --config.data.size=32 --config.epochs=6 --config.chain.generations=2

# %% [markdown]
# The run's folder has the config, the split, checkpoints, predictions, results and figures.

# %%
from pathlib import Path

print(*sorted(path.name for path in Path("runs/quickstart").iterdir()))

# %% [markdown]
# How the distributions of some test pictures change from generation to generation, beside the true ones:

# %%
from IPython.display import Image

figures = {path.name: path for path in sorted(Path("runs/quickstart/figures").glob("*.png"))}
print(*figures)
Image(figures["evolution.png"])

# %% [markdown]
# The trained network answers for pictures of any size: a value, and a distribution over the ages.

# %%
import ldl_jax
from ldl_jax.data.synthetic.faces import faces

records = faces(count=8, size=64, seed=1)
predictor = ldl_jax.load("runs/quickstart")
prediction = predictor(records.images[:])
low, high = predictor.interval(prediction.probs)

print(prediction.probs.shape, "probabilities over", predictor.space.size, predictor.space.unit)
for row, label in enumerate(records.labels):
    value = prediction.value[row]
    print(
        f"label {label:4.0f}   answer {value:5.1f}   90 % within [{low[row]:.0f}, {high[row]:.0f}]"
    )
