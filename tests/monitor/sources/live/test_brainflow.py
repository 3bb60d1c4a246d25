"""BrainFlow's boards without hardware: the synthetic board, and recorded files played back as a board."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from monitor.errors import SourceError
from monitor.sources import EndOfStream, SourceOptions, open_source
from monitor.sources.live import brainflow as brainflow_source
from tests.monitor.sources.helpers import gather, gather_leads, wait_for

pytest.importorskip("brainflow", reason="pip install '.[brainflow]'")
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # it uses pkg_resources
    from brainflow.board_shim import BoardIds, BoardShim
    from brainflow.data_filter import DataFilter

    BoardShim.disable_board_logger()
    DataFilter.disable_data_logger()

FS_HZ = 250


def recorded(
    path: Path, mv: NDArray[np.float64], places: NDArray[np.int64], counter: Callable[[Any], Any] = lambda at: at % 256
) -> str:
    """Write a recording of a Cyton board with its samples at indices `places`; return its source specification."""
    board = BoardShim.get_board_descr(BoardIds.CYTON_BOARD)
    rows = np.zeros((board["num_rows"], mv.size))
    rows[board["package_num_channel"]] = counter(places)
    rows[board["timestamp_channel"]] = 1.7e9 + places / FS_HZ
    rows[board["ecg_channels"][0]] = mv * 1000
    rows[board["ecg_channels"][2]] = -mv * 1000
    DataFilter.write_file(rows, str(path), "w")
    return f"brainflow:PLAYBACK_FILE_BOARD?file={path}&master_board=cyton"


@pytest.mark.parametrize(
    "board", ["synthetic", *(pytest.param(board, marks=pytest.mark.slow) for board in ("SYNTHETIC_BOARD", "-1"))]
)
def test_the_synthetic_board_is_found_by_name_and_number(board: str) -> None:
    source = open_source(f"brainflow:{board}", SourceOptions(channel="ch2", duration_s=1.4))
    assert (source.lead, source.fs_hz, source.live) == ("ch2", 250.0, True)
    samples, notices = gather(source, lambda *_: False)  # to the end
    assert (min(samples), max(samples)) == (0, 349)
    assert len(samples) > 250
    assert 0 < np.nanmax(np.abs(list(samples.values()))) < 5, "mV, not uV"
    assert [notice.kind for notice in notices] == ["format"]
    assert "by its counter" in notices[0].text
    with pytest.raises(EndOfStream):
        source.read(10)
    source.close()
    source.close()
    with pytest.raises(SourceError, match="closed"):
        source.read(10)


WAVE = np.sin(np.arange(2000) / 15).round(4)


@pytest.mark.slow
def test_lost_packets_are_gaps_beyond_the_range_of_the_counter(tmp_path: Path) -> None:
    places = np.arange(1100)
    places = places[(places < 400) | (places >= 431)]
    places = np.where(places >= 700, places + 256 + 5, places)
    source = open_source(recorded(tmp_path / "a.csv", WAVE[: places.size], places))
    assert source.lead == "ch1"
    samples, _ = gather(source, lambda samples, _: len(samples) == places.size)
    source.close()
    np.testing.assert_allclose(list(samples.values()), WAVE[: places.size], atol=1e-6)
    # On a busy machine the playback is late and does not catch up: that time is missing as well.
    assert (np.diff(list(samples)) >= np.diff(places)).all()
    assert (np.diff(list(samples)) > np.diff(places)).sum() <= 5


def test_two_leads_of_a_board(tmp_path: Path) -> None:
    places = np.arange(700)
    places = places[(places < 400) | (places >= 431)]
    wave = WAVE[: places.size].copy()
    wave[5] = 1e9  # beyond any voltage, in both channels
    noted: dict[str, str] = {}
    spec = recorded(tmp_path / "a.csv", wave, places)
    source = open_source(spec, SourceOptions(channel="ch3,0", note=noted.__setitem__))
    assert (source.lead, source.leads) == ("ch3,ch1", ("ch3", "ch1"))  # type: ignore[attr-defined]
    assert noted["lead"] == "ch3 and ch1"
    rows, notices = gather_leads(source, places.size)
    source.close()
    wave[5] = np.nan
    np.testing.assert_allclose(list(rows.values()), np.stack((-wave, wave), axis=1), atol=1e-6)
    assert (np.diff(list(rows)) >= np.diff(places)).all()
    assert [notice.count for notice in notices if notice.kind == "bad_input"] == [2]


@pytest.mark.slow
def test_a_counter_with_another_range_is_not_used(tmp_path: Path) -> None:
    spec = recorded(tmp_path / "a.csv", WAVE[:700], np.arange(700), lambda at: at % 201)
    source = open_source(spec, SourceOptions(channel=2))
    samples, notices = gather(source, lambda samples, _: len(samples) == 700)
    source.close()
    np.testing.assert_allclose(list(samples.values()), -WAVE[:700], atol=1e-6)
    assert "by the time" in notices[0].text


@pytest.mark.slow
def test_a_counter_of_the_packets_of_two_boards_is_used(tmp_path: Path) -> None:
    """A Cyton with Daisy: BrainFlow gives the counter of every second packet."""
    places = np.arange(700)
    places = places[(places < 400) | (places >= 431)]
    spec = recorded(tmp_path / "a.csv", WAVE[: places.size], places, lambda at: (2 * at + 1) % 256)
    source = open_source(spec)
    samples, notices = gather(source, lambda samples, _: len(samples) == places.size)
    source.close()
    assert "by its counter" in notices[0].text
    np.testing.assert_allclose(list(samples.values()), WAVE[: places.size], atol=1e-6)
    assert (np.diff(list(samples)) >= np.diff(places)).all(), "the gap is found by the counter"


def test_two_leads_of_a_silent_board_are_lost_and_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brainflow_source, "SILENT_S", 0.6)
    monkeypatch.setattr(brainflow_source, "_BACKOFF_S", (0.1, 0.2))
    path = tmp_path / "a.csv"
    source = open_source(recorded(path, WAVE[:400], np.arange(400)), SourceOptions(channel="0,2"))
    whole = path.read_bytes()
    gather_leads(source, 400)
    path.unlink()
    gather(source, lambda _, notices: [notice.kind for notice in notices] == ["source_lost"])
    path.write_bytes(whole)
    rows, notices = gather_leads(source, 300)
    source.close()
    assert notices[0].kind == "source_back"
    assert min(rows) > 400 + 0.5 * FS_HZ, "the time of the silence is missing"
    wave = WAVE[: len(rows)]
    np.testing.assert_allclose(list(rows.values()), np.stack((wave, -wave), axis=1), atol=1e-6)


@pytest.mark.slow
def test_a_silent_board_is_lost_and_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brainflow_source, "SILENT_S", 0.6)
    monkeypatch.setattr(brainflow_source, "_BACKOFF_S", (0.1, 0.2))
    path = tmp_path / "a.csv"
    source = open_source(recorded(path, WAVE[:500], np.arange(500)))
    whole = path.read_bytes()
    gather(source, lambda samples, _: len(samples) == 500)
    path.unlink()
    gather(source, lambda _, notices: [notice.kind for notice in notices] == ["source_lost"])
    path.write_bytes(whole)
    samples, notices = gather(source, lambda samples, _: len(samples) >= 400)
    source.close()
    assert notices[0].kind == "source_back"
    assert min(samples) > 500 + 0.5 * FS_HZ, "the time of the silence is missing"
    np.testing.assert_allclose(list(samples.values()), WAVE[: len(samples)], atol=1e-6)


@pytest.mark.slow
def test_unread_samples_are_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brainflow_source, "BUFFER_S", 1.6)
    source = open_source("brainflow:synthetic")
    assert isinstance(source, brainflow_source.BrainflowSource)
    wait_for(lambda: source.waiting >= 400, "a full buffer")
    time.sleep(0.6)  # 150 samples more
    samples, notices = gather(source, lambda samples, _: len(samples) >= 400)
    source.close()
    dropped = [notice.count for notice in notices if notice.kind == "overrun"]
    assert sum(dropped) >= 100
    assert min(samples) == dropped[0]


@pytest.mark.parametrize(
    ("spec", "options", "error"),
    [
        ("nosuch", {}, "no board 'nosuch'; nearest: "),
        ("CYTON_BORD", {}, "nearest: CYTON_BOARD"),
        ("", {}, "no board ''"),
        ("12345", {}, "no board '12345'"),
        ("cyton", {}, "a parameter is missing or wrong"),
        ("cyton?serial_port=/dev/nowhere", {}, "the port cannot be opened"),
        ("cyton?port=/dev/ttyUSB0", {}, "no parameter 'port'; there are serial_port,"),
        ("cyton?serial_port", {}, "write parameters as key=value"),
        ("synthetic?timeout=soon", {}, "timeout=soon is no whole number"),
        ("playback_file?file=/nowhere.csv&master_board=cyton", {}, "a parameter is missing or wrong"),
        ("playback_file?file=/nowhere.csv&master_board=citon", {}, "nearest: CYTON_BOARD"),
        ("synthetic", {"channel": "V1"}, "no channel 'V1'; channels: 0 ch1 .*, 1 ch2"),
        ("synthetic", {"channel": "ch1,V1"}, "no channel 'V1'; channels: 0 ch1 .*, 1 ch2"),
        ("synthetic", {"channel": "ch1,0"}, "'ch1' and 0 are one channel; give two different ones: 0 ch1"),
        ("synthetic", {"fs_hz": 500.0}, "--fs 500 Hz, but the board has 250 Hz"),
        ("synthetic", {"unit": "adc"}, "--mv-per-unit"),
        ("synthetic", {"start_s": 1.0}, "leave out --start"),
        ("synthetic", {"duration_s": -1.0}, "duration -1 s"),
    ],
)
def test_unusable_boards_are_refused_in_one_line(spec: str, options: dict[str, Any], error: str) -> None:
    with pytest.raises(SourceError, match=error) as refused:
        open_source(f"brainflow:{spec}", SourceOptions(**options))
    assert "\n" not in str(refused.value)


def test_a_refused_source_releases_the_board() -> None:
    for _ in range(2):
        with pytest.raises(SourceError, match="no channel"):
            open_source("brainflow:synthetic", SourceOptions(channel="V1"))
    open_source("brainflow:synthetic").close()


def test_a_board_that_sends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(brainflow_source, "_FIRST_S", 0.3)
    spec = recorded(tmp_path / "a.csv", WAVE[:20], np.arange(20))
    with pytest.raises(SourceError, match=r"sends nothing for 0\.3 s; is it on"):
        open_source(spec)


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "brainflow", None)
    with pytest.raises(SourceError, match=r"pip install 'ecg-monitor\[brainflow\]'"):
        open_source("brainflow:synthetic")
