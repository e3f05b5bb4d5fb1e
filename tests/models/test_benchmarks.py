"""The benchmarks run, and compare what they say they compare."""

from pathlib import Path

import jax
import pytest


@pytest.fixture(autouse=True)
def importable(monkeypatch):
    """The benchmarks are not installed: they are run from the repository."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))


def table(text):
    """The cells of the rows of a markdown table."""
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]


def test_train_step_prints_a_row_for_training_and_one_for_inference(
    tiny_network, monkeypatch, capsys
):
    from benchmarks import roofline, train_step

    monkeypatch.setattr(roofline, "side", lambda: 64)
    monkeypatch.setattr(roofline, "_copy_rate", lambda: 1e9)
    options = "--sizes 32 --dtypes float32 --batch 8 --repeats 2 --no-torch"
    train_step.main(["--backbones", tiny_network, *options.split()])
    train, infer = table(capsys.readouterr().out)
    assert train["step"] == "train"
    assert infer["step"] == "infer"
    for row in (train, infer):
        assert row["network"] == "tiny"
        assert float(row["JAX images/s"]) > 0
        assert row["PyTorch images/s"] == "-"
        assert row["of roofline"].endswith("%")


def test_convolution_times_each_form_against_xla_s(monkeypatch, capsys):
    from benchmarks import convolution

    monkeypatch.setattr(convolution, "used", lambda batch: [convolution._small(batch, 2, 4)])
    monkeypatch.setattr(convolution, "unused", lambda batch: [])
    convolution.main(["--batch", "2", "--repeats", "2", "--no-network"])
    row = table(capsys.readouterr().out)[0]
    assert row["case"] == "3x3, 4 to 4, 2 of 2x2"
    assert float(row["XLA"]) > 0


def test_without_a_form_a_network_is_traced_with_xla_s_own():
    from benchmarks import convolution
    from ldl_jax import models

    model = models.build("resnet10_tiny")
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    images = jax.ShapeDtypeStruct((2, 64, 64, 3), "float32")

    def convolutions(*forms):
        with convolution.without(*forms):
            traced = jax.make_jaxpr(lambda *a: model.apply(*a, train=True))(*shapes, images)
        return str(traced).count("conv_general_dilated["), "reduce_window_max" in str(traced)

    assert convolutions() == (9, False)  # the stem's form holds one
    assert convolutions("small maps") == (12, False)
    assert convolutions("stem", "max-pool") == (9, True)
    assert convolutions("stem", "small maps", "max-pool") == (12, True)
