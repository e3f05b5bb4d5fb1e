"""Models on the hub, with its own client, against a folder that plays the hub on 127.0.0.1."""

import base64
import importlib.util
import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import ldl_jax
from ldl_jax import methods, models
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.predict import hub
from ldl_jax.predict.one_file import Notes
from ldl_jax.predict.predictor import Predictor

ROOT = Path(__file__).parents[2]
COMMIT = "0123456789abcdef0123456789abcdef01234567"
needs_client = pytest.mark.skipif(
    importlib.util.find_spec("huggingface_hub") is None, reason="the extra hub is not installed"
)


class Hub(BaseHTTPRequestHandler):
    """Gives the files of `folder`/OWNER/NAME, and takes commits into them."""

    folder: Path
    revisions = ("main", "v1", COMMIT)

    def log_message(self, *arguments):
        pass

    def answer(self, status, content=b"", **headers):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_HEAD(self):
        owner, name, _, *rest = [*self.path.split("/")[1:], "", "", ""]
        if name in ("private", "gated"):
            kind = {"private": "RepoNotFound", "gated": "GatedRepo"}[name]
            return self.answer(401 if name == "private" else 403, X_Error_Code=kind)
        if not (self.folder / owner / name).is_dir() or not owner:
            return self.answer(404, X_Error_Code="RepoNotFound")
        if rest[0] not in self.revisions:
            return self.answer(404, X_Error_Code="RevisionNotFound")
        if not (file := self.folder / owner / name / rest[1]).is_file():
            return self.answer(404, X_Error_Code="EntryNotFound", X_Repo_Commit=COMMIT)
        return self.answer(200, file.read_bytes(), X_Repo_Commit=COMMIT, ETag='"1"')

    def do_GET(self):
        self.do_HEAD()

    def do_POST(self):
        content = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.headers.get("Authorization") != "Bearer hf_mine":
            return self.answer(401, b'{"error": "Invalid username or password."}')
        if self.path == "/api/repos/create":
            asked = json.loads(content)
            (self.folder / asked["organization"] / asked["name"]).mkdir(parents=True)
            url = f"https://huggingface.co/{asked['organization']}/{asked['name']}"
            return self.answer(200, json.dumps({"url": url}).encode())
        if self.path == "/api/validate-yaml":  # of the card's head
            return self.answer(200, b'{"errors": [], "warnings": []}')
        _, _, _, owner, name, action, _ = self.path.split("/")
        if action == "preupload":
            files = json.loads(content)["files"]
            modes = [
                {"path": x["path"], "uploadMode": "regular", "shouldIgnore": False} for x in files
            ]
            return self.answer(200, json.dumps({"files": modes}).encode())
        for line in map(json.loads, content.splitlines()):
            if line["key"] == "file":
                given = base64.b64decode(line["value"]["content"])
                (self.folder / owner / name / line["value"]["path"]).write_bytes(given)
        answer = {
            "commitUrl": f"https://huggingface.co/{owner}/{name}/commit/{COMMIT}",
            "commitOid": COMMIT,
        }
        return self.answer(200, json.dumps(answer).encode())


CHILD = """
import json, sys
import numpy as np
import ldl_jax
from ldl_jax.predict import hub
from ldl_jax.train.backbone import fingerprint
predictor, images = ldl_jax.load(sys.argv[1]), np.load(sys.argv[2])
def line(function, *arguments):
    try:
        return str(function(*arguments))
    except ValueError as error:
        return f"ValueError: {error}"
said = {"push": line(hub.push, predictor, predictor.notes, "hf://me/ages")}
said["stranger"] = line(hub.push, predictor, predictor.notes, "hf://me/ages/x")
loaded = [ldl_jax.load(f"hf://me/ages{state}") for state in ("", "@v1", "@" + sys.argv[3])]
for name in ("nobody/nothing", "me/private", "me/gated", "me/ages@v9", "me/empty"):
    said[name] = line(ldl_jax.load, "hf://" + name)
import huggingface_hub
huggingface_hub.constants.HF_HUB_DISABLE_IMPLICIT_TOKEN = True
said["no token"] = line(hub.push, predictor, predictor.notes, "hf://me/other")
huggingface_hub.constants.HF_HUB_OFFLINE = True
said["offline"] = line(ldl_jax.load, "hf://me/elsewhere")
loaded.append(ldl_jax.load("hf://me/ages"))
assert len({fingerprint(each.trained) for each in loaded}) == 1
print(json.dumps([said, loaded[-1](images).value.tolist()]))
"""


@pytest.fixture(scope="module")
def spoken(tmp_path_factory, draw_weights, make_record):
    """What a process says that pushes to the hub and loads from it, its answer, and the folder."""
    folder = tmp_path_factory.mktemp("hub")
    model = models.build("ssrnet")
    method = methods.get("ssr", space=make_record().space)
    about = make_record(
        model={"name": "ssrnet"}, method={"name": "ssr"}, preprocessing=Preprocessing(64, 64)
    )
    predictor = Predictor(about, draw_weights(model, method))
    predictor.save(folder / "m.safetensors", notes=Notes("# The card\n", "free"))
    images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
    np.save(folder / "images.npy", images)
    (folder / "me" / "empty").mkdir(parents=True)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OfFolder", (Hub,), {"folder": folder}))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    environment = {**os.environ, "HF_ENDPOINT": address, "HF_HOME": str(folder / "cache")}
    environment |= {"HF_TOKEN": "hf_mine", "HF_HUB_DISABLE_TELEMETRY": "1", "JAX_PLATFORMS": "cpu"}
    names = [str(folder / "m.safetensors"), str(folder / "images.npy"), COMMIT]
    try:
        done = subprocess.run(
            [sys.executable, "-c", CHILD, *names],
            cwd=ROOT, env=environment, capture_output=True, text=True, timeout=180,
        )  # fmt: skip
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
    assert done.returncode == 0, done.stderr
    said, value = json.loads(done.stdout.splitlines()[-1])
    return said, value, folder, predictor(images)


@needs_client
def test_what_was_pushed_is_loaded(spoken):
    said, value, folder, expected = spoken
    assert said["push"] == f"https://huggingface.co/me/ages/commit/{COMMIT}"
    assert (folder / "me/ages/README.md").read_text() == "# The card\n"
    assert (folder / "me/ages/model.safetensors").read_bytes() == (
        folder / "m.safetensors"
    ).read_bytes()
    np.testing.assert_allclose(value, expected.value, rtol=1e-4)


@needs_client
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nobody/nothing", "the hub has no such repository, or it is private and needs a token"),
        ("me/private", "the hub has no such repository, or it is private and needs a token"),
        ("me/gated", "its owner has to let you in first"),
        ("me/ages@v9", "the repository has no revision 'v9'"),
        ("me/empty", "the repository has no model.safetensors"),
        ("offline", "the hub cannot be reached, and the file was not fetched before"),
        ("no token", "the hub asks for a token that it knows"),
        ("stranger", "expected hf://owner/name"),
    ],
)
def test_what_goes_wrong_is_one_line(spoken, name, words):
    line = spoken[0][name]
    assert line.startswith("ValueError: ")
    assert words in line
    assert "\n" not in line


@pytest.mark.parametrize(
    "name",
    [
        *("hf://", "hf://owner", "hf://owner/", "hf://a/b/c", "hf://a/b@", "hf://a/../b"),
        *(
            "hf://../..",
            "hf://a/b@../../x",
            "hf://a b/c",
            "hf://a/b\n",
            "hf:///a/b",
            "hf://a/b@v 1",
        ),
    ],
)
def test_names_that_are_none(name):
    with pytest.raises(ValueError, match="expected hf://owner/name") as failed:
        ldl_jax.load(name)
    assert "\n" not in str(failed.value)


def test_a_name_of_a_state_is_not_pushed_to():
    with pytest.raises(ValueError, match="a new state has no revision yet: give hf://a/b"):
        hub.check_writable("hf://a/b@v1")


def test_without_the_client_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(ValueError, match=r"pip install 'ldl_jax\[hub\]'"):
        ldl_jax.load("hf://a/b")
    with pytest.raises(ValueError, match=r"pip install 'ldl_jax\[hub\]'"):
        hub.check_writable("hf://a/b")
