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
# # Export and serve
#
# A model leaves its run as one file, an ONNX graph, or a server.

# %%
# !python -m launch.main --config=configs/quickstart.py --workdir=runs/mine --config.method.name=dldl_v2 --config.data.synthetic_count=300 --config.data.size=32 --config.epochs=4 --config.chain.generations=1 | tail -n 6

# %%
# !python -m launch.export runs/mine --to=model.safetensors
# !python -m launch.export runs/mine --to=model.onnx

# %% [markdown]
# The one file gives the same answers, bit for bit, and needs neither the run nor what trains.

# %%
import numpy as np

import ldl_jax
from ldl_jax.data.synthetic.faces import faces

pictures = faces(count=8, size=32, seed=5).images[:]
answers = ldl_jax.load("model.safetensors")(pictures).value
print(answers)
assert np.array_equal(answers, ldl_jax.load("runs/mine")(pictures).value)

# %% [markdown]
# The ONNX file takes uint8 pictures and needs no JAX: ONNX Runtime answers, from many languages.

# %%
import onnxruntime

session = onnxruntime.InferenceSession("model.onnx")
value, low, high = session.run(["value", "low", "high"], {"images": pictures})
print("largest difference in years:", np.abs(value - answers).max())
print("intervals:", *(f"{a:.0f}-{b:.0f}" for a, b in zip(low, high)))

# %% [markdown]
# The card beside the file says what the model is for, what it was trained on, and how well it does. What the run does
# not say stands there as "not known".

# %%
card = open("card.md").read().split("---\n")[2]
print(card[:1100], "...")

# %% [markdown]
# The server answers over HTTP, on this machine alone unless it is told otherwise.

# %%
import subprocess

command = ["python", "-u", "-m", "launch.serve", "model.safetensors", "--aligned", "--port=0"]
server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
lines = []
for line in server.stdout:
    lines.append(line.strip())
    if "ready" in line or len(lines) > 50:
        break
print(*lines, sep="\n")

# %%
import io
import json
import re
import urllib.request

from PIL import Image

address = re.search(r"http://127\.0\.0\.1:\d+", " ".join(lines))[0]
picture = io.BytesIO()
Image.fromarray(pictures[0]).save(picture, "PNG")
request = urllib.request.Request(
    f"{address}/predict", picture.getvalue(), {"Content-Type": "image/png"}
)
with urllib.request.urlopen(request, timeout=30) as response:
    answer = json.load(response)[0]
print({key: answer[key] for key in ("value", "unit", "interval", "coverage")})

# %%
server.terminate()
print("ended with", server.wait(timeout=30))

# %% [markdown]
# [Shipping](../shipping.md) has the other ways out; [the server](../server.md) its limits and counts.
