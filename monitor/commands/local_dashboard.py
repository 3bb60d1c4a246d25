"""Monitor and dashboard in one process: the pipeline runs in a thread, the dashboard is a subscriber of its bus.

The first frame is drawn before the numeric libraries are imported: their import is the longest part of the start.
"""

from __future__ import annotations

import sys
import threading
import time
from collections import deque
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from rich.console import Console

from monitor.bus.endpoints import BusEndpoints
from monitor.bus.keys import ClientKey
from monitor.client.client import WARD, AlarmClient, Received
from monitor.client.liveness import ConnectionState
from monitor.commands.run_summary import file_lines, summary_lines
from monitor.commands.stdout import discard
from monitor.config import Config
from monitor.dashboard.live import run_dashboard
from monitor.errors import ClientError, SourceError
from monitor.messages import Reply, Request
from monitor.sources import Source
from monitor.terminal import notice as print_notice
from monitor.terminal import print_line

if TYPE_CHECKING:
    from monitor.engine.pipeline import Pipeline
    from monitor.notify.notifier import Notifier
    from monitor.web.beside import WebBeside

__all__ = ["DeferredClient", "run_local_dashboard"]

_REFUSED_LINES = 20  # refused connections printed after the dashboard is closed
_JOIN_S = 2.0  # time for the dashboard to connect: a short record at full speed would end before


class DeferredClient:
    """An AlarmClient that is created as soon as the endpoints of the starting monitor are known.

    `connect` may be called from any thread, all other methods from one thread only.
    """

    def __init__(self) -> None:
        self._known = threading.Event()
        self._endpoints: BusEndpoints | None = None
        self._key: ClientKey | None = None
        self._client: AlarmClient | None = None
        self._detail: tuple[Collection[str], Collection[str]] = (), ()

    def connect(self, endpoints: BusEndpoints, key: ClientKey | None = None) -> None:
        """Set the endpoints of the monitor and the key of the dashboard."""
        self._endpoints, self._key = endpoints, key
        self._known.set()

    @property
    def state(self) -> ConnectionState:
        """As AlarmClient.state."""
        return "connecting" if self._client is None else self._client.state

    def poll(self, timeout_s: float = 0.0) -> Sequence[Received]:
        """As AlarmClient.poll."""
        if self._client is None and self._known.wait(timeout_s) and self._endpoints is not None:
            ends = self._endpoints
            self._client = AlarmClient(
                ends.alarms, ends.control, streams=WARD, waves_endpoint=ends.waves, key=self._key
            )
            self._client.set_detail(*self._detail)
        return [] if self._client is None else self._client.poll(timeout_s)

    def request(self, request: Request, timeout_s: float = 2.0) -> Reply:
        """As AlarmClient.request.

        Raises:
            ClientError: no reply in time, or the monitor is still starting.
        """
        if self._client is None:
            raise ClientError("the monitor is starting")
        return self._client.request(request, timeout_s)

    def set_detail(self, wave_beds: Collection[str], beat_beds: Collection[str] = ()) -> None:
        """As AlarmClient.set_detail."""
        self._detail = wave_beds, beat_beds
        if self._client is not None:
            self._client.set_detail(wave_beds, beat_beds)

    def close(self) -> None:
        """Close the sockets."""
        if self._client is not None:
            self._client.close()


def run_local_dashboard(
    sources: dict[str, Source],
    config: Config,
    stop: threading.Event,
    page: WebBeside | None = None,
    notifier: Notifier | None = None,
) -> tuple[str, ...]:
    """Run the monitor with its dashboard until the user quits or `stop` is set; then print a summary.

    Args:
        sources: bed name -> open source; closed here.
        config: the whole configuration.
        stop: set by a signal.
        page: web server beside the monitor, not yet started; the caller closes it.
        notifier: receivers of `[notify]`, not yet started; closed here.

    Returns:
        One line per recording or journal that is incomplete.

    Raises:
        BusError, ConfigError, JournalError, ModelError, RecorderError: the monitor could not start.
    """
    client = DeferredClient()
    incomplete: list[str] = []
    failed: list[Exception] = []
    started: list[Pipeline] = []
    refused: deque[str] = deque(maxlen=_REFUSED_LINES)

    def notice(line: str) -> None:
        if line.startswith("bus: "):
            refused.append(line)

    def work() -> None:
        # Imported here, after the first frame is drawn.
        try:
            from monitor.engine.assembly import build_pipeline, load_scorer

            pipeline = build_pipeline(sources, config, load_scorer(config.model), on_notice=notice)
        except Exception as error:  # printed after the terminal is restored
            for source in sources.values():
                source.close()
            failed.append(error)
            return
        started.append(pipeline)
        client.connect(pipeline.bus.endpoints, pipeline.bus.screen_key)
        if page is not None:
            page.start(pipeline.bus.endpoints, pipeline.bus.web_key)
        try:
            if notifier is not None:
                notifier.start(pipeline)
            pipeline.wait_for_subscriber(_JOIN_S)
            pipeline.run(stop.is_set)
        except Exception as error:
            failed.append(error)
        finally:
            incomplete.extend(pipeline.incomplete)
            if notifier is not None:
                incomplete.extend(notifier.close())

    worker = threading.Thread(target=work, name="pipeline")
    worker.start()
    try:
        run_dashboard(
            client,
            Console(),
            time.monotonic,
            should_stop=lambda: stop.is_set() or bool(failed),
            greeting="" if page is None else f"page on {page.address}",
            bell=config.dashboard.bell,
        )
    finally:
        stop.set()
        worker.join()
        client.close()
        _print_summary(started, config)
        for line in refused:
            print_notice(line)
    if failed and not isinstance(failed[0], SourceError):
        raise failed[0]
    return tuple(incomplete)


def _print_summary(started: list[Pipeline], config: Config) -> None:
    """Print the summary of a monitor that has started; a terminal that hung up is no error."""
    try:
        for pipeline in started:
            for line in (*summary_lines(pipeline), *file_lines(config)):
                print_line(line)
    except OSError:
        discard(sys.stdout)
