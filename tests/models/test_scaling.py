"""Compares the estimates of a long pre-training with numbers worked out by hand."""

from pathlib import Path

import pytest

from ldl_jax.models import build
from ldl_jax.run import experiment


@pytest.fixture(autouse=True)
def scaling(monkeypatch):
    """The benchmarks are not installed: they are run from the repository."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2]))
    from benchmarks import scaling

    return scaling


def test_a_network_and_its_run(scaling, tiny_network):
    task = scaling.Task(pictures=1000, identities=10, epochs=3, size=8)
    one = scaling.network(tiny_network, task, None, 6e9, "assumed")
    assert build(tiny_network).width == 16
    # dense 48 to 16 with bias, a normalisation of 16, a head of 16 to 10 with bias
    assert one.parameters == (48 * 16 + 16) + 2 * 16 + 17 * 10
    assert one.flops == 6 * (48 * 16 + 16 * 10)
    assert one.rate == 6e9 / one.flops
    assert scaling.network(tiny_network, task, 50.0, 0.0, "given").rate == 50
    given = one._replace(rate=50.0)
    run = scaling.training_run(given, devices=4, batch=32, task=task, link=1e3)
    assert (run.batch, run.steps) == (128, 3 * 7)
    assert run.seconds == 21 * 32 / 50
    assert run.exchange == pytest.approx(21 * 1.5 * 4 * one.parameters / 1e3)
    assert run.images_per_second == 200


def test_the_tables_say_what_is_assumed_and_what_is_not(scaling, tiny_network, capsys):
    options = "--size 32 --devices 2 8 --pictures 6400 --epochs 2 --batch 16 --identities 100"
    scaling.main(["--networks", tiny_network, "--decode", "100", *options.split()])
    text = capsys.readouterr().out
    assert "One core decodes 100 JPEGs/s (given)." in text
    assert "19.7 MB: 9.83 MB a device of 2, 2.46 MB a device of 8." in text
    assert text.count("| assumed: 40% of 989 TFLOP/s |") == 1
    assert text.count("| assumed: 10% of 989 TFLOP/s |") == 1
    scaling.main(["--networks", tiny_network, "--rate", "tiny=200", *options.split()])
    text = capsys.readouterr().out
    assert "(measured on a drawn face, " in text
    assert "| 200 | given |" in text
    cells = [line.strip("| ").split(" | ") for line in text.splitlines() if "| 128 |" in line]
    # 2 x 6400 pictures at 8 x 200 a second are 8 s
    assert [row[:6] for row in cells] == [["tiny", "200", "8", "128", "100", "0.00222"]]


def test_a_rate_is_measured_of_the_steps_that_a_call_takes(scaling, tiny_network, monkeypatch):
    from benchmarks import timing

    monkeypatch.setattr(timing, "_time", lambda run, calls: run(1) or 0.002)
    assert scaling.measured_rate(tiny_network, 32, 16) == 16 / 0.002
    monkeypatch.setattr(experiment, "_steps_per_call", lambda train: 4)
    assert scaling.measured_rate(tiny_network, 32, 16) == 4 * 16 / 0.002


def test_rates_and_exchange_of_a_compiled_program(scaling, tiny_network, monkeypatch, capsys):
    from benchmarks import gpu_target, hlo

    text = """ENTRY %main (x: f32[1000]) -> f32[1000] {
  %x = f32[1000]{0} parameter(0)
  ROOT %sum = f32[1000]{0} all-reduce(%x), to_apply=%add
}
"""
    compiled = []

    def compile_case(case):
        compiled.append(case)
        return gpu_target.CompiledProgram(case, hlo.Module(text), 32, 16, 0, 0)

    monkeypatch.setattr(gpu_target, "missing", lambda: "")
    monkeypatch.setattr(gpu_target, "compile_case", compile_case)
    options = "--size 32 --devices 2 --pictures 6400 --batch 16 --identities 100 --decode 100"
    scaling.main(["--networks", tiny_network, "--compiled", *options.split()])
    text = capsys.readouterr().out
    assert compiled == [gpu_target.Setting("tiny", 32, 16, "bfloat16", devices=2, labels=100)]
    # The only kernel moves 8,000 bytes at 4.3 TB/s, or takes 2 µs.
    assert f"| 4 kB | {16 / (8000 / 4.3e12):,.0f} | an H200, estimate: bytes and FLOPs |" in text
    assert "| 4 kB | 8,000,000 | an H200, estimate: and 2 µs a kernel |" in text


@pytest.mark.parametrize("rate", ["tiny", "tiny=", "tiny=0", "other=5"])
def test_a_rate_that_cannot_be(scaling, tiny_network, rate):
    with pytest.raises(SystemExit, match=r"^error: --rate: expected NETWORK=IMAGES"):
        scaling.main(["--rate", rate])
