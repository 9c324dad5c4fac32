"""Spans of the requests for a collector, by OpenTelemetry's SDK and OTLP over HTTP.

The SDK's own thread sends them in batches; what a full queue or an absent collector does not take is dropped.
Everything but the address is as the SDK's environment variables say (OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, ...).
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Sequence
from urllib.parse import urlsplit

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.environment_variables import OTEL_EXPORTER_OTLP_TIMEOUT, OTEL_EXPORTER_OTLP_TRACES_TIMEOUT
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanKind, Status, StatusCode, set_span_in_context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from policy_server.serving.tracing import Note

NAME = "ferry-serve"
"""Of the service, where the environment names none."""

PATH = "/v1/traces"
TIMEOUT_S = 2.0
"""For one batch, unless the environment has another; the end of the server waits no longer for a collector."""

log = logging.getLogger("ferry.policy_server")


class OtlpTraces:
    """Exports notes as spans (`tracing.Traces`).

    Args:
        url: of the collector, e.g. "http://127.0.0.1:4318"; without a path, `PATH` is added. ValueError for none.
    """

    def __init__(self, url: str) -> None:
        self._exporter = _Exporter(endpoint(url))
        self._provider = TracerProvider(resource=_resource(), shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(self._exporter))
        self._tracer = self._provider.get_tracer("ferry.policy_server")
        self._propagator = TraceContextTextMapPropagator()

    def take(self, note: Note) -> None:
        """Makes spans of a request and gives them to the batch."""
        try:
            self._spans(note)
        except Exception as error:  # a trace is worth no request
            log.error("traces: %s: %s", type(error).__name__, error)

    def close(self) -> None:
        """Sends what is left, within the time limit of one batch."""
        self._exporter.is_last = True
        self._provider.shutdown()

    def _spans(self, note: Note) -> None:
        parent = self._propagator.extract(note.context)
        ended_ns = note.at_ns(time.perf_counter())
        root = self._tracer.start_span(
            note.name, parent, SpanKind.SERVER, dict(note.attributes), start_time=note.began_ns
        )
        context = set_span_in_context(root)
        for name, began_s, end_s in list(note.parts):
            part = self._tracer.start_span(name, context, start_time=note.at_ns(began_s))
            part.end(note.at_ns(end_s))
        if note.failed:
            root.set_status(Status(StatusCode.ERROR))
        root.end(ended_ns)


def endpoint(url: str) -> str:
    """Returns the address to which spans are sent; ValueError unless `url` is one of HTTP."""
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"--traces: got '{url[:60]}', expected the URL of a collector, e.g. http://127.0.0.1:4318")
    return url if parts.path.strip("/") else f"{url.rstrip('/')}{PATH}"


def _resource() -> Resource:
    """What the spans are of, as the environment says."""
    made = Resource.create()
    if str(made.attributes[SERVICE_NAME]).startswith("unknown_service"):
        return made.merge(Resource({SERVICE_NAME: NAME}))
    return made


class _Exporter(SpanExporter):
    """OTLP's own exporter, which logs a failure once until it works again."""

    def __init__(self, address: str) -> None:
        logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # it says so with each batch
        given = any(os.environ.get(name) for name in (OTEL_EXPORTER_OTLP_TIMEOUT, OTEL_EXPORTER_OTLP_TRACES_TIMEOUT))
        self._inner = OTLPSpanExporter(endpoint=address, timeout=None if given else TIMEOUT_S)
        self._address, self._is_failing = address, False
        self.is_last = False
        """True once the server ends: after a batch that failed no other one is tried."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Sends a batch, or drops it."""
        if self.is_last and self._is_failing:
            return SpanExportResult.FAILURE
        result = self._inner.export(spans)
        failed = result is not SpanExportResult.SUCCESS
        if failed and not self._is_failing:
            log.warning("traces: the collector at %s takes no spans; they are dropped until it does", self._address)
        self._is_failing = failed
        return result

    def shutdown(self) -> None:
        """Ends the connection."""
        self._inner.shutdown()
