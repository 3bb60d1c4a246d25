"""A running monitor whose journal holds an earlier run with alarms, and the page of it."""

from __future__ import annotations

import contextlib
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common.programs import MONITOR, Program

from detector import Scorer
from monitor.bus.endpoints import endpoints_from
from monitor.web.server import WebOptions
from tests.monitor.commands.helpers import free_endpoint
from tests.monitor.engine.helpers import Run, settings, sim
from tests.monitor.web.helpers import TIMEOUT_S, served

STORY = "sinus=14,asystole=6,sinus=8,vt=8,sinus=8,leadsoff=3,sinus=4"


@dataclass(frozen=True)
class Answer:
    status: int
    text: str
    headers: dict[str, str]

    @property
    def data(self) -> Any:
        return json.loads(self.text)


def get(address: str, path: str, **query: object) -> Answer:
    """One GET; lists repeat a name."""
    url = f"{address.rstrip('/')}{path}?{urllib.parse.urlencode(query, doseq=True)}"
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as answer:
            return Answer(answer.status, answer.read().decode(), dict(answer.headers))
    except urllib.error.HTTPError as error:
        with error:
            return Answer(error.code, error.read().decode(), dict(error.headers))


def page_of(*connect: str) -> AbstractContextManager[str]:
    """The page of monitors, served in a thread; gives its address."""
    return served(WebOptions(monitors=[endpoints_from(address) for address in connect]))


def earlier_run(path: Path, scorer: Scorer) -> Run:
    """A run in the journal, with every beat and alarm of STORY."""
    run = Run({"p1": sim(STORY)}, scorer, settings(journal={"path": str(path)}))
    run.pipeline.run()
    return run


@contextlib.contextmanager
def monitor_with(path: Path, source: str = "sim:bigeminy=6000", endpoint: str = "") -> Iterator[str]:
    """A monitor process on that journal; gives its alarm endpoint."""
    endpoint = endpoint or free_endpoint()
    words = ["--source", source, "--no-dashboard", "--bus", endpoint, "--journal", str(path)]
    with Program([*MONITOR, *words]) as program:
        program.endpoint()
        yield endpoint


@dataclass(frozen=True)
class Ward:
    """Addresses of page and monitor, the earlier run, and the file of the journal."""

    address: str
    endpoint: str
    run: Run
    path: str


@contextlib.contextmanager
def ward_with_past(path: Path) -> Iterator[Ward]:
    """A page whose monitor's journal, at `path`, has an earlier run."""
    run = earlier_run(path, Scorer())
    with monitor_with(path) as endpoint, page_of(endpoint) as address:
        yield Ward(address, endpoint, run, str(path))
