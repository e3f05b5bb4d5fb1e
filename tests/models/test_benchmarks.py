"""The benchmarks run, and compare what they say they compare."""

import types
from pathlib import Path

import jax
import numpy as np
import pytest


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """The benchmarks are not installed: they are run from the repository."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))


def table(text):
    """The cells of the rows of a markdown table."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


@pytest.fixture
def ceilings(monkeypatch):
    """Gives the ceilings of a device without measuring it."""
    from benchmarks import roofline

    monkeypatch.setattr(roofline, "side", lambda: 64)
    monkeypatch.setattr(roofline, "_copy_rate", lambda: 1e9)


@pytest.mark.usefixtures("ceilings")
def test_train_step_prints_a_row_for_training_and_one_for_inference(tiny_network, capsys):
    from benchmarks import train_step

    options = "--sizes 32 --dtypes float32 --batch 8 --repeats 2 --no-torch"
    for more, step in (("", "train"), (" --steps_per_call 4", "train, 4 a call")):
        train_step.main(["--backbones", tiny_network, *(options + more).split()])
        text = capsys.readouterr().out
        assert "tiny (cen, sgd)" in text
        train, infer = table(text)
        assert (train["step"], infer["step"]) == (step, "infer")
        for row in (train, infer):
            assert row["network"] == "tiny"
            assert float(row["JAX images/s"]) > 0
            assert row["PyTorch images/s"] == "-"
            assert row["of roofline"].endswith("%")


def test_the_work_of_several_steps_in_a_call_is_that_of_one(tiny_network):
    """Or the share of the roofline would be of another number of steps than the time is."""
    from benchmarks import train_step_library

    works = []
    for steps in (1, 4, 8):
        config = train_step_library.config_of(tiny_network, 32, "float32", 8, steps)
        measured = train_step_library.functions(train_step_library.job_of(config))["train"]
        assert measured.steps == steps
        measured.run(2)
        works.append(measured.work)
    assert works[0].flops > 0
    assert {work.flops for work in works} == {works[0].flops}
    # A loop of steps writes its scalars into an array, and its state lies otherwise.
    np.testing.assert_allclose([w.nbytes for w in works[1:]], works[0].nbytes, rtol=0.3)


def test_the_work_of_inference_is_that_of_the_whole_batch(tiny_network):
    """Though CPUs compute 16 pictures at a time, in a loop."""
    from benchmarks import train_step_library

    flops = []
    for batch in (16, 64):
        config = train_step_library.config_of(tiny_network, 32, "float32", batch)
        job = train_step_library.job_of(config)
        flops.append(train_step_library.functions(job)["infer"].work.flops)
    assert 0 < 4 * flops[0] == flops[1]


def test_train_step_trains_as_the_shipped_configs_do():
    from benchmarks import train_step_library
    from ldl_jax.data.augment.recipes import RECIPES

    def of(name):
        config = train_step_library.config_of(name, 64, "bfloat16")
        assert (config.model.name, config.model.dtype) == (name, "bfloat16")
        recipe = next(key for key, value in RECIPES.items() if value == config.augment)
        return config.method.name, config.optimizer.name, recipe, config.batch_size

    assert of("ssrnet") == ("ssr", "adam", "ssr_net", 50)
    assert of("thinagenet") == of("tinyagenet") == ("dldl_v2", "adam", "dldl_v2", 128)
    assert of("resnet18_tiny") == ("cen", "sgd", "cen", 128)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--steps_per_call -1", "steps_per_call: expected 0 or more, got -1"),
        ("--sizes 16", "data.size: expected 32 or more, got 16"),
        ("--backbones vgg16 --sizes 100", "vgg16 takes a multiple of 32"),
        ("--batch 0", "batch_size: expected 1 or more, got 0"),
    ],
)
def test_train_step_refuses_before_it_measures(options, says, capsys):
    from benchmarks import train_step

    with pytest.raises(SystemExit):
        train_step.main(options.split())
    captured = capsys.readouterr()
    assert says in captured.err
    assert not captured.out


@pytest.mark.usefixtures("ceilings")
def test_both_sides_of_a_row_take_as_many_steps(tiny_network, monkeypatch, capsys):
    from benchmarks import timing, train_step

    steps = {"train": [], "infer": []}
    side = types.SimpleNamespace(
        NETWORKS=(tiny_network,),
        runs=lambda config, weights, device: {name: one.append for name, one in steps.items()},
        matmul_flops=lambda side, dtype, device: 1e15,
    )
    monkeypatch.setattr(train_step, "_import_torch", lambda: (side, "of another"))
    monkeypatch.setattr(timing, "_time", lambda run, calls: run(1) or 0.002)
    options = "--sizes 32 --dtypes float32 --batch 8 --steps_per_call 4 --repeats 2"
    train_step.main(["--backbones", tiny_network, *options.split()])
    text = capsys.readouterr().out
    assert "float32 1e+03 TFLOP/s" in text
    train, infer = table(text)
    assert train["JAX images/s"] == train["PyTorch images/s"] == "16000"
    assert infer["JAX images/s"] == infer["PyTorch images/s"] == "4000"
    assert train["JAX / PyTorch"] == infer["JAX / PyTorch"] == "1.00"
    assert set(steps["train"]) == {4}
    assert set(steps["infer"]) == {1}


@pytest.mark.parametrize("only", ["stream", "augment", "device", "memory"])
def test_pipeline_prints_a_row_for_every_claim(tiny_network, monkeypatch, capsys, only):
    from benchmarks import pipeline, pipeline_rows, pipeline_steps, timing
    from ldl_jax.data.augment.recipes import RECIPES
    from ldl_jax.placement import make_placement

    monkeypatch.setattr(timing, "_time", lambda run, calls: run(1) or 0.002)
    monkeypatch.setattr(pipeline_steps, "RECIPES", {"cen": RECIPES["cen"]})
    monkeypatch.setattr(pipeline_steps, "make_placement", lambda devices=2: make_placement(devices))
    sizes = pipeline_rows.Sizes(8, 4, 32, 32, 2000, 2, 0.0, tiny_network)
    pipeline.main(["--only", only, "--no-torch"], sizes)
    rows = {row["case"]: row for row in table(capsys.readouterr().out)}
    names = {
        "stream": ["stream of files, 32", "stream of an ArrayRecord, 32"],
        "augment": ["recipe cen, 32, batch 4"],
        "device": [
            "step, pictures from a copy on every device, 32, batch 4",
            "step, pictures from shares on the devices, 32, batch 4",
        ],
        "memory": ["memory after half of 2,000 records", "memory after all of 2,000 records"],
    }
    assert list(rows) == names[only]
    for row in rows.values():
        assert float(row["ldl_jax"]) > 0
        assert only == "memory" or row["ratio"] == "1.000"


def test_pytorch_s_loader_gives_every_picture_once(tmp_path):
    pytest.importorskip("torch")
    from PIL import Image

    from benchmarks import torch_loader

    pixels = np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    one = torch_loader.Pictures([tmp_path / "a.png"], 16)[0].numpy()
    assert (one.shape, one.dtype) == ((3, 16, 16), np.float32)
    assert -1 <= one.min() < one.max() <= 1


def test_convolution_times_each_form_against_xla_s(monkeypatch, capsys):
    from benchmarks import convolution

    tried = convolution._convolution(convolution.convolution.patches, 2, 2, 4, 4, 3, 1)
    monkeypatch.setattr(convolution, "cases", lambda batch: [tried])
    convolution.main(["--batch", "2", "--repeats", "2", "--no-network"])
    row = table(capsys.readouterr().out)[0]
    assert row["case"] == "3x3, 4 to 4, 2 of 2x2"
    assert row["tried"] == row["taken"] == "patches"
    assert float(row["XLA"]) > 0


def test_without_a_form_a_network_is_traced_with_xla_s_own(monkeypatch):
    from benchmarks import convolution
    from ldl_jax import models
    from ldl_jax.models import forms

    model = models.build("resnet10_tiny")
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((16, 64, 64, 3), "float32")

    def convolutions(*names):
        with convolution.without(*names):
            traced = jax.make_jaxpr(lambda *a: model.apply(*a, train=True))(*shapes, images)
        return str(traced).count("conv_general_dilated["), "reduce_window_max" in str(traced)

    new, old = forms.FORMS
    for module in (forms, convolution.convolution):
        monkeypatch.setattr(module, "at_hand", lambda: old)
    assert convolutions() == (10, False)  # the stem's form holds two
    assert convolutions("small maps") == (13, False)
    assert convolutions("stem", "max-pool") == (9, True)
    assert convolutions("stem", "small maps", "max-pool") == (12, True)
    for module in (forms, convolution.convolution):
        monkeypatch.setattr(module, "at_hand", lambda: new)
    assert convolutions() == (7, False)
    assert convolutions("1x1") == (9, False)  # the last is a small map
    assert convolutions("dense") == (7, False)  # a product of patches takes its place
    assert convolutions("1x1", "small maps", "max-pool") == (12, True)


def test_the_arrays_that_keras_is_given_are_all_of_ssrnet_s():
    from benchmarks import peers, train_step_library

    config = train_step_library.config_of("ssrnet", 64, "float32", 8)
    weights = train_step_library.weights_of(train_step_library.job_of(config))
    arrays = peers.keras_arrays(weights)
    assert sum(array.size for array in arrays.values()) == 40915
    assert arrays["conv2d_1/conv2d_1/kernel:0"].shape == (3, 3, 3, 32)


def test_inference_prints_a_row_for_each_batch(tiny_network, monkeypatch, capsys):
    pytest.importorskip("onnx", reason="the extra ldl_jax[export] is not installed")
    pytest.importorskip("onnxruntime", reason="the extra ldl_jax[export] is not installed")
    from benchmarks import inference, timing

    monkeypatch.setattr(timing, "_time", lambda run, calls: run(1) or 0.002)
    options = "--size 32 --batches 1 4 --no-torch --int8"
    inference.main(["--networks", tiny_network, *options.split()])
    text = capsys.readouterr().out
    assert "tiny: Differences from XLA's values, in years, at most: ONNX Runtime " in text
    for row, batch in zip(table(text), (1, 4), strict=True):
        assert (row["network"], row["batch"]) == (tiny_network, str(batch))
        assert row["XLA"] == row["ONNX Runtime"] == row["int8"] == f"{batch / 0.002:,.0f}"
        assert row["PyTorch"] == row["Keras"] == row["ONNX Runtime / Keras"] == "-"
        assert row["ONNX Runtime / XLA"] == "1.00"


def test_losses_prints_a_row_for_every_loss(monkeypatch, capsys):
    from benchmarks import losses, timing
    from ldl_jax import losses as library

    monkeypatch.setattr(timing, "_time", lambda run, calls: run(1) or 0.002)
    options = "--batch 8 --classes 5 --repeats 2 --no-torch"
    losses.main(options.split())
    rows = table(capsys.readouterr().out)
    weights = {"importance_weights", "lds_weights", "weights_of"}
    assert {row["loss"] for row in rows} == set(library.__all__) - weights
    for row in rows:
        assert row["ldl_jax ms"] == "2"
        assert row["PyTorch ms"] == row["PyTorch / ldl_jax"] == row["peer"] == "-"


def test_losses_are_not_timed_where_they_differ():
    from benchmarks import losses

    own = (np.float32(1), {"logits": np.ones((2, 3), np.float32)})
    losses.verify("dex", own, own, batch=2)
    for other in (
        (np.float32(1.001), own[1]),
        (own[0], {"logits": 1.001 * own[1]["logits"]}),
        (own[0], {"score": own[1]["logits"]}),
    ):
        with pytest.raises(AssertionError, match="dex"):
            losses.verify("dex", own, other, batch=2)


def test_losses_compares_with_pytorch(capsys):
    for package in ("torch", "coral_pytorch", "dlordinal"):
        pytest.importorskip(package, reason=f"{package} is not installed; make test-peers does it")
    from benchmarks import losses

    options = "--batch 8 --classes 5 --repeats 2 --losses l1 corn squared_emd crps"
    losses.main(options.split())
    rows = {row["loss"]: row for row in table(capsys.readouterr().out)}
    peers = {"l1": "torch", "corn": "coral-pytorch", "squared_emd": "dlordinal"}
    assert {name: row["peer"] for name, row in rows.items()} == peers | {"crps": "plain torch"}
    assert all(float(row["PyTorch / ldl_jax"]) > 0 for row in rows.values())


@pytest.mark.usefixtures("tiny_network")
def test_replicas_prints_each_way_and_what_is_picked(monkeypatch, capsys):
    from benchmarks import replicas

    monkeypatch.setattr(replicas, "METHODS", {"tiny": "dex"})
    replicas.main(["--runs", "2", "--batch", "8", "--repeats", "2"])
    (row,) = table(capsys.readouterr().out)
    assert (row["network"], row["runs"], row["auto"]) == ("tiny", "2", "one by one")
    for way in ("one by one", "together", "scanned", "together / one by one"):
        assert float(row[way]) > 0
