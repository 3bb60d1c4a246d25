"""Messages, states and lines of the screen for dashboard tests."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.segment import Segment

from monitor.dashboard.canvas import Frame
from monitor.dashboard.render import BedView, render
from monitor.dashboard.state import DashboardState
from monitor.messages import (
    Alarm,
    AlarmMessage,
    BeatMessage,
    HeartbeatMessage,
    ModelInfo,
    StatusMessage,
    WaveHeader,
)

FS_HZ = 250.0
MODEL = ModelInfo("test-model", "ab" * 32)


def ecg(first_sample: int, n: int, fs_hz: float = FS_HZ) -> NDArray[np.float32]:
    """One beat a second, a sum of Gaussians; R-peaks of 1.2 mV 0.5 s after each whole second."""
    phase = (np.arange(first_sample, first_sample + n) / fs_hz) % 1.0
    parts = ((0.32, 0.12, 0.025), (0.48, -0.1, 0.008), (0.5, 1.2, 0.01), (0.53, -0.25, 0.01), (0.78, 0.3, 0.05))
    return sum(h * np.exp(-0.5 * ((phase - at) / w) ** 2) for at, h, w in parts).astype(np.float32)


def wave(
    first_sample: int,
    samples: NDArray[np.float32],
    *,
    seq: int = 1,
    bed: str = "p1",
    fs_hz: float = FS_HZ,
    epoch: str = "e1",
    pacer_samples: tuple[int, ...] = (),
) -> tuple[WaveHeader, bytes]:
    """A wave message: header and samples."""
    rows = np.stack([samples, samples]).astype("<f4")
    header = WaveHeader(
        epoch=epoch,
        seq=seq,
        sample=first_sample + len(samples),
        bed=bed,
        first_sample=first_sample,
        n=len(samples),
        fs_hz=fs_hz,
        pacer_samples=pacer_samples,
    )
    return header, rows.tobytes()


def beat(r_sample: int, *, seq: int = 1, bed: str = "p1", epoch: str = "e1", **fields: Any) -> BeatMessage:
    """A normal beat; `fields` override."""
    usual: dict[str, Any] = {
        "rr_s": 1.0,
        "log_prob": -12.0,
        "score": 1.5,
        "p_value": 0.42,
        "threshold": 4.5,
        "anomalous": False,
        "quality": "good",
        "heart_rate_bpm": 60.0,
    }
    return BeatMessage(epoch=epoch, seq=seq, sample=r_sample + 250, bed=bed, r_sample=r_sample, **usual | fields)


def status(sample: int, *, seq: int = 1, bed: str = "p1", epoch: str = "e1", **fields: Any) -> StatusMessage:
    """Status of a running bed; `fields` override."""
    usual: dict[str, Any] = {
        "state": "running",
        "source": "sim",
        "lead": "MLII",
        "fs_hz": FS_HZ,
        "speed": 1.0,
        "quality": "good",
        "scorable": True,
        "heart_rate_bpm": 60.0,
        "model": MODEL,
    }
    return StatusMessage(epoch=epoch, seq=seq, sample=sample, bed=bed, **usual | fields)


def heartbeat(seq: int, *, beds: tuple[str, ...] = ("p1",), epoch: str = "e1", **fields: Any) -> HeartbeatMessage:
    """Heartbeat of a running monitor; `fields` override."""
    usual: dict[str, Any] = {"state": "running", "beds": beds, "uptime_s": float(seq), "version": "0"}
    return HeartbeatMessage(epoch=epoch, seq=seq, **usual | fields)


def alarm(
    kind: str, priority: str, state: str = "onset", *, onset: int = 0, sample: int = 0, bed: str = "p1", **fields: Any
) -> AlarmMessage:
    """A physiological alarm; `fields` override."""
    usual: dict[str, Any] = {"category": "physiological", "text": f"text of {kind}"}
    body = Alarm(
        alarm_id=f"{bed}/{kind}/{onset}",
        bed=bed,
        kind=kind,
        priority=priority,  # type: ignore[arg-type]
        state=state,  # type: ignore[arg-type]
        onset_sample=onset,
        decided_sample=sample,
        **usual | fields,
    )
    return AlarmMessage(epoch="e1", seq=1, sample=sample, alarm=body, model=MODEL)


def running_state(seconds: int = 20, beds: tuple[str, ...] = ("p1",)) -> DashboardState:
    """State after some seconds of a normal stream; the clock is then at `seconds`."""
    state = DashboardState()
    for second in range(seconds):
        first, now_s = round(second * FS_HZ), float(second + 1)
        state.set_connection("connected", now_s)
        state.apply(heartbeat(second + 1, beds=beds), now_s=now_s)
        for bed in beds:
            header, raw = wave(first, ecg(first, 250), seq=second + 1, bed=bed)
            state.apply(header, raw, now_s=now_s)
            if second:
                state.apply(beat(first - 125, seq=second, bed=bed), now_s=now_s)
            state.apply(status(first + 250, seq=second + 1, bed=bed, beats=second), now_s=now_s)
    return state


def console_of(frame: Frame, *, colours: bool = False) -> Console:
    """A console of the frame's size that writes to memory."""
    return Console(
        width=frame.width, height=frame.height, file=io.StringIO(), force_terminal=colours, color_system="auto",
        _environ={},
    )  # fmt: skip


def lines_of(frame: Frame) -> list[str]:
    """Lines of a frame without colours."""
    console = console_of(frame)
    with console.capture() as capture:
        console.print(frame, end="")
    return capture.get().split("\n")


def runs_of(frame: Frame) -> list[Segment]:
    """Runs of text with one style."""
    console = console_of(frame, colours=True)
    return list(console.render(frame, console.options))


def screen(
    state: DashboardState, width: int = 100, height: int = 30, now_s: float | None = None, view: BedView | None = None
) -> list[str]:
    """Lines of the screen of one bed without colours."""
    return lines_of(render(state, width, height, state.updated_s if now_s is None else now_s, view))
