from __future__ import annotations

import contextlib

import pytest

from tests.monitor.bus.conftest import bus

__all__ = ["bus"]


@pytest.fixture
def closing():
    with contextlib.ExitStack() as stack:
        yield lambda client: stack.enter_context(contextlib.closing(client))
