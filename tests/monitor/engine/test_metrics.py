"""Metrics of real monitors over HTTP, checked with the parser of Prometheus, and with promtool where installed."""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import socket
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from typer.testing import CliRunner

from detector import Scorer
from monitor.commands.app import app
from monitor.engine import metrics_http
from monitor.engine.counters import Histogram
from monitor.engine.metrics import MetricsServer
from monitor.errors import ConfigError, MetricsError
from tests.monitor.engine.helpers import FedSource, Run, ecg, settings, sim, watched

GRAFANA = Path(__file__).parents[3] / "docs" / "grafana"
PROMTOOL = shutil.which("promtool")
FREE = {"port": -1}
STORY = "sinus=14,pvc=6,asystole=6,sinus=5,leadsoff=3,sinus=4"

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def scrape(url: str) -> str:
    with urllib.request.urlopen(url, timeout=30) as reply:
        assert reply.headers["Content-Type"].startswith("text/plain")
        return str(reply.read().decode())


def samples_of(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def server_of(run: Run) -> MetricsServer:
    assert run.pipeline.metrics is not None
    return run.pipeline.metrics


class Counted:
    """All metrics of a run that ended."""

    def __init__(self, run: Run) -> None:
        registry = CollectorRegistry(auto_describe=False)
        registry.register(server_of(run).collector)
        run.pipeline.run()
        self.text = generate_latest(registry).decode()
        self.samples = samples_of(self.text)

    def get(self, name: str, **labels: str) -> float:
        return self.samples[f"ecg_monitor_{name}", tuple(sorted(labels.items()))]


@pytest.fixture(scope="module")
def ended(scorer: Scorer) -> tuple[Run, Counted]:
    """Two beds that ended, and their metrics."""
    run = Run({"p1": sim(STORY), "p2": sim("sinus=20;seed=3")}, scorer, settings(metrics=FREE))
    return run, Counted(run)


def test_the_counts_match_the_status(ended: tuple[Run, Counted]) -> None:
    run, counted = ended
    for bed in ("p1", "p2"):
        status = run.status(bed)
        assert counted.get("samples_total", bed=bed) == status.samples_in > 0
        assert counted.get("samples_lost_total", bed=bed) == status.samples_lost
        assert counted.get("gaps_total", bed=bed) == status.gaps
        outcomes = {o: counted.get("beats_total", bed=bed, outcome=o) for o in ("usual", "anomalous", "unscored")}
        assert sum(outcomes.values()) == status.beats > 10
        assert (outcomes["anomalous"], outcomes["unscored"]) == (status.anomalous_beats, status.unscored_beats)
        assert counted.get("bed_state", bed=bed, state="ended") == 1
    assert counted.get("bus_events_total", event="published") == run.pipeline.bus.counters["published"]
    ((_, labels),) = [key for key in counted.samples if key[0] == "ecg_monitor_build_info"]
    assert dict(labels)["sha256"] == run.pipeline.beds["p1"].model.sha256
    assert counted.get("heartbeat_timestamp_seconds") >= counted.get("start_time_seconds") > 1e9


def test_each_alarm_is_counted_once_by_kind_and_priority(ended: tuple[Run, Counted]) -> None:
    run, counted = ended
    raised = [m.alarm for m in run.alarms if m.alarm.state == "onset" and m.alarm.count == 1 and not m.alarm.update]
    assert {"asystole", "leads_off"} <= {alarm.kind for alarm in raised}
    limits = {name: bed.limits for name, bed in run.pipeline.beds.items()}
    for bed, kind in ((name, kind) for name in limits for kind in limits[name].__struct_fields__):
        priority = getattr(limits[bed], kind).priority
        of_kind = [alarm for alarm in raised if (alarm.bed, alarm.kind) == (bed, kind)]
        assert counted.get("alarms_total", bed=bed, kind=kind, priority=priority) == len(of_kind)
    active: dict[str, str] = {}
    for changed in run.alarms:
        active[changed.alarm.alarm_id] = changed.alarm.state
    assert counted.get("alarms_active", bed="p1", priority="high", state="latched") == sum(
        state == "latched" for state in active.values()
    )


def test_each_call_of_the_model_is_timed_and_counted(ended: tuple[Run, Counted]) -> None:
    run, counted = ended
    calls = counted.get("inference_seconds_count")
    assert calls == counted.get("inference_batch_beats_count") > 0
    scored = sum(counted.get("beats_total", bed=b, outcome=o) for b in ("p1", "p2") for o in ("usual", "anomalous"))
    assert counted.get("inference_batch_beats_sum") == scored
    # A replay at full speed has no arrival.
    assert counted.get("beat_latency_seconds_count") == counted.get("alarm_latency_seconds_count") == 0
    assert run.status().latency_p50_ms is None


def test_metrics_follow_the_rules_of_prometheus(ended: tuple[Run, Counted]) -> None:
    """With promtool where installed (Debian: prometheus); the rules of naming are checked here in any case."""
    _, counted = ended
    if PROMTOOL is not None:
        done = subprocess.run([PROMTOOL, "check", "metrics"], input=counted.text, capture_output=True, text=True)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
    families = list(text_string_to_metric_families(counted.text))
    assert len(families) == len({family.name for family in families}) > 15
    for family in families:
        assert re.fullmatch(r"ecg_monitor_[a-z0-9_]+", family.name)
        assert family.documentation
        assert family.type in ("counter", "gauge", "histogram")
        for sample in family.samples:
            assert set(sample.labels) <= {"bed", "kind", "priority", "state", "outcome", "event", "le", "version",
                                          "model", "sha256"}  # fmt: skip
            if family.type == "counter":
                assert sample.name == f"{family.name}_total"
        if family.type == "histogram":
            counts = [sample.value for sample in family.samples if sample.name.endswith("_bucket")]
            assert counts == sorted(counts)
            assert counts[-1] == next(s.value for s in family.samples if s.name.endswith("_count"))


def test_live_beds_give_latencies_and_waiting_samples(scorer: Scorer) -> None:
    source = FedSource()
    source.waiting = 125  # type: ignore[attr-defined]
    with watched({"p1": source}, scorer, settings(metrics=FREE)) as w:
        source.feed(ecg("sinus=10"))
        w.until(lambda: w.run.status().beats > 3, "beats")
        counts = samples_of(scrape(server_of(w.run).url))
        assert counts["ecg_monitor_beat_latency_seconds_count", ()] > 3
        assert counts["ecg_monitor_source_waiting_samples", (("bed", "p1"),)] == 125
        assert counts["ecg_monitor_bed_state", (("bed", "p1"), ("state", "running"))] == 1
        assert counts["ecg_monitor_signal_scorable", (("bed", "p1"),)] == 1


def test_permanent_scraping_neither_fails_nor_stops_the_monitor(scorer: Scorer) -> None:
    run = Run({"p1": sim(STORY)}, scorer, settings(metrics=FREE))
    url, stop, failed, scrapes = server_of(run).url, threading.Event(), [], []

    def work() -> None:
        while not stop.is_set():
            try:
                scrapes.append(samples_of(scrape(url))["ecg_monitor_samples_total", (("bed", "p1"),)])
            except OSError:
                break  # it has ended
            except Exception as error:
                failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    run.pipeline.run()
    stop.set()
    for thread in threads:
        thread.join(60)
    assert not failed
    assert scrapes
    assert run.status().beats > 10
    with pytest.raises(OSError, match="refused"):  # the port is free again
        scrape(url)


def test_an_idle_connection_does_not_delay_the_end(scorer: Scorer) -> None:
    run = Run({"p1": sim("sinus=8")}, scorer, settings(metrics=FREE))
    address = server_of(run).url.split("/")[2].rpartition(":")
    with socket.create_connection((address[0], int(address[2])), timeout=30):
        assert "ecg_monitor_build_info" in scrape(server_of(run).url)
        run.pipeline.run()  # closes the server: it returns though the connection is open
    assert run.status().beats > 3


def test_connections_without_a_request_lock_out_no_client_and_print_nothing(
    scorer: Scorer, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metrics_http, "MAX_CONNECTIONS", 8)
    monkeypatch.setattr(metrics_http._Handler, "timeout", 0.2)
    run = Run({"p1": sim("sinus=8")}, scorer, settings(metrics=FREE))
    url = server_of(run).url
    host, _, port = url.split("/")[2].rpartition(":")
    before = threading.active_count()
    with contextlib.ExitStack() as stack:
        dripping = [stack.enter_context(socket.create_connection((host, int(port)), 30)) for _ in range(40)]
        for connection in dripping:
            connection.sendall(b"GET /metrics HTTP/1.1\r\nX-Drip: ")
        for _ in range(3):
            assert "ecg_monitor_build_info" in scrape(url)
        silent = stack.enter_context(socket.create_connection((host, int(port)), 30))
        for connection in (*dripping, silent):  # closed to make room, or after the time limit
            with contextlib.suppress(ConnectionResetError):
                assert connection.recv(1) in (b"", b"H")  # H: of an error reply
        assert threading.active_count() <= before + 8
    run.pipeline.run()
    assert "Traceback" not in "".join(capfd.readouterr())


def addresses() -> list[str]:
    """Addresses of this machine, with IPv6 where available."""
    try:
        with socket.socket(socket.AF_INET6) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return ["localhost", "127.0.0.2"]
    return ["localhost", "127.0.0.2", "::1"]


@pytest.mark.slow
@pytest.mark.parametrize("listen", addresses())
def test_the_server_listens_on_the_configured_address(scorer: Scorer, listen: str) -> None:
    run = Run({"p1": sim("sinus=2")}, scorer, settings(metrics={"port": -1, "listen": listen}))
    assert "ecg_monitor_build_info" in scrape(server_of(run).url)
    run.pipeline.run()


def test_a_port_in_use_is_one_line_and_leaves_no_files(scorer: Scorer, tmp_path: Path) -> None:
    first = Run({"p1": sim("sinus=2")}, scorer, settings(metrics=FREE))
    port = int(server_of(first).url.rpartition(":")[2].partition("/")[0])
    source = FedSource()
    with pytest.raises(MetricsError, match=rf"metrics on 127\.0\.0\.1:{port} is in use.*--metrics") as error:
        Run({"p1": source}, scorer, settings(metrics={"port": port}, record={"folder": str(tmp_path / "rec")}))
    assert "\n" not in str(error.value)
    assert source.closed
    assert not list((tmp_path / "rec").glob("p1/*")), "files would block the next attempt"
    first.pipeline.run()


@pytest.mark.parametrize("value", ["none", "-2", "70000", "1e3", "12345678901234567890"])
def test_an_invalid_port_is_refused(value: str) -> None:
    result = CliRunner().invoke(app, ["--metrics", value, "--no-dashboard"])
    assert isinstance(result.exception, ConfigError)
    assert "--metrics" in str(result.exception)
    assert "\n" not in str(result.exception)


def test_an_address_of_another_machine_is_refused(scorer: Scorer) -> None:
    with pytest.raises(MetricsError, match=r"metrics on 192\.0\.2\.1:\* is not an address of this machine"):
        Run({"p1": sim("sinus=2")}, scorer, settings(metrics={"port": -1, "listen": "192.0.2.1"}))


@pytest.mark.slow
def test_metrics_are_off_by_default_and_prometheus_is_not_imported() -> None:
    code = "import sys, monitor.engine.assembly; print('prometheus_client' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert settings().metrics.port == 0
    assert done.stdout.strip() == "False"


@given(st.lists(st.floats(0, 10), max_size=50))
def test_a_histogram_counts_each_value_in_its_bucket(values: list[float]) -> None:
    histogram = Histogram((0.5, 1.0, 5.0))
    for value in values:
        histogram.observe(value)
    counts, total = histogram.read()
    bounds = [0.5, 1.0, 5.0, float("inf")]
    assert [sum(counts[: i + 1]) for i in range(4)] == [sum(v <= bound for v in values) for bound in bounds]
    assert total == pytest.approx(sum(values))


# -- the dashboard and the rules ----------------------------------------------------------------------------


def expressions() -> Iterator[tuple[str, str]]:
    """Every PromQL expression of dashboard and rules, with its place."""

    def walk(node: Any, where: str) -> Iterator[tuple[str, str]]:
        if isinstance(node, dict):
            if node.get("type") == "datasource":
                return
            name = str(node.get("title", where))
            for key, value in node.items():
                if key in ("expr", "query", "definition") and isinstance(value, str):
                    yield name, value
                else:
                    yield from walk(value, name)
        elif isinstance(node, list):
            for item in node:
                yield from walk(item, where)

    yield from walk(json.loads((GRAFANA / "ecg-monitor.json").read_text()), "dashboard")
    rules = (GRAFANA / "alerts.yml").read_text()
    for expr in re.findall(r"^\s+expr: (.+)$", rules, re.MULTILINE):
        yield "alerts.yml", expr


EXPRESSIONS = list(expressions())
assert sum(where == "alerts.yml" for where, _ in EXPRESSIONS) >= 6
assert sum(where != "alerts.yml" for where, _ in EXPRESSIONS) >= 10


@pytest.mark.parametrize(("where", "expr"), EXPRESSIONS, ids=[f"{w}: {e[:40]}" for w, e in EXPRESSIONS])
def test_every_expression_uses_existing_metrics_and_labels(where: str, expr: str, ended: tuple[Run, Counted]) -> None:
    names = {name for name, _ in ended[1].samples} | {"ecg_monitor_source_waiting_samples"}
    used = re.findall(r"ecg_monitor_\w+", expr)
    assert used or "up{" in expr
    assert set(used) <= names
    labels = {label for _, pairs in ended[1].samples for label, _ in pairs} | {"job", "instance"}
    for matchers in re.findall(r"\{([^}]*)\}", expr):
        assert set(re.findall(r"(\w+)\s*[=!]~?", matchers)) <= labels
    for grouped in re.findall(r"by \(([^)]*)\)", expr):
        assert set(re.split(r",\s*", grouped)) <= labels


def test_the_alert_rules_are_valid() -> None:
    """With promtool where installed; in any case every rule has its parts."""
    path = GRAFANA / "alerts.yml"
    if PROMTOOL is not None:
        done = subprocess.run([PROMTOOL, "check", "rules", str(path)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
    text = path.read_text()
    assert text.count("- alert:") == text.count("expr:") == text.count("severity:") == text.count("summary:")


def test_the_panels_do_not_overlap() -> None:
    panels = json.loads((GRAFANA / "ecg-monitor.json").read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24
