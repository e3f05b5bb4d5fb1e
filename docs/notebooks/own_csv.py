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
# # Your own data: a CSV file
#
# A list of pictures with labels is all that is needed. Here the pictures are drawn; take a folder of your own instead.

# %%
import csv
from pathlib import Path

from PIL import Image

from ldl_jax.data.synthetic.faces import faces

records = faces(count=300, size=48, seed=3)
folder = Path("faces")
folder.mkdir()
with open(folder / "ages.csv", "w", newline="") as file:
    rows = csv.writer(file)
    rows.writerow(["path", "label", "sigma", "subject"])
    for index, image in enumerate(records.images[:]):
        Image.fromarray(image).save(folder / f"{index}.png")
        sigma, subject = float(records.sigma[index]), records.subjects[index]
        rows.writerow([f"{index}.png", records.labels[index], f"{sigma:.2f}", subject])

print(*open(folder / "ages.csv").read().splitlines()[:4], sep="\n")

# %% [markdown]
# `path` and `label` are needed. `sigma` is the label's standard deviation, `subject` who is shown: with
# `data.protocol=subject` no person is both trained and tested on. `data.space=train` takes the label values from the
# training part.

# %%
# !python -m launch.main --config=configs/quickstart.py --workdir=runs/mine --config.data.name=csv_folder --config.data.csv=faces/ages.csv --config.data.space=train --config.data.protocol=subject --config.method.name=dldl_v2 --config.chain.generations=1 --config.epochs=6 --config.data.size=32

# %% [markdown]
# All faults of a list are said at once, before anything is trained.

# %%
broken = Path("faces/broken.csv")
broken.write_text("path,label\n0.png,31\n1.png,young\nmissing.png,40\n")
# !python -m launch.main --config=configs/quickstart.py --workdir=runs/broken --config.data.name=csv_folder --config.data.csv=faces/broken.csv

# %% [markdown]
# The trained network answers for new pictures. With `--aligned` each is taken as one face that is already cut out;
# without it faces are looked for first.

# %%
# !python -m launch.predict faces/0.png faces/1.png faces/2.png --checkpoint=runs/mine --aligned

# %% [markdown]
# [Your own data](../data.md) has other columns, folders of labels, and the ways to split;
# [votes](../votes.md) is for labels that several people gave.
