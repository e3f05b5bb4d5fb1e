"""The command that serves: its lines, its end by a signal, and what it refuses."""

import contextlib
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from absl import flags

from ldl_jax import methods, models
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.labels import AGE
from ldl_jax.run.command import parse_flags
from tests.serve.serving import drawn  # skips this module where the extra is not installed

from launch import serve  # isort: skip

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory, draw_weights, write_checkpoint):
    network = {"name": "resnet10_tiny", "dtype": "float32"}
    weights = draw_weights(models.build(**network), methods.get("dldl", space=AGE))
    folder = tmp_path_factory.mktemp("checkpoint") / "c"
    return write_checkpoint(folder, weights, model=network, preprocessing=Preprocessing(32, 32))


def test_a_process_answers_and_ends_by_sigterm_with_code_0(checkpoint, tmp_path):
    with subprocess.Popen(
        [
            *(sys.executable, "-m", "launch.serve", str(checkpoint), "--aligned", "--port=0"),
            *("--batch=2", "--timeout=300"),
        ],
        cwd=ROOT,
        env={**os.environ, "XLA_FLAGS": "--xla_backend_optimization_level=0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        patience = threading.Timer(300, process.kill)
        patience.start()
        try:
            first = process.stdout.readline()
            match = re.fullmatch(
                r"listening at http://127\.0\.0\.1:(\d+); no picture is kept or logged\n", first
            )
            assert match, first + process.stderr.read()
            assert process.stdout.readline().startswith("ready after ")
            with contextlib.closing(http.client.HTTPConnection("127.0.0.1", int(match[1]))) as one:
                content = drawn()
                one.putrequest("POST", "/predict")
                one.putheader("Content-Length", str(len(content)))
                one.endheaders(content[:100])
                with contextlib.closing(http.client.HTTPConnection(one.host, one.port)) as other:
                    text = b""
                    while b"\nldl_active_requests 1.0\n" not in text:
                        other.request("GET", "/metrics")
                        text = other.getresponse().read()
                process.send_signal(signal.SIGTERM)
                time.sleep(0.3)
                one.send(content[100:])
                response = one.getresponse()
                assert response.status == 200
                assert json.loads(response.read())[0]["unit"] == "years"
            printed, errors = process.communicate()
        finally:
            patience.cancel()
            process.kill()
    assert process.returncode == 0
    assert printed == "stopped\n"
    assert errors == "stopping: 1 requests are answered first, new ones are refused\n"


def call(*arguments):
    """The command in this process, which must refuse; its exit code."""
    flags.FLAGS.unparse_flags()
    try:
        serve.main(parse_flags(["serve", "--port=0", *map(str, arguments)]))
    except SystemExit as end:
        return end.code
    finally:
        flags.FLAGS.unparse_flags()
        flags.FLAGS(["serve"])
    return 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ([], "give one run's workdir"),
        (["a", "b"], "give one run's workdir"),
        (["nowhere"], "nowhere does not exist"),
        (["{c}", "--queue=0", "--port=-1"], "--queue: expected 1 to 100000, got 0; --port: exp"),
        (["{c}", "--max-megabytes=0"], "--max-megabytes: expected 0.001 to 1000, got 0"),
        (["{c}", "--max-pictures=200"], "--max-pictures: expected at most the 128 of queue"),
        (["{c}", "--site=nowhere"], "--site: expected a folder with an index.html, got nowhere"),
        (["{c}", "--coverage=2", "--wait=-1"], "--wait: expected 0 to 1000, got -1; --coverage"),
        (["{c}", "--aligned", "--margin=0.2"], "--margin: with --aligned"),
        (["{c}", "--detector=mtcn"], "detector: unknown 'mtcn'"),
        (["{c}", "--aligned", "--host=192.0.2.1"], "--host: expected an address of this machine"),
        (["{c}", "--prot=1"], "prot"),
        (
            ["{c}", "--aligned", "--threshold=101", "--max-width=0"],
            "--threshold: expected within the model's labels, 0 to 100 years, got 101; --max-width",
        ),
    ],
)
def test_what_is_wrong_is_one_line(checkpoint, capsys, arguments, says):
    assert call(*[text.format(c=checkpoint) for text in arguments]) == 1
    *notes, last = capsys.readouterr().err.splitlines()
    assert last.startswith("error: ")
    assert says in last
    assert not any(line.startswith("error") for line in notes)


def test_a_missing_extra_is_named(checkpoint, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "python_multipart", None)
    assert call(checkpoint, "--aligned") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "a server needs the package python_multipart" in line
    assert "pip install 'ldl_jax[serve]'" in line
