"""What was asked, how it was answered and how long that took, at `/metrics` in Prometheus' text format."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator

from flask import Flask, Response, g, request

_FORMAT = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counts requests by operation, method and status."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, str, int]] = Counter()
        self._seconds: Counter[str] = Counter()

    def install(self, app: Flask) -> None:
        """Count what this application answers, and tell at `/metrics`."""
        app.before_request(_start_clock)
        app.after_request(self._count)
        app.add_url_rule("/metrics", "metrics", self._answer)

    def _count(self, response: Response) -> Response:
        operation = (request.endpoint or "").rpartition(".")[2] or "none"
        seconds = time.perf_counter() - g.get("asked_at", time.perf_counter())
        with self._lock:
            self._requests[operation, request.method, response.status_code] += 1
            self._seconds[operation] += seconds
        return response

    def _answer(self) -> Response:
        with self._lock:
            lines = list(self._lines())
        return Response("\n".join(lines) + "\n", content_type=_FORMAT)

    def _lines(self) -> Iterator[str]:
        yield "# HELP openhands_requests_total Requests answered."
        yield "# TYPE openhands_requests_total counter"
        for (operation, method, status), count in sorted(self._requests.items()):
            labels = f'operation="{operation}",method="{method}",status="{status}"'
            yield f"openhands_requests_total{{{labels}}} {count}"
        yield "# HELP openhands_request_seconds_total Seconds until an answer began."
        yield "# TYPE openhands_request_seconds_total counter"
        for operation, seconds in sorted(self._seconds.items()):
            yield f'openhands_request_seconds_total{{operation="{operation}"}} {seconds:.6f}'


def _start_clock() -> None:
    g.asked_at = time.perf_counter()
