from __future__ import annotations

from pathlib import Path

import pytest

from tests.monitor.bus.helpers import Sockets, make_bus
from tests.monitor.bus.keyed_bus import KeyedBus


@pytest.fixture
def bus():
    bus = make_bus()
    yield bus
    bus.close()


@pytest.fixture
def sockets():
    sockets = Sockets()
    yield sockets
    sockets.close()


@pytest.fixture
def keyed(tmp_path: Path):
    keyed = KeyedBus(tmp_path / "keys")
    yield keyed
    keyed.close()
