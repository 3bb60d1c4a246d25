"""Metrics for Prometheus: `--metrics PORT` serves the counts of a monitor on http://127.0.0.1:PORT/metrics.

The HTTP thread renders a snapshot for each request; it does not wait for the loop, nor the loop for it.

Labels are bounded: bed, kind, priority and fixed words. Names follow https://prometheus.io/docs/practices/naming/.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, cast

from monitor import VERSION
from monitor.bus.endpoints import bind_error
from monitor.config import MetricsConfig
from monitor.errors import MetricsError

if TYPE_CHECKING:
    from prometheus_client.core import Metric

    from monitor.engine.counters import Histogram
    from monitor.engine.snapshot import Snapshot

__all__ = ["MetricsServer", "SnapshotCollector"]

_BUS_COUNTS = (
    "published", "waves", "unsent", "subscriptions", "requests", "bad_requests", "replies_lost", "internal_errors",
    "refused", "denied", "slowed", "active_forgotten",
)  # fmt: skip
_IDLE_S = 10.0  # a connection without a request is closed after this time: each holds a thread
_STATES = ("starting", "running", "no_data", "source_lost", "ended")
_PRIORITIES = ("high", "medium", "low")
_ACTIVE_STATES = ("onset", "latched", "acknowledged")


class MetricsServer:
    """HTTP server in a thread; runs until `close`.

    Args:
        config: address and port.
        snapshot: takes the numbers to serve; called in the HTTP thread for each request.

    Attributes:
        url: URL of the metrics.
        collector: renders them.

    Raises:
        MetricsError: the port is in use or cannot be bound.
    """

    def __init__(self, config: MetricsConfig, snapshot: Callable[[], Snapshot]) -> None:
        from prometheus_client import CollectorRegistry, start_http_server  # 50 ms: imported only if needed

        registry = CollectorRegistry(auto_describe=False)
        self.collector = SnapshotCollector(snapshot)
        registry.register(self.collector)
        port = max(config.port, 0)  # -1 is any free port, which a socket calls 0
        try:
            self._server, self._thread = start_http_server(port, config.listen, registry)
        except (OSError, OverflowError) as error:
            place = f"metrics on {config.listen}:{port or '*'}"
            remedy = "give another port above 1023, e.g. --metrics 9465"
            raise MetricsError(str(bind_error(place, error, remedy))) from error
        handler = cast(type, self._server.RequestHandlerClass)
        self._server.RequestHandlerClass = type("Handler", (handler,), {"timeout": _IDLE_S})
        host = f"[{config.listen}]" if ":" in config.listen else config.listen
        self.url = f"http://{host}:{self._server.server_port}/metrics"

    def close(self) -> None:
        """Stop serving and free the port. A second call does nothing."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class SnapshotCollector:
    """Renders a snapshot for each request: a custom collector of prometheus-client."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def describe(self) -> list[Metric]:
        """No metrics: the registry must not take a snapshot while the monitor is being built."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics, now."""
        snapshot = self._snapshot()
        yield from _build(snapshot)
        yield from _beds(snapshot)
        yield from _alarms(snapshot)
        yield from _timings(snapshot)
        yield from _transport(snapshot)


def _build(snapshot: Snapshot) -> Iterator[Metric]:
    info = snapshot.model
    build = _gauge("build_info", "Version of the monitor and of its model; always 1.", "version", "model", "sha256")
    build.add_metric([VERSION, info.name, info.sha256], 1)
    yield build
    start = _gauge("start_time_seconds", "Unix time at which this monitor was started.")
    start.add_metric([], snapshot.started_unix_s)
    yield start
    beat = _gauge("heartbeat_timestamp_seconds", "Unix time of the last heartbeat on the bus; 0 before the first.")
    beat.add_metric([], snapshot.counters.heartbeat_s)
    yield beat


def _beds(snapshot: Snapshot) -> Iterator[Metric]:
    samples = _counter("samples", "Samples taken from the source.", "bed")
    lost = _counter("samples_lost", "Samples that never came (gaps).", "bed")
    gaps = _counter("gaps", "Gaps: stretches of samples that never came.", "bed")
    beats = _counter("beats", "Beats by outcome: usual, anomalous, or not scored.", "bed", "outcome")
    waves = _counter("waves_thinned", "Wave messages for displays that were thinned.", "bed")
    state = _gauge("bed_state", "1 for the state the bed is in, 0 for the others.", "bed", "state")
    scorable = _gauge("signal_scorable", "1 while beats of this bed are scored.", "bed")
    waiting = _gauge("source_waiting_samples", "Samples that came and were not read yet, of live sources.", "bed")
    for name, bed in snapshot.beds.items():
        counts = bed.counts
        samples.add_metric([name], bed.samples)
        lost.add_metric([name], bed.samples_lost)
        gaps.add_metric([name], counts["gaps"])
        anomalous, unscored = counts["anomalous_beats"], counts["unscored_beats"]
        usual = max(0, counts["beats"] - anomalous - unscored)
        for outcome, count in (("usual", usual), ("anomalous", anomalous), ("unscored", unscored)):
            beats.add_metric([name, outcome], count)
        waves.add_metric([name], counts["dropped_waves"])
        for word in _STATES:
            state.add_metric([name, word], bed.state == word)
        scorable.add_metric([name], bed.scorable)
        if bed.waiting is not None:
            waiting.add_metric([name], bed.waiting)
    yield from (samples, lost, gaps, beats, waves, state, scorable, waiting)


def _alarms(snapshot: Snapshot) -> Iterator[Metric]:
    counters = snapshot.counters
    onsets = _counter("alarms", "Alarms raised; one that recurs while it lasts is one.", "bed", "kind", "priority")
    # Every series starts at 0, before its first alarm: `increase` of a series that starts at 1 is 0.
    counts = {(name, *kind): 0 for name, bed in snapshot.beds.items() for kind in bed.alarm_kinds} | dict(
        counters.onsets
    )
    for (bed, kind, priority), count in counts.items():
        onsets.add_metric([bed, kind, priority], count)
    yield onsets
    active = _gauge("alarms_active", "Alarms not cleared now, by state.", "bed", "priority", "state")
    now = Counter(counters.active.copy().values())
    for bed in snapshot.beds:
        for priority in _PRIORITIES:
            for state in _ACTIVE_STATES:
                active.add_metric([bed, priority, state], now[bed, priority, state])
    yield active


def _timings(snapshot: Snapshot) -> Iterator[Metric]:
    counters = snapshot.counters
    yield _histogram(
        "alarm_latency_seconds",
        "From the arrival of the sample that decided an alarm to its publication; live and paced sources only.",
        counters.alarm_latency_s,
    )
    yield _histogram(
        "beat_latency_seconds",
        "From the arrival of the sample that decided a beat to its publication; live and paced sources only.",
        counters.beat_latency_s,
    )
    yield _histogram(
        "inference_seconds", "Time of one call of the model, the beats of all beds together.", counters.inference_s
    )
    yield _histogram("inference_batch_beats", "Beats in one call of the model.", counters.batch_beats)


def _transport(snapshot: Snapshot) -> Iterator[Metric]:
    bus = _counter("bus_events", "What the bus counted, by its name in docs/bus.md.", "event")
    for name in dict.fromkeys((*_BUS_COUNTS, *snapshot.bus)):
        bus.add_metric([name], snapshot.bus.get(name, 0))
    yield bus
    lost = _counter("journal_lost_rows", "Rows that could not be written into the journal.")
    lost.add_metric([], snapshot.journal_lost_rows)
    yield lost
    failing = _gauge("journal_failing", "1 while the journal cannot be written.")
    failing.add_metric([], snapshot.journal_failing)
    yield failing


def _name(name: str) -> str:
    return f"ecg_monitor_{name}"


def _counter(name: str, text: str, *labels: str) -> Any:
    from prometheus_client.core import CounterMetricFamily

    return CounterMetricFamily(_name(name), text, labels=labels)


def _gauge(name: str, text: str, *labels: str) -> Any:
    from prometheus_client.core import GaugeMetricFamily

    return GaugeMetricFamily(_name(name), text, labels=labels)


def _histogram(name: str, text: str, measured: Histogram) -> Any:
    from prometheus_client.core import HistogramMetricFamily

    counts, total = measured.read()
    buckets, seen = [], 0
    for bound, count in zip((*map(float, measured.bounds), float("inf")), counts, strict=True):
        seen += count
        buckets.append(("+Inf" if bound == float("inf") else str(bound), seen))
    family = HistogramMetricFamily(_name(name), text)
    family.add_metric([], buckets, total)
    return family
