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
# # A loss of your own
#
# Losses are pure functions of arrays: outputs and labels come in, one number for each picture goes out.

# %%
import jax
import jax.numpy as jnp

from ldl_jax import decoders, encodings, losses
from ldl_jax.labels import LabelSpace

space = LabelSpace.range(0, 100)
logits = jnp.zeros((2, space.size))
labels = jnp.array([20.0, 50.0])

print("crps", losses.crps(logits, labels, space))
target = encodings.gaussian(labels, space, sigma=3.0)
print("dldl_v2", losses.dldl_v2(logits, target, labels, space))
print("decoded", decoders.expectation(jax.nn.softmax(logits), space))

# %% [markdown]
# They can be jitted, differentiated, and mapped over any argument, as over λ:

# %%
weights = jnp.array([0.0, 0.1, 1.0])


@jax.jit
def over(lam):
    return losses.dldl_v2(logits, target, labels, space, lam)


print(jax.vmap(over)(weights))
print(jax.grad(lambda x: losses.crps(x, labels, space).mean())(logits).shape)

# %% [markdown]
# A method of your own is a factory in a file that Python finds. Its arguments after the label space are
# hyper-parameters.

# %%
# %%writefile my_loss.py
from ldl_jax import losses, methods


def factory(space, weight=0.1):
    def loss(logits, labels):  # [B, K], [B] -> [B]; the mean is taken outside
        return losses.crps(logits, labels, space) + weight * losses.dex(logits, labels, space)

    return methods.from_loss(loss, space)


# %% [markdown]
# A config names it as `module:factory`. Everything else stays: decoding, generations, calibration, export.

# %%
# !python -m launch.main --config=configs/quickstart.py --workdir=runs/my_loss --config.method.name=my_loss:factory --config.method.weight=0.2 --config.data.synthetic_count=300 --config.data.size=32 --config.epochs=5 --config.chain.generations=1 | tail -n 6

# %%
# !python -m launch.main --config=configs/quickstart.py --workdir=runs/dldl_v2 --config.method.name=dldl_v2 --config.data.synthetic_count=300 --config.data.size=32 --config.epochs=5 --config.chain.generations=1 | tail -n 6

# %% [markdown]
# The table has both, with a paired interval of their difference. One seed and 76 test pictures say little:
# [benchmarks](../benchmark.md) are for that.

# %%
# !python -m launch.report runs/my_loss runs/dldl_v2

# %% [markdown]
# What breaks the contract is refused before anything is trained, as a loss that is reduced over the batch:

# %%
# %%writefile reduced.py
from ldl_jax import losses, methods


def factory(space):
    return methods.from_loss(lambda x, y: losses.dex(x, y, space).mean(), space)


# %%
# !python -m launch.main --config=configs/quickstart.py --workdir=runs/reduced --config.method.name=reduced:factory
