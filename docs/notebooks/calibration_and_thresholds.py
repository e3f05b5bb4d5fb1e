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
# # Calibration and thresholds
#
# A network's distribution is its own claim. Pictures that it was not trained on show how much the claim is worth, and
# correct it. With `data.protocol=subject` no person of these was trained on either.

# %%
# !python -m launch.main --config=configs/quickstart.py --workdir=runs/mine --config.method.name=dldl_v2 --config.data.synthetic_count=800 --config.data.validation_fraction=0.3 --config.data.protocol=subject --config.data.size=32 --config.epochs=6 --config.chain.generations=1 | tail -n 6

# %% [markdown]
# `launch.calibrate` takes the run's validation part. The thresholds of its intervals stand in the checkpoint, and
# everything that answers uses them from then on.

# %%
# !python -m launch.calibrate runs/mine

# %%
import numpy as np

import ldl_jax
from ldl_jax import decoders
from ldl_jax.data.synthetic.faces import faces

fresh = faces(count=400, size=32, seed=9)
pictures = fresh.images[:]


def held(predictor):
    """Returns how many labels the intervals of 90 % hold, and how wide these are."""
    low, high = predictor.interval(predictor(pictures).probs, 0.9)
    within = (np.floor(fresh.labels) >= low) & (np.floor(fresh.labels) <= high)
    return f"hold {within.mean():.1%}, {np.mean(high - low):.1f} years wide"


print("as it claims:", held(ldl_jax.load("runs/mine", raw=True)))
print("calibrated:  ", held(ldl_jax.load("runs/mine")))

# %% [markdown]
# The promise is of labels that are exchangeable with those of the calibration, and on average: see
# [calibration](../calibration.md).
#
# ## Is somebody of age?
#
# The probability of a label of 18 or more is a sum over the distribution.

# %%
predictor = ldl_jax.load("runs/mine")
prediction = predictor(pictures[:5])
adult = decoders.prob_at_least(prediction.probs, predictor.space, 18)
for label, value, probability in zip(fresh.labels, prediction.value, adult):
    print(f"label {label:3.0f}   answer {value:5.1f}   P(>= 18) {probability:.2f}")

# %% [markdown]
# `launch.evaluate` says how often somebody under an age passes, and how often somebody above it is asked for a
# document, with exact intervals. No model is fit for such decisions by itself: [decisions](../decisions.md).

# %%
# !python -m launch.evaluate --checkpoint=runs/mine --config=configs/quickstart.py --config.data.synthetic_count=800 --config.data.validation_fraction=0.3 --config.data.protocol=subject --thresholds=18,30
