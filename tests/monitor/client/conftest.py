from __future__ import annotations

import contextlib

import pytest

from tests.monitor.bus.helpers import make_bus


@pytest.fixture
def bus():
    bus = make_bus()
    yield bus
    bus.close()


@pytest.fixture
def closing():
    with contextlib.ExitStack() as stack:
        yield lambda client: stack.enter_context(contextlib.closing(client))
