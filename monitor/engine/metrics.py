"""Metrics for Prometheus: `--metrics PORT` serves the counts of a monitor on http://127.0.0.1:PORT/metrics.

The HTTP thread reads the numbers for each request; each read is one step of CPython, so neither the thread nor the
loop waits for the other.

Labels are bounded: bed, kind, priority and fixed words. Names follow https://prometheus.io/docs/practices/naming/.
"""

from __future__ import annotations

import itertools
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from monitor import VERSION
from monitor.bus.endpoints import bind_error
from monitor.config import MetricsConfig
from monitor.engine.bed import Bed
from monitor.engine.counters import Counters, Histogram
from monitor.engine.metrics_http import LimitedServer
from monitor.errors import MetricsError
from monitor.journal import Journal

__all__ = ["Collector", "MetricsServer"]

_BUS_COUNTS = (
    "published", "waves", "unsent", "subscriptions", "requests", "bad_requests", "replies_lost", "internal_errors",
    "refused", "denied", "slowed", "active_forgotten",
)  # fmt: skip
_STATES = ("starting", "running", "no_data", "source_lost", "ended")
_PRIORITIES = ("high", "medium", "low")
_ACTIVE_STATES = ("onset", "latched", "acknowledged")


@dataclass(eq=False)
class Collector:
    """Reads the numbers of a monitor for each request: a custom collector of prometheus-client.

    Attributes:
        beds: name -> bed.
        counters: alarms, latencies and inference times.
        bus: counts of the bus, by name.
        journal: counts lost rows.
        started_unix_s: when the monitor was built, Unix time, s.
    """

    beds: Mapping[str, Bed]
    counters: Counters
    bus: Mapping[str, int]
    journal: Journal
    started_unix_s: float

    def describe(self) -> list[Metric]:
        """No metrics: the registry must not read numbers while the monitor is being built."""
        return []

    def collect(self) -> Iterator[Metric]:
        """All metrics, now."""
        yield from self._build()
        yield from self._beds()
        yield from self._alarms()
        yield from self._timings()
        yield from self._transport()

    def _build(self) -> Iterator[Metric]:
        info = next(iter(self.beds.values())).model
        build = _gauge("build_info", "Version of the monitor and of its model; always 1.", "version", "model", "sha256")
        build.add_metric([VERSION, info.name, info.sha256], 1)
        yield build
        yield _gauge("start_time_seconds", "Unix time at which this monitor was started.", value=self.started_unix_s)
        heartbeat = "Unix time of the last heartbeat on the bus; 0 before the first."
        yield _gauge("heartbeat_timestamp_seconds", heartbeat, value=self.counters.heartbeat_s)

    def _beds(self) -> Iterator[Metric]:
        samples = _counter("samples", "Samples taken from the source.", "bed")
        lost = _counter("samples_lost", "Samples that never came (gaps).", "bed")
        gaps = _counter("gaps", "Gaps: stretches of samples that never came.", "bed")
        beats = _counter("beats", "Beats by outcome: usual, anomalous, or not scored.", "bed", "outcome")
        waves = _counter("waves_thinned", "Wave messages for displays that were thinned.", "bed")
        state = _gauge("bed_state", "1 for the state the bed is in, 0 for the others.", "bed", "state")
        scorable = _gauge("signal_scorable", "1 while beats of this bed are scored.", "bed")
        waiting = _gauge("source_waiting_samples", "Samples that came and were not read yet, of live sources.", "bed")
        sdnn = _gauge("hrv_sdnn_seconds", "SDNN of the last 5 minutes; absent where there is none.", "bed")
        rmssd = _gauge("hrv_rmssd_seconds", "RMSSD of the last 5 minutes; absent where there is none.", "bed")
        pnn50 = _gauge("hrv_pnn50_ratio", "pNN50 of the last 5 minutes; absent where there is none.", "bed")
        for name, bed in self.beds.items():
            counts = bed.counts.copy()
            samples.add_metric([name], bed.input.detector.samples_in)
            lost.add_metric([name], bed.input.detector.samples_lost)
            gaps.add_metric([name], counts["gaps"])
            anomalous, unscored = counts["anomalous_beats"], counts["unscored_beats"]
            usual = max(0, counts["beats"] - anomalous - unscored)
            for outcome, count in (("usual", usual), ("anomalous", anomalous), ("unscored", unscored)):
                beats.add_metric([name, outcome], count)
            waves.add_metric([name], counts["dropped_waves"])
            current = bed.input.state
            for word in _STATES:
                state.add_metric([name, word], current == word)
            scorable.add_metric([name], bed.scorable)
            if (n := getattr(bed.source, "waiting", None)) is not None:
                waiting.add_metric([name], n)
            hrv = bed.hrv
            for gauge, value in ((sdnn, _seconds(hrv.sdnn_ms)), (rmssd, _seconds(hrv.rmssd_ms)), (pnn50, hrv.pnn50)):
                if value is not None:
                    gauge.add_metric([name], value)
        yield from (samples, lost, gaps, beats, waves, state, scorable, waiting, sdnn, rmssd, pnn50)

    def _alarms(self) -> Iterator[Metric]:
        onsets = _counter("alarms", "Alarms raised; one that recurs while it lasts is one.", "bed", "kind", "priority")
        # Every series starts at 0, before its first alarm: `increase` of a series that starts at 1 is 0.
        counts = {
            (name, kind, getattr(bed.limits, kind).priority): 0
            for name, bed in self.beds.items()
            for kind in bed.limits.__struct_fields__
        }
        for labels, count in (counts | dict(self.counters.onsets)).items():
            onsets.add_metric(labels, count)
        yield onsets
        active = _gauge("alarms_active", "Alarms not cleared now, by state.", "bed", "priority", "state")
        now = Counter(self.counters.active.copy().values())
        for bed_name in self.beds:
            for priority in _PRIORITIES:
                for state in _ACTIVE_STATES:
                    active.add_metric([bed_name, priority, state], now[bed_name, priority, state])
        yield active

    def _timings(self) -> Iterator[Metric]:
        text = "From the arrival of the sample that decided {} to its publication; live and paced sources only."
        counters = self.counters
        yield _histogram("alarm_latency_seconds", text.format("an alarm"), counters.alarm_latency_s)
        yield _histogram("beat_latency_seconds", text.format("a beat"), counters.beat_latency_s)
        inference = "Time of one call of the model, the beats of all beds together."
        yield _histogram("inference_seconds", inference, counters.inference_s)
        yield _histogram("inference_batch_beats", "Beats in one call of the model.", counters.batch_beats)

    def _transport(self) -> Iterator[Metric]:
        bus = _counter("bus_events", "What the bus counted, by its name in docs/bus.md.", "event")
        for name, count in (dict.fromkeys(_BUS_COUNTS, 0) | dict(self.bus)).items():
            bus.add_metric([name], count)
        yield bus
        losses = self.journal.losses
        lost = _counter("journal_lost_rows", "Rows that could not be written into the journal.")
        lost.add_metric([], losses.total)
        yield lost
        yield _gauge("journal_failing", "1 while the journal cannot be written.", value=bool(losses.failure))


class MetricsServer:
    """HTTP server in a thread; runs until `close`.

    Args:
        config: address and port.
        collector: gives the metrics of each request.

    Attributes:
        url: URL of the metrics.

    Raises:
        MetricsError: the port is in use or cannot be bound.
    """

    def __init__(self, config: MetricsConfig, collector: Collector) -> None:
        self.collector = collector
        registry = CollectorRegistry(auto_describe=False)
        registry.register(collector)
        port = max(config.port, 0)  # -1 is any free port, which a socket calls 0
        try:
            self._server = LimitedServer(config.listen, port, registry)
        except (OSError, OverflowError) as error:
            place = f"metrics on {config.listen}:{port or '*'}"
            remedy = "give another port above 1023, e.g. --metrics 9465"
            raise MetricsError(str(bind_error(place, error, remedy))) from error
        self._thread = threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True)
        self._thread.start()
        host = f"[{config.listen}]" if ":" in config.listen else config.listen
        self.url = f"http://{host}:{self._server.server_port}/metrics"

    def close(self) -> None:
        """Stop serving and free the port. A second call does nothing."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def _seconds(ms: float | None) -> float | None:
    return None if ms is None else ms / 1e3


def _counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"ecg_monitor_{name}", text, labels=labels)


def _gauge(name: str, text: str, *labels: str, value: float | None = None) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"ecg_monitor_{name}", text, value, labels or None)


def _histogram(name: str, text: str, measured: Histogram) -> HistogramMetricFamily:
    counts, total = measured.read()
    bounds = (*map(str, map(float, measured.bounds)), "+Inf")
    buckets = list(zip(bounds, itertools.accumulate(counts), strict=True))
    return HistogramMetricFamily(f"ecg_monitor_{name}", text, buckets, total)
