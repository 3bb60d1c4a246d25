"""A shard: some beds with one pipeline and one journal, in a thread; a restart continues where the journal ends."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from monitor.bus.endpoints import BusEndpoints
from monitor.config import Config, merge
from monitor.engine.assembly import build_pipeline, load_scorer
from monitor.engine.bed_plan import WAITED_FOR, BedPlan, open_bed
from monitor.engine.pipeline import Pipeline
from monitor.engine.resume import WATCHED_AGAIN, ResumePoint, read_resume_points
from monitor.errors import EcgMonitorError, JournalError, JournalInUse, SourceError
from monitor.fleet.resumed_source import ResumedSource
from monitor.sources import Source
from monitor.sources.reconnecting import ReconnectingSource

__all__ = ["Shard", "ShardOrder", "ShardReport", "ShardState"]

ShardState = Literal["starting", "running", "ended", "stopped", "failed"]

_JOURNAL_S = 0.2  # between tries to open the journal, which the last worker of the shard may still hold


@dataclass(frozen=True)
class ShardOrder:
    """Configuration of a shard.

    Attributes:
        name: e.g. `s003`.
        config: of the whole fleet.
        folder: of its journal, `<name>.sqlite`.
        listen: address of its sockets, e.g. `tcp://127.0.0.1:*`.
        keys: folder of the CURVE keys that a client needs; empty = none.
    """

    name: str
    plans: tuple[BedPlan, ...]
    config: Config
    folder: Path
    listen: str = "tcp://127.0.0.1:*"
    keys: str = ""

    @property
    def journal(self) -> Path:
        """File of its journal."""
        return self.folder / f"{self.name}.sqlite"


@dataclass(frozen=True)
class ShardReport:
    """State of a shard.

    Attributes:
        state: `starting`, `running`, `ended` (all its sources), `stopped` (by `stop`) or `failed` (see `text`).
        endpoints: where it listens, while it runs.
        first_epoch: of the first run in its journal.
        resumed: number of beds that continue an earlier run.
        notices: lines for a person since the last report.
    """

    state: ShardState
    text: str = ""
    endpoints: BusEndpoints | None = None
    first_epoch: str = ""
    resumed: int = 0
    notices: tuple[str, ...] = ()


class Shard:
    """Run a shard in a thread of its own."""

    def __init__(self, order: ShardOrder) -> None:
        self.order = order
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._report = ShardReport("starting")
        self._notices: list[str] = []
        self._thread = threading.Thread(target=self._work, name=order.name, daemon=True)
        self._thread.start()

    def report(self) -> ShardReport:
        """The state now."""
        with self._lock:
            notices, self._notices = tuple(self._notices), []
            return replace(self._report, notices=notices)

    def stop(self) -> None:
        """Make it end in order; its state is `stopped` once its journal is closed."""
        self._stop.set()

    def join(self, timeout_s: float) -> None:
        """Wait for the end of the thread."""
        self._thread.join(timeout_s)

    # -- inside ----------------------------------------------------------------------------------------------

    def _set(self, report: ShardReport) -> None:
        with self._lock:
            self._report = report

    def _notice(self, line: str) -> None:
        if WATCHED_AGAIN in line:  # one line per shard is enough; each bed has its event
            return
        with self._lock:
            self._notices.append(line)
            del self._notices[:-100]

    def _work(self) -> None:
        try:
            pipeline = self._open()
            if pipeline is None:
                self._set(ShardReport("stopped"))
                return
            first_epoch = pipeline.journal.epochs()[0]
            resumed = sum(bed.resumed is not None for bed in pipeline.beds.values())
            running = ShardReport("running", "", pipeline.bus.endpoints, first_epoch, resumed)
            self._set(running)
            with contextlib.suppress(SourceError):  # every source broke; each bed has reported it
                pipeline.run(self._stop.is_set)
        except Exception as error:  # the other shards continue, and the fleet reports this one
            name = "" if isinstance(error, EcgMonitorError) else f"{type(error).__name__}: "
            self._set(ShardReport("failed", f"{name}{error}"))
            return
        state: ShardState = "stopped" if self._stop.is_set() else "ended"
        self._set(replace(running, state=state, text="; ".join(pipeline.incomplete)))

    def _open(self) -> Pipeline | None:
        """The pipeline, once its journal is free; None where `stop` came first."""
        order = self.order
        changes: dict[str, dict[str, Any]] = {
            "bus": {"listen": order.listen, "keys": order.keys},
            "journal": {"path": str(order.journal)},
            "metrics": {"port": 0},
        }
        config = merge(order.config, changes, f"shard {order.name}")
        scorer = load_scorer(config.model)
        while not self._stop.is_set():
            try:
                states = read_resume_points(order.journal, [plan.name for plan in order.plans])
            except JournalError:
                if order.journal.exists():
                    raise
                states = {}
            sources = {plan.name: self._source(plan, config, states.get(plan.name)) for plan in order.plans}
            try:
                return build_pipeline(sources, config, scorer, on_notice=self._notice, resume=states)
            except JournalInUse as error:
                self._set(ShardReport("starting", str(error)))
                self._stop.wait(_JOURNAL_S)
        return None

    def _source(self, plan: BedPlan, config: Config, state: ResumePoint | None) -> Source:
        """The source of a bed. A device, and the source of a bed that continues, is retried until it can be opened.

        Raises:
            SourceError: another source cannot be opened.
        """

        def open_source() -> Source:
            source = open_bed(plan, config)
            return source if state is None else ResumedSource(source, state, config.source.speed)

        try:
            return open_source()
        except SourceError as error:
            if state is None and plan.source.spec.partition(":")[0] not in WAITED_FOR:
                raise SourceError(f"beds.{plan.name}.source = {plan.source.spec!r}: {error}") from None
            fs_hz = plan.source.fs_hz or None if state is None else state.status.fs_hz
            return ReconnectingSource(
                open_source, plan.source.spec, f"{error}; it is opened as soon as it can be", fs_hz
            )
