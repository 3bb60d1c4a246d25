"""Waits of a real radio are short in these tests."""

from __future__ import annotations

import pytest

pytest.importorskip("bleak", reason="pip install '.[ble]'")

from monitor.sources.ble import radio, strap_buffer, straps
from monitor.sources.ble import source as ble_source


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ble_source, "_BACKOFF_S", (0.01, 0.02))
    monkeypatch.setattr(ble_source, "_POLL_S", 0.003)  # the clock of these tests runs fast
    monkeypatch.setattr(straps, "ANSWER_S", 0.2)
    monkeypatch.setattr(ble_source, "_OPEN_S", 2.0)
    monkeypatch.setattr(strap_buffer, "BUFFER_S", 3600.0)
    monkeypatch.setattr(radio, "SCAN_S", 0.5)
