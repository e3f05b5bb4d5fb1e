"""A predictor as one ONNX model: pictures in; value, distribution and interval out."""

import json
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx

from ldl_jax import lowering
from ldl_jax.extras import needed
from ldl_jax.lowering.shapes import MIRROR
from ldl_jax.models import convolution
from ldl_jax.predict.answering import COVERAGE, FORMAT, INPUT, Answering, Traceable, check


def graph(predictor: Traceable, int8: bool = False) -> onnx.ModelProto:
    """Returns the ONNX model of a predictor, which needs nothing of this package any more.

    Its input is `images`, uint8 RGB [B, S, S, 3] for any B, where S is the preprocessing's
    `stored_size`. Its outputs are float32: `value` [B] in the label's unit, `probs` [B, K], `low`
    and `high` [B] of the interval that holds 90 % of the distribution, and `head_NAME` [B] for each
    head of a method with several. Preprocessing and the mean over mirror images are inside. The
    metadata are texts, see `metadata`.

    Args:
      predictor: as `ldl_jax.load` gives it.
      int8: whether the weights of convolutions and dense layers have 8 bits, and are multiplied
        with pictures of 8 bits, each with a scale of its own. The file is a quarter as large.

    Raises:
      ValueError: weights are NaN or infinite, or a method of somebody's own uses a primitive that
        has no form in ONNX here.
    """
    check(predictor)
    size = predictor.about.preprocessing.stored_size
    answer = Answering(predictor)
    with convolution.plain(pooling=True):
        model = lowering.to_onnx(
            answer,
            {INPUT: ((None, size, size, 3), np.uint8)},
            answer.outputs,
            name=str(predictor.about.model["name"]),
        )
    if int8:
        model = _in_int8(model)
    for key, text in metadata(predictor, answer.outputs, int8).items():
        model.metadata_props.add(key=key, value=text)
    return model


def metadata(predictor: Traceable, outputs: Sequence[str], int8: bool) -> dict[str, str]:
    """Returns the texts that the model carries.

    `labels` is the K label values and `record` the checkpoint's record, both JSON; `unit` is the
    labels' unit, `size` S in pixels, `crop` the share of a picture's width and height that is kept
    about its middle, or with `square` "true" that of its shorter side, `coverage` the interval's,
    and `value_alone` "true" where the method gives a value without a distribution, so that the
    interval means nothing. `format` is the version of all this, and `int8` whether the weights have
    8 bits.
    """
    about = predictor.about
    return {
        "format": str(FORMAT),
        "labels": json.dumps(about.space.values),
        "unit": about.space.unit,
        "size": str(about.preprocessing.stored_size),
        "crop": str(about.preprocessing.crop),
        "square": json.dumps(about.preprocessing.square),
        "coverage": str(COVERAGE),
        "value_alone": json.dumps(bool(predictor.value_alone)),
        "outputs": json.dumps(list(outputs)),
        "int8": json.dumps(int8),
        "record": json.dumps(about.to_json()),
    }


def _in_int8(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns the model with weights of 8 bits, by ONNX Runtime's dynamic quantisation."""
    quantization = needed("onnxruntime.quantization", "int8")
    # The quantizer warns of a model that its own preparation has not seen; this one needs none.
    model.metadata_props.add(key="onnx.quant.pre_process", value="onnxruntime.quant")
    bits, level = quantization.QuantType.QUInt8, logging.root.manager.disable
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        logging.disable(logging.ERROR)  # it prints every tensor that it leaves alone
        try:
            quantization.quantize_dynamic(
                model, path, weight_type=bits, nodes_to_exclude=_in_float(model)
            )
        finally:
            logging.disable(level)
        smaller = onnx.load(path)
    del smaller.metadata_props[:]
    return smaller


def _in_float(model: onnx.ModelProto) -> list[str]:
    """Returns the names of the operations that stay in float32.

    They have few weights and lose the most: convolutions of pictures, and those of each channel by
    itself, whose channels differ in scale. With them in 8 bits HSE-FaceRes errs twice as much.
    """
    inputs = {tensor.name: tensor.dims[1] for tensor in model.graph.initializer if tensor.dims[1:]}
    names = []
    for node in model.graph.node:
        groups = next((a.i for a in node.attribute if a.name == "group"), 1)
        of_pictures = node.op_type == "Conv" and inputs.get(node.input[1]) == 3
        if node.name.startswith(MIRROR) or groups > 1 or of_pictures:
            names.append(node.name)
    return names
