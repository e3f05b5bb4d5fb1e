"""The page in a browser: its answers are the predictor's, nothing leaves, anybody can use it."""

import json
import re

import numpy as np
import pytest
from PIL import Image

from ldl_jax.data import align
from ldl_jax.data import pictures as reading
from ldl_jax.data.detect import mtcnn
from ldl_jax.predict import faces
from tests.page.conftest import served


def answers(predictor, path):
    """What `launch.predict` answers for a picture's faces."""
    found = list(
        faces.answer(predictor, [path], detect=mtcnn.detector(), alignment=predictor.alignment)
    )
    assert not found[0].problems
    return found[0].answers


def give(page, *files):
    page.locator("#files").set_input_files([str(file) for file in files])


def shown(page, name):
    """The values, and the ends of the intervals, that the page shows for a picture."""
    article = page.locator("article", has=page.get_by_role("heading", name=name, exact=True))
    article.wait_for()
    values = [float(text) for text in article.locator(".value strong").all_text_contents()]
    texts = article.locator(".interval").all_text_contents()
    return values, [[float(x) for x in re.findall(r"\d+\.?\d*(?! ?%)\b", text)] for text in texts]


def test_the_answers_are_the_predictors(make_page, predictor, pictures):
    page = make_page()
    give(page, pictures["two.png"], pictures["two.jpg"])
    spread = []
    for name in ("two.png", "two.jpg"):
        expected = answers(predictor, pictures[name])
        values, intervals = shown(page, name)
        assert len(expected) == 2
        np.testing.assert_allclose(values, [x.value for x in expected], atol=0.1)
        ends = [[x.low, x.high] for x in expected]
        np.testing.assert_allclose([x[-2:] for x in intervals], ends, atol=1)
        spread += values
    assert max(spread) - min(spread) > 2  # else a page that sees nothing would pass
    first = page.locator("li").first
    assert first.locator("rect").count() == predictor.space.size
    assert "the likeliest is" in first.locator(".chart").get_attribute("aria-label")
    first.get_by_text("The numbers").click()
    assert first.locator("tbody tr").count() > 1


def test_pictures_that_are_faces_already(make_page, predictor, pictures):
    page = make_page()
    page.get_by_role("switch").check()
    give(page, pictures["one.png"])
    values, _ = shown(page, "one.png")
    expected = predictor(np.asarray(Image.open(pictures["one.png"]))[None]).value
    np.testing.assert_allclose(values, expected, atol=0.1)


def test_the_steps_are_python_s(make_page, pictures, predictor):
    """Boxes, points, crops: each as Python has it, so that no fault hides in another."""
    page = make_page()
    found = page.evaluate(
        """async (base64) => {
          const load = (name) => import(new URL(name, document.baseURI));
          const [{load: loaded, cropsOf}, {readPicture}, {resize, fit}] = await Promise.all(
            ["model.js", "pictures.js", "resample.js"].map(load));
          const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
          const image = await readPicture(new File([bytes], "two.png"));
          const {about, find} = await loaded(() => {});
          const faces = await find(image);
          return {faces, crops: cropsOf(image, faces, about).map(({data}) => [...data]),
            small: [...resize(image, 50, 90, null, 2).data],
            fitted: [...fit(image, {size: 72, crop: 0.7, square: false}).data],
            square: [...fit(image, {size: 72, crop: 0.7, square: true}).data]};
        }""",
        encoded(pictures["two.png"].read_bytes()),
    )
    image = reading.read(pictures["two.png"])
    expected = mtcnn.detector()(image)
    assert len(found["faces"]) == len(expected) == 2
    for face, ours in zip(found["faces"], expected, strict=True):
        np.testing.assert_allclose(face["box"], ours.box, atol=0.02)
        np.testing.assert_allclose(face["points"], ours.points, atol=0.02)
    for crop, ours in zip(found["crops"], expected, strict=True):
        square = align.square_of(ours, predictor.alignment)
        same(crop, predictor.fitted(align.cut(image, square, 80)))
    small = image.resize((50, 90), Image.Resampling.BILINEAR, reducing_gap=2.0)
    same(found["small"], np.asarray(small))
    same(found["fitted"], reading.fit(image, 72, 0.7))
    same(found["square"], reading.fit(image, 72, 0.7, square=True))


def test_squares_are_python_s(make_page):
    rng = np.random.default_rng(0)
    points = align.TEMPLATE * 90 + [150, 120] + rng.normal(0, 6, (20, 5, 2))
    faces = [align.Face((100.0, 60.0, 190.5, 181.0), five) for five in points]
    squares = make_page().evaluate(
        """async ([faces, kinds]) => {
          const {squareOf} = await import(new URL("align.js", document.baseURI));
          return kinds.map((kind) => faces.map((face) => squareOf(face, {kind, margin: 0.3})));
        }""",
        [[{"box": face.box, "points": face.points.tolist()} for face in faces], align.KINDS],
    )
    for kind, rows in zip(align.KINDS, squares, strict=True):
        expected = [align.square_of(face, align.Alignment(kind, 0.3)) for face in faces]
        np.testing.assert_allclose([[*row.values()] for row in rows], expected, atol=1e-9)


def same(pixels, expected):
    """Pillow 13 resizes columns first where that is faster: a rounding may differ."""
    difference = np.abs(np.array(pixels) - expected.astype(int).ravel())
    assert difference.max() <= 2
    assert difference.mean() < 0.3


def encoded(content):
    import base64

    return base64.b64encode(content).decode()


def test_nothing_can_leave(make_page, tmp_path):
    page = make_page()
    (tmp_path / "a").write_text("")
    with served(tmp_path) as (elsewhere, requests):
        outcomes = page.evaluate(
            """async (url) => {
              const refused = (promise) => promise.then(() => "sent", () => "refused");
              const event = (target) => new Promise((done) => Object.assign(target,
                {onload: () => done("sent"), onerror: () => done("refused")}));
              const image = new Image(), outcomes = {};
              image.src = url + "a";
              outcomes.image = await event(image);
              outcomes.fetch = await refused(fetch(url + "a", {method: "POST", body: "x"}));
              outcomes.script = await refused(import(url + "a"));
              const socket = new WebSocket(url.replace("http", "ws"));
              outcomes.socket = await event(Object.assign(socket, {onopen: socket.onload}));
              const form = document.createElement("form");
              form.action = url; form.method = "post";
              document.body.append(form);
              const blocked = new Promise((done) => document.addEventListener(
                "securitypolicyviolation", ({violatedDirective}) => done(violatedDirective)));
              form.submit();
              outcomes.form = await blocked;
              try { eval("1"); outcomes.eval = "run"; } catch { outcomes.eval = "refused"; }
              return outcomes;
            }""",
            elsewhere,
        )
    assert outcomes.pop("form") == "form-action"
    assert set(outcomes.values()) == {"refused"}, outcomes
    assert not requests


def test_the_keyboard_is_enough(make_page, pictures):
    page = make_page()
    # The browser is told early to hand its dialogs over: that takes it a moment.
    page.on("filechooser", lambda chooser: None)
    for _ in range(2):  # the link to the limits comes first
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Choose pictures"
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(outline) == "solid"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(pictures["two.png"])
    shown(page, "two.png")
    spoken = r"two\.png: 2 faces\. Face 1: \d+\.\d years, 90 % between"
    assert re.match(spoken, status_of(page))
    for _ in range(3):  # the camera's button, the switch, and the first of the answer
        page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.ariaLabel") == "Remove two.png"
    page.keyboard.press("Enter")
    assert page.locator("article").count() == 0
    assert page.evaluate("document.activeElement.id") == "choose"


def test_the_camera(make_page):
    page = make_page()
    page.get_by_role("button", name="Use the camera").click()
    page.locator("#viewfinder button:focus").wait_for()
    page.keyboard.press("Enter")
    values, _ = shown(page, "the camera's picture")
    assert len(values) == 2
    page.get_by_role("button", name="Stop the camera").click()
    assert page.locator("video").is_hidden()
    assert page.evaluate("document.activeElement.id") == "camera"


def test_a_camera_that_is_refused(make_page):
    page = make_page()
    page.evaluate(
        """() => {
          navigator.mediaDevices.getUserMedia = () =>
            Promise.reject(new DOMException("no", "NotAllowedError"));
        }"""
    )
    page.get_by_role("button", name="Use the camera").click()
    page.get_by_text("The camera was refused").wait_for()


def test_pictures_are_pasted_and_dropped(make_page, pictures):
    page = make_page()
    send = """([kind, base64]) => {
      const data = new DataTransfer();
      const bytes = Uint8Array.from(atob(base64), (c) => c.charCodeAt(0));
      if (base64) data.items.add(new File([bytes], kind + ".png", {type: "image/png"}));
      document.body.dispatchEvent(kind === "paste"
        ? new ClipboardEvent(kind, {clipboardData: data, bubbles: true})
        : new DragEvent(kind, {dataTransfer: data, bubbles: true, cancelable: true}));
    }"""
    for kind in ("paste", "drop"):
        page.evaluate(send, [kind, encoded(pictures["two.png"].read_bytes())])
        assert len(shown(page, f"{kind}.png")[0]) == 2
    page.evaluate(send, ["drop", ""])
    page.get_by_text("What was dropped is no file.").wait_for()


@pytest.fixture
def faulty(pictures, tmp_path):
    """Files with a fault each, by what the page says of them."""
    png, jpeg = pictures["two.png"].read_bytes(), pictures["two.jpg"].read_bytes()
    flipped = bytearray(png)
    flipped[len(png) // 2] ^= 1
    contents = {
        "empty.png": (b"", "the file is empty"),
        "text.jpg": (b"no picture at all", "it cannot be read as a picture"),
        "cut.jpg": (jpeg[: len(jpeg) // 2], "the JPEG is cut short"),
        "cut.png": (png[: len(png) // 2], "the PNG is cut short"),
        "flipped.png": (bytes(flipped), "another check sum"),
    }
    Image.new("RGB", (200, 200), (120,) * 3).save(tmp_path / "grey.png")
    Image.new("L", (17_000, 4)).save(tmp_path / "wide.png")
    for name, (content, _) in contents.items():
        (tmp_path / name).write_bytes(content)
    lines = {name: line for name, (_, line) in contents.items()}
    return tmp_path, lines | {
        "grey.png": "no face was found",
        "wide.png": "it is too big: 17000 × 4 pixels",
    }


def test_each_fault_is_one_line(make_page, faulty, pictures):
    page = make_page()
    folder, lines = faulty
    give(page, *(folder / name for name in lines), pictures["two.png"])
    shown(page, "two.png")  # a fault stops no other picture
    said = page.get_by_role("alert").locator("p").all_text_contents()
    assert len(said) == len(lines)
    for text, (name, line) in zip(said, lines.items(), strict=True):
        assert text.startswith(f"{name}: ")
        assert line in text


def test_a_model_of_values_and_a_page_without_a_detector(make_page, site, address, pictures):
    about = json.loads((site / "model.json").read_text())
    about |= {
        "value_alone": True,
        "stand_in": True,
        "detector": None,
        "unit": "score",
        "title": "A score",
    }
    page = make_page(wait=False)
    page.route(re.compile("model.json"), lambda route: route.fulfill(json=about))
    page.goto(address)
    page.get_by_text("Ready.").wait_for()
    assert page.get_by_role("heading", name="A score").is_visible()
    switch = page.get_by_role("switch")
    assert switch.is_checked()
    assert switch.is_disabled()
    give(page, pictures["one.png"])
    assert len(shown(page, "one.png")[0]) == 1
    assert page.locator("article .chart").count() == 0
    assert re.fullmatch(r"one\.png: 1 face\. score \d+\.\d\.", status_of(page))


@pytest.mark.parametrize("calibrated", [True, False])
def test_an_interval_is_worded_by_what_it_promises(make_page, site, address, pictures, calibrated):
    about = json.loads((site / "model.json").read_text())
    assert about["calibrated"] is False
    assert "it is no promise" in about["reading"]
    about |= {"calibrated": calibrated, "reading": "What it is worth."}
    page = make_page(wait=False)
    page.route(re.compile("model.json"), lambda route: route.fulfill(json=about))
    page.goto(address)
    page.get_by_text("Ready.").wait_for()
    assert page.get_by_text("What it is worth.").is_visible()
    page.get_by_role("switch").check()
    give(page, pictures["one.png"])
    shown(page, "one.png")
    text = page.locator(".interval").first.text_content()
    words = "calibrated for 90 % of such pictures" if calibrated else "90 % by its own claim"
    assert text.startswith(f"{words}: between ")
    assert text in status_of(page)


def status_of(page):
    return page.get_by_role("status").text_content()


def test_a_browser_that_hides_pixels_is_told_apart(make_page, pictures):
    page = make_page()
    page.evaluate(
        """() => {
          CanvasRenderingContext2D.prototype.getImageData =
            (x, y, width, height) => new ImageData(width, height);
        }"""
    )
    give(page, pictures["one.png"])
    page.get_by_text("this browser hides pixels from pages").wait_for()


@pytest.mark.parametrize(
    ("file", "content", "line"),
    [
        ("model.onnx", None, "models/model.onnx?v={} of this page is missing (404)"),
        ("model.onnx", b"no graph", "models/model.onnx?v={} of this page is damaged"),
        ("ort.js", None, "ort/ort.js?v={} of this page cannot be loaded"),
    ],
)
def test_a_file_of_the_page_that_is_missing_or_damaged(make_page, address, file, content, line):
    page = make_page(wait=False)
    status = {"status": 404} if content is None else {"body": content}
    page.route(re.compile(re.escape(file)), lambda route: route.fulfill(**status))
    page.goto(address)
    page.get_by_role("alert").locator("p").wait_for()
    said = page.get_by_role("alert").text_content()
    assert re.search(re.escape(line).replace(r"\{\}", r"\w+"), said), said
    assert page.get_by_role("button", name="Choose pictures").is_disabled()


def test_opened_as_a_file_it_says_what_to_do(browser, site):
    page = browser.new_page()
    page.goto((site / "index.html").as_uri())
    page.get_by_text("python -m http.server").wait_for()
    assert page.locator("main").is_hidden()
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_s_width_and_the_contrast(make_page, pictures, scheme):
    page = make_page()
    page.set_viewport_size({"width": 320, "height": 640})
    page.emulate_media(color_scheme=scheme)
    give(page, pictures["two.png"])
    shown(page, "two.png")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    pairs = [("ink", "paper"), ("soft", "paper"), ("soft", "card"), ("ink", "card")]
    pairs += [("on-accent", "accent"), ("accent", "card"), ("warn", "warn-paper")]
    colours = page.evaluate(
        """(names) => names.map((pair) => pair.map((name) =>
          getComputedStyle(document.documentElement).getPropertyValue("--" + name)))""",
        pairs,
    )
    for names, (one, other) in zip(pairs, colours, strict=True):
        least = 3 if names == ("accent", "card") else 4.5  # bars and letters, WCAG 2.2 AA
        assert contrast(one, other) >= least, names


def contrast(one, other):
    """The contrast of two colours "#rrggbb", from 1 to 21, by WCAG 2.2."""

    def luminance(colour):
        channels = np.array([int(colour.strip()[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(
            channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4
        )
        return float(linear @ [0.2126, 0.7152, 0.0722])

    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def test_what_it_is_not_for_and_where_pictures_go_is_said(make_page):
    page = make_page()
    text = page.locator("body").inner_text()
    assert "What this is not for" in text
    assert "No decision about a person" in text
    assert "Your pictures stay on this device" in text
    assert page.title() == "Age from a face"
    assert json.loads(page.evaluate("fetch('model.json').then((x) => x.text())"))["unit"] == "years"
