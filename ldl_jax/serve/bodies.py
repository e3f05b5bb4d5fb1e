"""Takes the pictures out of a request's body, in memory and within the limits."""

import asyncio
from collections.abc import AsyncGenerator, Callable

from python_multipart.exceptions import FormParserError
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from ldl_jax.serve.limits import Limits
from ldl_jax.serve.refused import RefusedError
from ldl_jax.serve.workers import Upload

_SINGLE = "picture"  # the name of a picture that comes without one
_NAME = 200  # characters of a picture's name that are kept
_EXPECTED = "expected image/*, application/octet-stream or multipart/form-data"
_FIELD = 4096  # bytes of a field that is no file, of which none is expected


class _Parser(MultiPartParser):
    """Keeps all files in memory: what people send is never written to a disk."""

    spool_max_size = 2**62

    def __init__(self, request: Request, limits: Limits, hold: Callable[[int], None]) -> None:
        super().__init__(
            request.headers, _chunks(request, limits, hold), max_part_size=_FIELD, max_fields=1
        )
        self._most, self._parts, self.ended = limits.max_pictures, 0, False

    def on_part_begin(self) -> None:
        self._parts += 1
        if self._parts > self._most:
            raise RefusedError(413, f"pictures: expected at most {self._most}, more came")
        super().on_part_begin()

    def on_end(self) -> None:
        self.ended = True


def check_head(request: Request, limits: Limits) -> None:
    """Checks what a request's headers say of its body, before any of it is read.

    Raises:
      RefusedError: 413 where it is too long, 415 where it is of another type.
    """
    kind = _kind(request)
    if kind and not (kind.startswith("image/") or kind in _TAKEN):
        raise RefusedError(415, f"content-type: {_EXPECTED}, got {kind[:_NAME]}")
    coding = request.headers.get("content-encoding", "identity").lower()
    if coding != "identity":
        raise RefusedError(415, f"content-encoding: expected none, got {coding[:_NAME]}")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.body:
        raise _too_long(limits, f"{int(length):,}")


async def uploads(request: Request, limits: Limits, hold: Callable[[int], None]) -> list[Upload]:
    """Reads a request's body: one picture, or several in a form.

    Args:
      request: its headers have been checked.
      limits: of bytes, pictures and time.
      hold: takes the number of bytes of each part that comes, and may raise.

    Raises:
      RefusedError: 400 for no picture or a form that is broken, 408 for a body that comes too
        slowly, 413 for one that is too long, or what `hold` raises.
      starlette.requests.ClientDisconnect: the client went away.
    """
    try:
        async with asyncio.timeout(limits.timeout):
            if _kind(request) == "multipart/form-data":
                return await _of_form(request, limits, hold)
            content = b"".join([chunk async for chunk in _chunks(request, limits, hold)])
    except TimeoutError:
        line = f"body: expected all of it within {limits.timeout:g} s, it is not complete"
        raise RefusedError(408, line, hang_up=True) from None
    if not content:
        raise RefusedError(400, "body: expected a picture, got 0 bytes")
    return [Upload(_SINGLE, content)]


async def _of_form(request: Request, limits: Limits, hold: Callable[[int], None]) -> list[Upload]:
    parser = _Parser(request, limits, hold)
    try:
        form = await parser.parse()
    except (MultiPartException, FormParserError) as error:
        why = error.message if isinstance(error, MultiPartException) else error
        raise RefusedError(400, f"body: expected multipart/form-data ({why})") from None
    if not parser.ended:
        raise RefusedError(400, "body: expected multipart/form-data, its end is missing")
    pictures: list[Upload] = []
    for field, part in form.multi_items():
        if not isinstance(part, UploadFile):
            raise RefusedError(
                400, f"body: expected files alone, got text in {field[:_NAME]!r} without a name"
            )
        content = await part.read()
        if content or part.filename:  # a browser sends an empty part for no choice
            pictures.append(Upload((part.filename or field or _SINGLE)[:_NAME], content))
    if not pictures:
        raise RefusedError(400, "body: expected pictures as files of a form, got none")
    return pictures


async def _chunks(
    request: Request, limits: Limits, hold: Callable[[int], None]
) -> AsyncGenerator[bytes, None]:
    """Yields the parts of a body as they come, up to the most bytes."""
    total = 0
    async for chunk in request.stream():
        total += len(chunk)
        if total > limits.body:
            raise _too_long(limits, "more")
        hold(len(chunk))
        yield chunk


_TAKEN = ("application/octet-stream", "multipart/form-data")


def _kind(request: Request) -> str:
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def _too_long(limits: Limits, length: str) -> RefusedError:
    return RefusedError(413, f"body: expected at most {limits.body:,} bytes, got {length}")
