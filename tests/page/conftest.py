"""A page in headless Chromium, from a plain static server; skipped where one is missing."""

import contextlib
import functools
import http.server
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from ldl_jax import methods, models
from ldl_jax.data.align import Alignment
from ldl_jax.data.augment.augmentation import Preprocessing
from ldl_jax.data.synthetic import faces as synthetic
from ldl_jax.labels import AGE
from ldl_jax.predict.predictor import Predictor
from ldl_jax.train.record import Record

ROOT = Path(__file__).parents[2]
HOW = "make test-page sets it up"
# Where `make test-page` installs the npm package, and where a user would.
RUNTIMES = [ROOT / folder / "node_modules/onnxruntime-web" for folder in (".cache/page", ".")]


@pytest.fixture(scope="session")
def runtime() -> Path:
    """The folder of onnxruntime-web."""
    given = os.environ.get("ONNXRUNTIME_WEB")
    for folder in [Path(given)] if given else RUNTIMES:
        if folder.is_dir():
            return folder
    pytest.skip(f"no onnxruntime-web; {HOW}")


@pytest.fixture(scope="session")
def predictor(draw_weights) -> Predictor:
    """A network with drawn weights whose answers differ from face to face by years."""
    model, method = models.build("ssrnet"), methods.get("dldl", space=AGE)
    weights = draw_weights(model, method, seed=1)
    weights.params["head"]["logits"]["kernel"] *= 8
    record = Record(
        {"name": "ssrnet"},
        {"name": "dldl"},
        AGE,
        Preprocessing(72, 64, crop=0.9),
        Alignment("similarity", 0.2),
        flip=True,
    )
    return Predictor(record, weights)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory) -> dict[str, Path]:
    """Files of synthetic faces: two.png and two.jpg of two each, and one.png of one."""
    folder = tmp_path_factory.mktemp("pictures")
    drawn = synthetic.faces(count=8, size=224).images
    canvas = np.full((480, 640, 3), 120, np.uint8)
    canvas[60:284, 40:264], canvas[120:344, 340:564] = drawn[1], drawn[2]
    Image.fromarray(canvas).save(folder / "two.png")
    Image.fromarray(canvas).save(folder / "two.jpg", quality=92)
    Image.fromarray(drawn[3]).save(folder / "one.png")
    return {path.name: path for path in folder.iterdir()}


@contextlib.contextmanager
def served(folder: Path) -> Iterator[tuple[str, list[str]]]:
    """Serves a folder; gives its address, and the list of the requests that come."""
    lines: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, form: str, *values: object) -> None:
            lines.append(form % values)

    handler = functools.partial(Handler, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/", lines
        server.shutdown()
        thread.join()


@pytest.fixture(scope="session")
def site(runtime, predictor, tmp_path_factory) -> Path:
    """The folder of the predictor's page."""
    pytest.importorskip("onnx")
    from ldl_jax.export import site

    folder = tmp_path_factory.mktemp("page") / "site"
    site.write(predictor, folder, onnxruntime_web=runtime)
    return folder


@pytest.fixture(scope="session")
def address(site) -> Iterator[str]:
    with served(site) as (url, _):
        yield url


@pytest.fixture(scope="session")
def camera(pictures, tmp_path_factory) -> Path:
    """A film of one frame, of two faces, that Chromium takes for its camera."""
    path = tmp_path_factory.mktemp("camera") / "camera.y4m"
    image = Image.open(pictures["two.png"]).convert("YCbCr")
    luma, *chroma = image.split()
    half = [plane.resize((320, 240), Image.Resampling.BOX) for plane in chroma]
    frame = b"FRAME\n" + b"".join(plane.tobytes() for plane in (luma, *half))
    path.write_bytes(b"YUV4MPEG2 W640 H480 F10:1 Ip A1:1 C420jpeg\n" + frame)
    return path


@pytest.fixture(scope="session")
def playwright():
    """The package that drives Chromium."""
    return pytest.importorskip("playwright.sync_api", reason=f"no playwright; {HOW}")


@pytest.fixture(scope="session")
def chromium() -> str:
    """Chromium's program."""
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    return program or pytest.skip(f"no Chromium; {HOW}")


@pytest.fixture(scope="session")
def browser(playwright, chromium, runtime, camera):
    """Chromium, which has a camera that shows two faces."""
    arguments = [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={camera}",
        "--disable-background-networking",
    ]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium, args=arguments, chromium_sandbox=os.geteuid() != 0
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def window(browser):
    """One window for all tests: it loads the page's files once."""
    return browser.new_context()


@pytest.fixture
def make_page(window, address):
    """`make_page(wait=True)`: the page, loaded. No test's page may ask another origin, or fail."""
    pages, requests, errors = [], [], []

    def make(wait: bool = True):
        pages.append(window.new_page())
        page = pages[-1]
        page.set_default_timeout(60_000)  # a loaded machine is slow
        page.on("requestfinished", lambda request: requests.append((request.method, request.url)))
        page.on("pageerror", lambda error: errors.append(str(error)))
        if wait:
            page.goto(address)
            page.get_by_text("Ready.").wait_for()
        return page

    yield make
    for page in pages:
        page.close()
    assert not errors
    outside = [
        (method, url)
        for method, url in requests
        if not (method == "GET" and url.startswith((address, f"blob:{address}")))
    ]
    assert not outside
