"""The folder of the demo: page, model, onnxruntime-web, and the judged recordings. Written whole or not at all."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

import msgspec

from detector import BEAT_FS_HZ, CONTEXT_FIELDS, R_INDEX, Scorer, shipped_model
from detector.bandpass import design_bandpass, qrs_delay_samples
from monitor import VERSION
from monitor.atomic_file import move
from monitor.demo.array_file import packed
from monitor.demo.judged import NO_SAMPLE, judge_recording
from monitor.demo.recordings import Recording
from monitor.demo.runtime import VERSION as ORT_VERSION
from monitor.errors import ConfigError, plain_line

__all__ = ["FORMAT", "build", "check_folder"]

FORMAT: Final = "ecg-monitor-demo/1"
INDEX: Final = "index.json"
# Of the live page, so that a trace looks the same in both; the rest stands in monitor/demo/static.
_SHARED: Final = (
    "canvas.js", "controls.js", "format.js", "marks.js", "ring.js", "store.js", "sweep.js", "theme.js", "style.css",
    "icon.svg",
)  # fmt: skip
_OWN_FS_HZ: Final = 250.0  # to which the page resamples a visitor's recording


def build(
    out: Path, recordings: Sequence[Recording], runtime: dict[str, bytes], scorer: Scorer, report: Callable[[str], None]
) -> int:
    """Write the demo to `out`, which is new, empty, or an earlier demo that is replaced.

    Args:
        out: folder.
        recordings: what to ship.
        runtime: files of onnxruntime-web by name.
        scorer: the shipped model.
        report: receives one line per recording.

    Returns:
        Size of all files, bytes.

    Raises:
        ConfigError: the folder holds something else, or cannot be written.
        SourceError: a recording cannot be read.
    """
    check_folder(out)
    try:
        with _draft_of(out) as draft:
            _write_page(draft, runtime)
            entries = [_write_recording(draft / "data", one, scorer, report) for one in recordings]
            index = _index(scorer, entries)
            (draft / INDEX).write_bytes(msgspec.json.format(msgspec.json.encode(index), indent=1))
            return sum(file.stat().st_size for file in draft.rglob("*") if file.is_file())
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror or plain_line(error)}; give another folder") from None


def check_folder(out: Path) -> None:
    """Refuse a folder that `build` would not write to.

    Raises:
        ConfigError: it holds something else than an earlier demo, or cannot be read.
    """
    try:
        if not out.exists() and not out.is_symlink():
            return
        if out.is_dir() and not out.is_symlink():
            if not any(out.iterdir()):
                return
            if (out / INDEX).is_file() and FORMAT.encode() in (out / INDEX).read_bytes()[:200]:
                return
    except OSError as error:
        raise ConfigError(f"--out {out}: {error.strerror}; give another folder") from None
    raise ConfigError(f"--out {out}: exists and is no earlier demo; give a new or empty folder")


@contextlib.contextmanager
def _draft_of(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place at the end; removed after an error."""
    out = out.resolve()
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.name}.", dir=out.parent) as folder:
        draft = Path(folder) / "new"
        (draft / "data").mkdir(parents=True)
        yield draft
        if out.exists():
            move(out, Path(folder) / "old")
        move(draft, out)


def _write_page(draft: Path, runtime: dict[str, bytes]) -> None:
    monitor = resources.files("monitor")
    for file in (monitor / "demo" / "static").iterdir():
        _copy(file, draft)
    for name in _SHARED:
        _copy(monitor / "web" / "static" / name, draft)
    (draft / "ort").mkdir()
    (draft / "ONNXRUNTIME-LICENSE").rename(draft / "ort" / "LICENSE")
    for name, content in runtime.items():
        (draft / "ort" / name).write_bytes(content)
    shutil.copyfile(shipped_model(), draft / "model.onnx")


def _copy(file: Traversable, folder: Path) -> None:
    if file.is_file():
        (folder / file.name).write_bytes(file.read_bytes())


def _write_recording(
    folder: Path, recording: Recording, scorer: Scorer, report: Callable[[str], None]
) -> dict[str, Any]:
    """Write one recording; returns its entry of the index."""
    judged = judge_recording(recording, scorer)
    facts = judged.facts()
    content, table = packed(judged.arrays())
    (folder / f"{recording.key}.bin").write_bytes(content)
    (folder / f"{recording.key}.json").write_bytes(msgspec.json.encode({**facts, "arrays": table}))
    beats, seconds = facts["beats"], table["signal"]["shape"][1] / facts["fs_hz"]
    anomalous = sum(beat["anomalous"] for beat in beats)
    report(f"{recording.spec}: {seconds:.0f} s, {len(beats)} beats, {anomalous} anomalous")
    shown = ("key", "title", "text", "spec", "credit", "training", "annotated", "lead")
    kinds = {alarm["kind"] for alarm in facts["alarms"] if alarm["category"] == "physiological"}
    return {name: facts[name] for name in shown} | {
        "seconds": round(seconds, 1),
        "beats": len(beats),
        "anomalous": anomalous,
        "alarms": sorted(kinds),
    }


def _index(scorer: Scorer, entries: list[dict[str, Any]]) -> dict[str, Any]:
    calibration = msgspec.to_builtins(scorer.calibration)
    return {
        "format": FORMAT,
        "version": VERSION,
        "runtime": f"onnxruntime-web {ORT_VERSION}",
        "no_sample": NO_SAMPLE,
        "beat_fs_hz": BEAT_FS_HZ,
        "r_index": R_INDEX,
        "context_fields": CONTEXT_FIELDS,
        "model": {
            "name": scorer.info.name,
            "version": scorer.info.metadata.get("version", ""),
            "sha256": scorer.info.sha256,
            "training_data": scorer.info.metadata.get("training_data", ""),
            "score_max": scorer.calibration.score_max,
            "calibration": calibration,
        },
        "curves": _curves(scorer.info.sha256),
        "own": {
            "fs_hz": _OWN_FS_HZ,
            "sections": design_bandpass(_OWN_FS_HZ).tolist(),
            "delay_samples": qrs_delay_samples(_OWN_FS_HZ),
        },
        "recordings": entries,
    }


def _curves(sha256: str) -> dict[str, Any] | None:
    """ROC and histogram beside the shipped model; None if they were measured with another one."""
    path = shipped_model().with_suffix(".json")
    if not path.is_file():
        return None
    curves: dict[str, Any] = msgspec.json.decode(path.read_bytes())
    return curves if curves.get("sha256") == sha256 else None
