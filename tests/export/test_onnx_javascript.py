"""The JavaScript example of docs/onnx.md, run by Node.js with onnxruntime-web."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the extra ldl_jax[export] is not installed")

from ldl_jax import methods, models
from ldl_jax.labels import AGE
from ldl_jax.predict.graph import graph
from ldl_jax.predict.predictor import Predictor

ROOT = Path(__file__).parents[2]
WEB = ROOT / ".cache" / "page" / "node_modules" / "onnxruntime-web"
START = """
const ort = require(%s);
ort.env.wasm.numThreads = 1;
const rgba = Uint8Array.from(%s);
(async () => {%s})();
"""


def test_the_example(tmp_path, draw_weights, make_record, tiny_network):
    node = shutil.which("node")
    if node is None or not WEB.is_dir():
        pytest.skip(f"no Node.js, or no onnxruntime-web at {WEB}; make test-page brings it")
    weights = draw_weights(models.build("tiny"), methods.get("dldl_v2", space=AGE), seed=4)
    predictor = Predictor(make_record(method={"name": "dldl_v2"}), weights)
    (tmp_path / "model.onnx").write_bytes(graph(predictor).SerializeToString())
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 4), np.uint8)
    text = re.search(r"```js\n(.*?)```", (ROOT / "docs" / "onnx.md").read_text(), re.S).group(1)
    text = text.replace("SIZE", "32")
    script = START % (json.dumps(str(WEB)), pixels.reshape(-1).tolist(), text)
    (tmp_path / "example.js").write_text(script)
    command = [node, "example.js"]
    shown = subprocess.run(
        command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60
    )
    assert shown.returncode == 0, shown.stderr
    value, _, _, count = (float(word) for word in shown.stdout.split())
    assert value == pytest.approx(predictor.answer(pixels[None, ..., :3]).value[0], abs=1e-2)
    assert count == AGE.size
