"""A server's requests: which are taken, how many are in it, and what they are answered."""

import asyncio
import contextlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from ldl_jax.evaluation import answers
from ldl_jax.evaluation.answers import Asked
from ldl_jax.serve import bodies
from ldl_jax.serve.asked import asked_of
from ldl_jax.serve.limits import Limits
from ldl_jax.serve.meters import Meters
from ldl_jax.serve.refused import RefusedError, as_json, one_line
from ldl_jax.serve.workers import Outcome, Upload, Workers

JSON = "application/json"


class Service:
    """Takes requests, and knows when it may end.

    Attributes:
      workers: the threads that answer.
      limits: of all that comes.
      meters: what is counted.
      warnings: a line on each thing that is wrong with the checkpoint, for the answers.
      stopping: whether new requests are refused.
    """

    def __init__(
        self, workers: Workers, limits: Limits, meters: Meters, warnings: Sequence[str] = ()
    ) -> None:
        self.workers, self.limits, self.meters = workers, limits, meters
        self.warnings = tuple(warnings)
        self.stopping = False
        self._active = self._held = 0
        meters.watch("ldl_active_requests", "Requests that are being answered.", self.active)
        meters.watch("ldl_held_bytes", "Bytes of bodies in memory.", lambda: self._held)

    def state(self) -> str:
        """Returns "ready", "compiling" or "stopping"."""
        if self.stopping:
            return "stopping"
        return "ready" if self.workers.is_ready() else "compiling"

    def active(self) -> int:
        """Returns the number of requests for answers that have been taken and are not over."""
        return self._active

    async def predict(self, request: Request) -> Response:
        """Answers for the pictures of a request, as `launch.predict --json` does.

        Raises:
          RefusedError: none of them has an answer; the status and the line say why.
        """
        with self._admitted() as hold:
            bodies.check_head(request, self.limits)
            workers = self.workers
            asked = workers.options.asked
            if request.url.query:
                query = request.query_params, workers.predictor, asked
                asked = await run_in_threadpool(asked_of, *query)
            workers.check_room()
            pictures = await bodies.uploads(request, self.limits, hold)
            outcomes = await self._outcomes(pictures, request)
            return await run_in_threadpool(self._response, outcomes, asked)

    @contextlib.contextmanager
    def _admitted(self) -> Iterator[Callable[[int], None]]:
        """Counts a request while it is inside; gives what counts the bytes that it holds."""
        if (state := self.state()) != "ready":
            line = f"server: expected it to be ready, it is {state}; try again later"
            raise RefusedError(503, line, headers={"Retry-After": "2"})
        held = 0

        def hold(count: int) -> None:
            nonlocal held
            most = self.limits.held
            if self._held + count > most:
                line = f"server: it holds at most {most:,} bytes of pictures, and is full"
                raise RefusedError(429, f"{line}; try again later", headers={"Retry-After": "1"})
            held += count
            self._held += count

        self._active += 1
        try:
            yield hold
        finally:
            self._active -= 1
            self._held -= held

    async def _outcomes(self, pictures: Sequence[Upload], request: Request) -> list[Outcome]:
        """Waits for the outcomes, for the timeout at most, and while the client is there."""
        seconds = self.limits.timeout
        futures = self.workers.submit(pictures, time.monotonic() + seconds)
        outcomes = asyncio.gather(*map(asyncio.wrap_future, futures))
        gone = asyncio.ensure_future(_gone(request))
        try:
            both: set[asyncio.Future[Any]] = {outcomes, gone}
            await asyncio.wait(both, timeout=seconds, return_when="FIRST_COMPLETED")
            if outcomes.done():
                return outcomes.result()
            if gone.done():
                raise ClientDisconnect
            raise RefusedError(504, f"server: expected an answer in {seconds:g} s, there is none")
        finally:
            gone.cancel()
            outcomes.cancel()  # what nobody waits for is dropped on its way

    def _response(self, outcomes: Sequence[Outcome], asked: Asked) -> Response:
        predictor, coverage = self.workers.predictor, self.workers.options.coverage
        space, calibrated = predictor.space, predictor.about.calibration is not None
        rows = [asked.of(answer, space) for outcome in outcomes for answer in outcome.answers]
        problems = [problem for outcome in outcomes for problem in outcome.problems]
        if problems and not rows:
            statuses = {problem.status for problem in problems}
            status = statuses.pop() if len(statuses) == 1 else 422
            line = "; ".join(problem.line for problem in problems)
            raise RefusedError(status, line, problems=problems)
        of = rows, space, coverage, self.warnings, asked
        text = answers.to_json(*of, calibrated=calibrated)
        if not problems:
            return Response(text.encode("utf-8", "replace"), media_type=JSON)
        content = {"answers": json.loads(text), "problems": as_json(problems)}
        return Response(one_line(content), 207, media_type=JSON)


async def _gone(request: Request) -> None:
    """Waits until the client goes away."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
