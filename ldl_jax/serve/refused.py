"""The refusals of a server: a status and one line of JSON that says what came and what is expected.

A refusal may come while the client still sends. Were the connection closed then, most clients would
report a broken connection in place of the answer. So the answer goes out at once, and what still
comes is thrown away for a moment before the connection is closed.
"""

import asyncio
import json
from collections.abc import Sequence
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from ldl_jax.data.decoding.formats import TooManyPixelsError
from ldl_jax.data.records import DataError
from ldl_jax.evaluation.cells import json_text

BODY_READ = "ldl_jax.body_read"  # in a request's scope, once all of its body has come
_LINGER = 2.0  # seconds in which what a refused client still sends is thrown away
_MOST = 2**26  # bytes of that


class Problem(NamedTuple):
    """A picture that has no answer: its name, the status that says why, and a line."""

    picture: str
    status: int
    line: str


class RefusedError(Exception):
    """Raised for a request that is not answered.

    Attributes:
      status: of the response.
      line: one line on what came and what is expected.
      problems: the pictures that have no answer, where that is why.
      headers: of the response, beside those of its JSON.
      hang_up: whether the connection is closed at once; the client is too slow to wait for.
    """

    def __init__(
        self,
        status: int,
        line: str,
        *,
        problems: Sequence[Problem] = (),
        headers: dict[str, str] | None = None,
        hang_up: bool = False,
    ) -> None:
        super().__init__(line)
        self.status, self.line, self.problems = status, line, tuple(problems)
        self.headers, self.hang_up = dict(headers or {}), hang_up


class Refusal(Response):
    """The response for a refused request, which ends the connection if its body is unread."""

    media_type = "application/json"

    def __init__(self, error: RefusedError) -> None:
        content: dict[str, object] = {"error": error.line, "status": error.status}
        if error.problems:
            content["problems"] = as_json(error.problems)
        super().__init__(one_line(content), error.status, error.headers)
        self._hang_up = error.hang_up

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Sends the response; see the module."""
        sizes = {name: value for name, value in scope["headers"] if name in _SIZES}
        unread = any(value != b"0" for value in sizes.values()) and not scope.get(BODY_READ)
        if not unread:
            await super().__call__(scope, receive, send)
            return
        self.headers["connection"] = "close"
        start = {"type": "http.response.start", "status": self.status_code}
        await send({**start, "headers": self.raw_headers})
        await send({"type": "http.response.body", "body": bytes(self.body), "more_body": True})
        waits = any(name == b"expect" for name, _ in scope["headers"])
        if not self._hang_up and not waits:
            await _discard(receive)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


def status_of(error: DataError) -> int:
    """Returns the status for a picture that `predict` refuses: 413, 415 or 422."""
    cause = error.__cause__
    if isinstance(cause, TooManyPixelsError | Image.DecompressionBombError):
        return 413
    return 415 if isinstance(cause, UnidentifiedImageError) else 422


def as_json(problems: Sequence[Problem]) -> list[dict[str, object]]:
    """Returns what a response's JSON says of pictures without an answer."""
    return [
        {"picture": picture, "status": status, "error": line} for picture, status, line in problems
    ]


def one_line(content: object) -> bytes:
    """Returns JSON in one line, with what a terminal would obey escaped."""
    text = json_text(json.dumps(content, ensure_ascii=False)) + "\n"
    return text.encode("utf-8", "replace")


_SIZES = (b"content-length", b"transfer-encoding")


async def _discard(receive: Receive) -> None:
    """Throws away what still comes of a request's body, for a while."""
    total = 0
    try:
        async with asyncio.timeout(_LINGER):
            while total < _MOST:
                message = await receive()
                total += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body"):
                    return
    except TimeoutError:
        return
