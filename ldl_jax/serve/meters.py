"""Counts what a server does, in the form that Prometheus reads. Nothing of a picture is in it."""

from collections.abc import Callable

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
_FACES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Meters:
    """The counters, gauges and histograms of one server, in a registry of its own.

    Attributes:
      requests: by path and status.
      seconds: from a request's headers to the end of its response, by path.
      pictures: by outcome: answered, refused, or dropped since nobody waits for it any more.
      faces: that were answered.
      decoding: seconds to decode a picture and to find its faces.
      network: seconds of a batch.
      batches: faces of a batch.
    """

    media_type = CONTENT_TYPE_LATEST

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter("ldl_requests", "Requests.", ["path", "status"], registry=registry)
        self.seconds = Histogram(
            "ldl_request_seconds", "Seconds of a request.", ["path"],
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.pictures = Counter("ldl_pictures", "Pictures.", ["outcome"], registry=registry)
        self.faces = Counter("ldl_faces", "Faces that were answered.", registry=registry)
        self.decoding = Histogram(
            "ldl_decoding_seconds", "Seconds to decode a picture and to find its faces.",
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.network = Histogram(
            "ldl_batch_seconds", "Seconds of a batch in the network.",
            buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self.batches = Histogram(
            "ldl_batch_faces", "Faces of a batch.", buckets=_FACES, registry=registry
        )

    def watch(self, name: str, text: str, value: Callable[[], float]) -> None:
        """Adds a gauge whose value is asked for whenever the meters are read."""
        Gauge(name, text, registry=self._registry).set_function(value)

    def text(self) -> bytes:
        """Returns all of it in Prometheus' text format."""
        return generate_latest(self._registry)
