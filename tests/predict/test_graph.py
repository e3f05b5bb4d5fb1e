"""Every network and kind of method as an ONNX model: its answers are the predictor's."""

import json
import os

import numpy as np
import pytest

pytest.importorskip("onnx", reason="the extra ldl_jax[export] is not installed")
pytest.importorskip("onnxruntime", reason="the extra ldl_jax[export] is not installed")

from ldl_jax import methods, models
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.labels import ADIENCE, AGE, LabelSpace
from ldl_jax.predict.engines import Session
from ldl_jax.predict.graph import graph
from ldl_jax.predict.predictor import Predictor
from ldl_jax.train import record

VIT = {"depth": 1, "width": 24, "heads": 3}
# What makes a network quick; each has its own layers in every form that it has them.
SMALL = {
    "ssrnet": {"size": 38, "stages": (3, 3, 2)},
    "vgg16": {"size": 32, "hidden": 16},
    "vit_b16": {"size": 32, **VIT},
    "farl_b16": {"size": 32, **VIT},
    "dinov2_s14": {"size": 28, **VIT},
    "dinov2_b14": {"size": 28, **VIT},
    "dinov3_s16": {"size": 32, **VIT},
    "dinov3_b16": {"size": 32, **VIT},
    "mobilenet": {"size": 33, "form": "keras"},
    "densenet": {"depth": 7},
    "efficientnet_b0": {"width": 0.25, "depth": 0.25},
    "mobilenet_v3_small": {"width": 0.25},
    "mobilenet_v3_large": {"width": 0.25},
    "convnext_tiny": {"blocks": (1, 1, 1, 1), "width": 8},
}
# Networks whose code another one here runs too. Compiling all predictors takes a minute, so these
# are compared only with LDL_JAX_ALL_NETWORKS=1.
ALIKE = {"resnet10", "resnet18", "resnet18_tiny", "resnet34", "resnet50", "thinagenet", "vit_b16"}
ALIKE |= {"dinov2_s14", "dinov2_b14", "dinov3_b16", "efficientnet_b0", "mobilenet"}
ALIKE |= {"mobilenet_v3_large"}
CHOSEN = sorted(models.MODELS.keys() - (() if os.environ.get("LDL_JAX_ALL_NETWORKS") else ALIKE))
MIRRORED = {"densenet", "resnet10_tiny", "tinyagenet"}  # they compile soon
# A method of each kind, by what its decoder and head are.
KINDS = {
    "dldl_v2": {"decode": "median"},
    "cen": {},
    "ssr": {"stages": (3, 2), "activation": "softmax"},
    "coral": {},
    "corn": {"decode": "expectation"},
    "clm": {"link": "probit"},
    "copoc": {"decode": "mode"},
    "stick_breaking": {},
    "megaage": {},
    "unimodal": {},
    "regression_l1": {},
}


@pytest.fixture
def made(draw_weights, make_record):
    """`made(model options, method, space, **record)`: a predictor with drawn weights."""

    def make(options, method="dldl_v2", space=AGE, **fields):
        name = method if isinstance(method, str) else method["name"]
        settings = {} if isinstance(method, str) else method
        settings = {"name": name, **settings}
        model = models.build(**options)
        weights = draw_weights(model, methods.get(space=space, **settings), seed=1)
        fields.setdefault("flip", True)
        about = make_record(model=options, method=settings, space=space, **fields)
        return Predictor(about, weights)

    return make


def images(predictor, count):
    side = predictor.preprocessing.stored_size
    rng = np.random.default_rng(3)
    # Smooth pictures: the answers for noise are all alike.
    corners = (
        rng.uniform(0, 255, (count, 4, 4, 3)).repeat(-(-side // 4), 1).repeat(-(-side // 4), 2)
    )
    return corners[:, :side, :side].astype(np.uint8)


def check(predictor, counts=(2,)):
    """Compares value, distribution, interval and heads, as a share of the labels' range."""
    session = Session(graph(predictor).SerializeToString(), "the model")
    scale = predictor.space.high - predictor.space.low
    for count in counts:
        pictures = images(predictor, count)
        expected, answer = predictor.answer(pictures), session(pictures)
        assert np.asarray(expected.probs).std(axis=0).max() > 0 or count == 1
        np.testing.assert_allclose(answer.value, expected.value, atol=1e-4 * scale, rtol=0)
        np.testing.assert_allclose(answer.probs, expected.probs, atol=1e-4)
        assert answer.heads.keys() == expected.heads.keys()
        for name, value in expected.heads.items():
            np.testing.assert_allclose(answer.heads[name], value, atol=1e-4 * scale, rtol=0)
        low, high = session.interval(pictures)
        for edge, other in zip((low, high), predictor.interval(answer.probs), strict=True):
            np.testing.assert_allclose(edge, other, atol=1e-4)
    return session


@pytest.mark.parametrize("name", CHOSEN)
def test_every_network(made, name):
    options = {"name": name, **SMALL.get(name, {})}
    network = models.build(**options)
    fixed = "size" in models.known_options(name)
    side = network.size if fixed else (60 if name == "orcnn" else 33)
    method = {"name": "ssr", "stages": [3, 3, 2]} if name == "ssrnet" else "dldl_v2"
    # So deep a network of drawn weights would answer every picture with one label.
    std = 5000.0 if name == "resnet50" else 127.5
    preprocessing = Preprocessing(side, side, std=(std,) * 3)
    check(made(options, method, preprocessing=preprocessing, flip=name in MIRRORED))


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_of_method(made, name, tiny_network):
    predictor = made({"name": "tiny"}, {"name": name, **KINDS[name]})
    session = check(predictor, counts=(1, 3))
    assert session.value_alone == predictor.value_alone


@pytest.mark.parametrize("space", [ADIENCE, LabelSpace.range(1, 5, 0.5, unit="score")])
def test_groups_and_scores(made, space, tiny_network):
    check(made({"name": "tiny"}, "cen", space))


@pytest.mark.parametrize(
    "fields",
    [
        {"preprocessing": Preprocessing(40, 32, (1.0, 2.0, 3.0), (50.0, 60.0, 70.0), 0.5, "bgr")},
        {"preprocessing": Preprocessing(20, 32)},
        {"flip": False},
        {"hidden": (8, 4), "standardised": True},
    ],
    ids=["smaller", "larger", "no flip", "deeper"],
)
def test_preprocessing_and_records(made, make_record, fields, tiny_network, draw_weights):
    if "hidden" not in fields:
        check(made({"name": "tiny"}, **fields))
        return
    model = models.build("tiny")
    method = methods.get("dldl", space=AGE).deepened((8, 4), standardised=True)
    weights = draw_weights(model, method)
    for name, leaves in weights.params["head"].items():
        if "deviation" in leaves:
            leaves["deviation"] = np.full_like(leaves["deviation"], 2.0)
            assert name
    check(Predictor(make_record(**fields), weights))


def test_bfloat16_is_computed_in_float32(made):
    """The network's answers in bfloat16 are near those of the model, which are of float32."""
    predictor = made({"name": "resnet10_tiny", "dtype": "bfloat16"}, flip=False)
    session = Session(graph(predictor).SerializeToString(), "the model")
    pictures = images(predictor, 2)
    assert session(pictures).value == pytest.approx(predictor.answer(pictures).value, abs=2)


def test_the_metadata(made, tiny_network):
    predictor = made({"name": "tiny"}, "cen", preprocessing=Preprocessing(40, 32, crop=0.75))
    model = graph(predictor)
    texts = {p.key: p.value for p in model.metadata_props}
    assert json.loads(texts["labels"]) == list(AGE.values)
    assert (texts["unit"], texts["size"], texts["crop"]) == ("years", "40", "0.75")
    assert (texts["coverage"], texts["value_alone"], texts["int8"]) == ("0.9", "false", "false")
    names = ["value", "probs", "low", "high", "head_distribution", "head_regression"]
    assert [x.name for x in model.graph.output] == json.loads(texts["outputs"]) == names
    assert record.from_json(json.loads(texts["record"]), "a model") == predictor.about
    (given,) = model.graph.input
    assert given.name == "images"
    assert [d.dim_param or d.dim_value for d in given.type.tensor_type.shape.dim] == [
        "B",
        40,
        40,
        3,
    ]


def test_eight_bits_are_near(made):
    predictor = made({"name": "resnet10_tiny"})
    whole, small = (graph(predictor, int8=x).SerializeToString() for x in (False, True))
    assert len(small) < 0.3 * len(whole)
    pictures = images(predictor, 4)
    one, other = (Session(content, "a model")(pictures) for content in (whole, small))
    assert 0 < np.abs(one.value - other.value).max() < 20
