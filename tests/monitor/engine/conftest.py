"""Fixtures of the engine tests."""

from __future__ import annotations

import pytest

from detector import Scorer


@pytest.fixture(scope="session")
def scorer() -> Scorer:
    return Scorer()
