"""The detector's networks as ONNX models, for pictures that lie in the corner of larger arrays."""

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the extra ldl_jax[export] is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="ldl_jax[export] is not installed")

from ldl_jax import lowering  # noqa: E402
from ldl_jax.data.detect import networks  # noqa: E402

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("name", "side"), [("pnet", 30), ("rnet", 24), ("onet", 48)])
def test_a_network_of_the_detector(name, side):
    function = getattr(networks, name)
    weights = [
        RNG.normal(0, np.prod(shape[:-1]) ** -0.5, shape).astype(np.float32)
        for shape in networks.SHAPES[name]
    ]
    inputs = {"images": ((None, side, side, 3), "float32")}
    arrays = {"images": RNG.normal(size=(3, side, side, 3)).astype(np.float32)}
    if name == "pnet":
        inputs["sizes"] = ((None, 2), "int32")
        arrays["sizes"] = np.array([[30, 30], [20, 30], [25, 13]], np.int32)
    outputs = ["shifts", "face", "points"][: 3 if name == "onet" else 2]
    model = lowering.to_onnx(lambda *x: function(weights, *x), inputs, outputs)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    expected = function(weights, *arrays.values())
    for one, other in zip(session.run(None, arrays), expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
