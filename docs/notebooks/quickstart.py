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
# Two generations of CEN on drawn faces, smaller than `make quickstart`, so that it takes half a minute on two cores. The
# true label distributions of drawn faces are known, which real ones' never are.
#
# A run is one command. Every key of a config is a flag.

# %%
# !python -m launch.main --config=configs/quickstart.py --workdir=runs/quickstart \
#     --config.data.synthetic_count=400 --config.epochs=12 --config.chain.generations=2 2>&1 | tail -n 25

# %% [markdown]
# The run's folder has everything: the config, the split, checkpoints, predictions, results, figures.

# %%
from pathlib import Path

for path in sorted(Path("runs/quickstart").iterdir()):
    print(path.name)

# %% [markdown]
# Here is how the distributions of some test pictures change over the generations.

# %%
from IPython.display import Image

figures = sorted(Path("runs/quickstart/figures").glob("*.png"))
print([figure.name for figure in figures])
Image(figures[0])

# %% [markdown]
# The trained model answers for pictures of any size: a value, a distribution over the ages, and an interval.

# %%
import numpy as np

import ldl_jax
from ldl_jax.data.synthetic.faces import faces

records = faces(count=4, size=64, seed=1)
pictures = np.stack([records.decode(index) for index in range(4)])
