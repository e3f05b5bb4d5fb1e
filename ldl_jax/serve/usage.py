"""The page of a server without a site: how to ask, and a form that needs no script."""

import html

from ldl_jax import calibration
from ldl_jax.predict.predictor import Predictor
from ldl_jax.serve.limits import Limits

POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>ldl_jax</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 42rem; margin: 2rem auto }}
body {{ padding: 0 1rem }}
pre {{ overflow-x: auto }}
</style>
<h1>ldl_jax</h1>
<p>The network {network} with the method {method} answers in {unit}, from {low:g} to {high:g}.</p>
<form method="post" action="predict" enctype="multipart/form-data">
<label>Pictures <input type="file" name="picture" accept="image/*" multiple required></label>
<button>Answer</button>
</form>
<pre>curl --data-binary @photo.jpg -H 'Content-Type: image/jpeg' HOST/predict
curl -F picture=@a.jpg -F picture=@b.png HOST/predict
curl -F picture=@a.jpg 'HOST/predict?threshold={threshold:g}&amp;max_width={width:g}'</pre>
<p>{intervals} With a threshold an answer has the probability of as much or more; with a
greatest width it has a value only where its interval is narrower.</p>
<p>The answer is JSON: a list with an object for each face. A request holds at most {megabytes:g}
million bytes and {pictures} pictures. Pictures are answered in memory; none is kept or logged.
<a href="healthz">healthz</a> and <a href="metrics">metrics</a> are for machines.</p>
<p>An estimate is not a person's age. Make no decision about a person with it.</p>
</html>
"""


def page(predictor: Predictor, limits: Limits, coverage: float = 0.9) -> str:
    """Returns the page as HTML."""
    about, space = predictor.about, predictor.space
    middle = (space.low + space.high) / 2
    intervals = f"Intervals hold {calibration.held(about.calibration, coverage)}."
    if predictor.value_alone:
        intervals = "There are no intervals: the method gives a value alone."
    return _PAGE.format(
        network=html.escape(str(about.model["name"])),
        method=html.escape(str(about.method["name"])),
        unit=html.escape(space.unit),
        low=space.low,
        high=space.high,
        intervals=html.escape(intervals),
        threshold=18 if space.low <= 18 <= space.high else middle,
        width=round((space.high - space.low) / 5, 2),
        megabytes=limits.max_megabytes,
        pictures=limits.max_pictures,
    )
