"""Closes the sources that `open_bytes` opened."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.monitor.sources.files.opening import close_all


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    close_all()
