"""Assembly: configuration in, ready parts out."""

from __future__ import annotations

import contextlib
import datetime
import os
import secrets
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from detector import scorer as detector_scorer
from detector.scorer import Scorer
from monitor.bus.endpoints import endpoints_from
from monitor.bus.keys import load_server_keys
from monitor.bus.server import Bus
from monitor.config import Config, ModelConfig
from monitor.engine.bed import Bed
from monitor.engine.control import Control
from monitor.engine.counters import Counters
from monitor.engine.display_feed import DisplayFeed
from monitor.engine.journal_watch import JournalWatch
from monitor.engine.pipeline import Pipeline
from monitor.engine.publisher import Publisher
from monitor.engine.recordings import Recordings
from monitor.engine.resume import ResumePoint
from monitor.engine.scheduler import Scheduler
from monitor.engine.scoring import Batches
from monitor.engine.service_manager import ServiceManager
from monitor.errors import ModelError
from monitor.journal import Journal, RetentionLimits
from monitor.messages import AlarmMessage
from monitor.sources import Source
from monitor.sources.guarded import GuardedSource, Readers, close_sources

__all__ = ["build_pipeline", "load_scorer"]

_FEW_BEDS = 8  # more beds are scored in a thread of its own, and start when the libraries are loaded
_MEMORY = ":memory:"  # a journal for subscribers that missed messages, not an archive: half an hour of beats, 10 MB


def load_scorer(config: ModelConfig) -> Scorer:
    """Load the model that `[model]` names, or the shipped one.

    Raises:
        ModelError: the file is missing, is no ONNX model, or its metadata do not fit this program.
    """
    try:
        return Scorer(config.path or None, config.threads)
    except detector_scorer.ModelError as error:
        raise ModelError(str(error)) from error


def build_pipeline(
    sources: dict[str, Source],
    config: Config,
    scorer: Scorer,
    *,
    on_alarm: Callable[[AlarmMessage], None] = lambda _: None,
    on_notice: Callable[[str], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
    wall: Callable[[], datetime.datetime] = lambda: datetime.datetime.now(datetime.UTC),
    resume: Mapping[str, ResumePoint] | None = None,
) -> Pipeline:
    """Open journal, bus, metrics and recordings, and build the pipeline on them.

    On an error everything opened so far is closed again, the sources included.

    Args:
        sources: bed name -> open source; the pipeline closes them.
        config: the whole configuration.
        scorer: shared by all beds.
        on_alarm: receives each alarm message when it is published.
        on_notice: receives one line for a person.
        clock: monotonic, s.
        wall: wall time now.
        resume: bed name -> where an earlier run left the bed.

    Raises:
        BusError, ConfigError, JournalError, MetricsError, RecorderError: a port, the keys, the journal or the folder
            cannot be used; nothing was recorded.
    """
    started = wall()
    counters = Counters()
    incomplete: list[str] = []
    readers = Readers()
    few = len(sources) <= _FEW_BEDS
    batches = Batches(scorer, counters, beside=config.source.speed > 0 and not few)

    def report(line: str) -> None:
        incomplete.append(line)
        on_notice(line)

    def make_bed(name: str, source: Source) -> Bed:
        if not getattr(source, "never_blocks", False):
            source = GuardedSource(source, readers)
        paced = source.live or config.source.speed > 0
        return Bed(name, source, config, scorer, clock, started, paced)

    with contextlib.ExitStack() as undo:
        undo.callback(close_sources, list(sources.values()))
        closing = undo.enter_context(contextlib.ExitStack())
        beds = {name: make_bed(name, source) for name, source in sources.items()}
        for name, point in (resume or {}).items():
            beds[name].resume(point)
        recordings = Recordings(config, report, clock)
        journal = _open_journal(config, recordings.folder, len(beds), clock, report)
        closing.callback(journal.close)
        epoch = f"{started:%Y%m%dT%H%M%S}-{secrets.token_hex(4)}"
        keys = load_server_keys(Path(config.bus.keys)) if config.bus.keys else None
        endpoints = endpoints_from(config.bus.listen)
        bus = Bus(endpoints, epoch=epoch, journal=journal, clock=clock, keys=keys, report=on_notice)
        closing.callback(bus.close)
        publisher = Publisher(bus, journal, counters, recordings, on_alarm, on_notice, clock)
        publisher.put_sessions(beds.values())
        scheduler = Scheduler(beds, config.source.speed, bus, publisher, on_notice, clock)
        metrics = None
        if config.metrics.port:
            from monitor.engine.metrics import Collector, MetricsServer  # prometheus-client: 50 ms

            collector = Collector(beds, counters, bus.counters, journal, started.timestamp())
            metrics = MetricsServer(config.metrics, collector)
            closing.callback(metrics.close)
        undo.callback(recordings.abandon)
        for bed in beds.values():  # last: a port in use must not leave files that block the next attempt
            recordings.begin(bed)
        undo.pop_all()
    service = ServiceManager(os.environ.get("NOTIFY_SOCKET", ""))
    closing.callback(service.close)
    closing.callback(readers.close)
    closing.callback(batches.close)
    feed = DisplayFeed(bus, scheduler.thinning, 1.0 / config.bus.waves_hz, clock)
    return Pipeline(
        beds,
        make_bed,
        scorer,
        speed=config.source.speed,
        warm_first=not few,
        bus=bus,
        journal=journal,
        publisher=publisher,
        recordings=recordings,
        scheduler=scheduler,
        batches=batches,
        feed=feed,
        control=Control(beds, bus, journal, publisher, feed),
        journal_watch=JournalWatch(beds, journal, publisher, on_notice),
        counters=counters,
        metrics=metrics,
        service=service,
        closing=closing,
        clock=clock,
        wall=wall,
        report=report,
        incomplete=incomplete,
    )


def _open_journal(
    config: Config, folder: Path | None, beds: int, clock: Callable[[], float], report: Callable[[str], None]
) -> Journal:
    """The configured file, else one in the recording folder, else a journal in memory."""
    path = config.journal.path or (str(folder / "journal.sqlite") if folder else _MEMORY)
    limits = RetentionLimits(keep_days=config.journal.keep_days, max_mb=config.journal.max_mb)
    if path == _MEMORY:
        # Fewer rows for each bed when there are more beds: 20 MB of beats and status in all, 5 minutes of each bed.
        limits = RetentionLimits(
            max_mb=0,
            alarm_rows=max(100, min(1_000, 20_000 // beds)),
            beat_rows=max(400, min(2_000, 40_000 // beds)),
            status_rows=max(60, min(500, 10_000 // beds)),
            strips=100,
            actions=1_000,
            slack_rows=min(50, beds),
        )
    return Journal(path, limits=limits, clock=clock, report=report)
