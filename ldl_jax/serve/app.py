"""The addresses of a server as an ASGI application, which starlette's test client takes as well."""

import os
import sys
import time
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ldl_jax.evaluation.cells import plain
from ldl_jax.serve import usage
from ldl_jax.serve.refused import BODY_READ, Refusal, RefusedError
from ldl_jax.serve.service import Service

_PATHS = ("/predict", "/healthz", "/metrics", "/")
_GONE = 499  # nginx's status for a client that went away; nobody receives it


def build(service: Service, site: Path | None = None) -> ASGIApp:
    """Returns the application.

    Args:
      service: what answers.
      site: a folder whose files are the page at "/"; None makes a page that says how to ask.
    """

    async def predict(request: Request) -> Response:
        try:
            return await service.predict(request)
        except ClientDisconnect:
            return Response(status_code=_GONE)

    async def healthz(request: Request) -> Response:
        state = service.state()
        return JSONResponse({"status": state}, 200 if state == "ready" else 503)

    async def metrics(request: Request) -> Response:
        return Response(service.meters.text(), media_type=service.meters.media_type)

    async def page(request: Request) -> Response:
        headers = {"Content-Security-Policy": usage.POLICY}
        workers = service.workers
        text = usage.page(workers.predictor, service.limits, workers.options.coverage)
        return HTMLResponse(text, headers=headers)

    routes: list[BaseRoute] = [
        Route("/predict", predict, methods=["POST"]),
        Route("/healthz", healthz),
        Route("/metrics", metrics),
        Route("/", page) if site is None else Mount("/", _Site(directory=site, html=True)),
    ]
    app = Starlette(
        routes=routes,
        exception_handlers={RefusedError: _refused, HTTPException: _wrong, Exception: _failed},
    )
    app.router.redirect_slashes = False
    return _Counted(app, service)


class _Site(StaticFiles):
    """A folder's files; a path that no file can have is one that is not there."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        try:
            return super().lookup_path(path)
        except ValueError:
            return "", None


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, RefusedError)
    return Refusal(error)


async def _wrong(request: Request, error: Exception) -> Response:
    """Answers for a path or a method that is not there."""
    assert isinstance(error, HTTPException)
    headers = dict(error.headers or {})
    if error.status_code == 405:
        line = f"method: expected {headers.get('Allow')}, got {request.method}"
    elif error.status_code == 404:
        line = f"path: expected one of {', '.join(_PATHS)}, got {request.url.path[:200]}"
    else:
        line = f"{request.url.path[:200]}: {error.detail}"
    return Refusal(RefusedError(error.status_code, line, headers=headers))


async def _failed(request: Request, error: Exception) -> Response:
    """Answers for an error of the server itself, and says it to the operator."""
    text = plain(" ".join(f"{type(error).__name__}: {error}".split()))[:300]
    sys.stderr.write(f"error: {plain(request.url.path[:200])}: {text}\n")
    return Refusal(RefusedError(500, "server: it failed; its operator is told why"))


class _Counted:
    """Counts requests, and notes when the body of each has come."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._meters = app, service.meters

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start, status = time.monotonic(), 500

        async def received() -> Message:
            message = await receive()
            if not message.get("more_body"):
                scope[BODY_READ] = True
            return message

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                nosniff = (b"x-content-type-options", b"nosniff")
                message = {**message, "headers": [*message.get("headers", ()), nosniff]}
            await send(message)

        try:
            await self._app(scope, received, sent)
        except Exception:
            # Starlette raises again what `_failed` has answered, for servers that log it.
            if status != 500:
                raise
        finally:
            path = scope["path"] if scope["path"] in _PATHS else "other"
            self._meters.requests.labels(path, str(status)).inc()
            self._meters.seconds.labels(path).observe(time.monotonic() - start)
