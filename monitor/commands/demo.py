"""`ecg-monitor demo`: the live demo as static files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from monitor.terminal import notice

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Option(help="Folder to write; new, empty, or an earlier demo.")],
    ort: Annotated[
        Path | None,
        typer.Option(help="Installed npm package onnxruntime-web; without it from the cache, or the npm registry."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="Only this recording, e.g. vt; may be repeated.")
    ] = None,
) -> None:
    """Write the live demo: a page for any static host that runs the model in the browser."""
    from monitor.config import ModelConfig
    from monitor.demo.annotations import classes_known
    from monitor.demo.build import build, check_folder
    from monitor.demo.recordings import RECORDINGS, available
    from monitor.demo.runtime import runtime_files
    from monitor.engine.assembly import load_scorer
    from monitor.errors import ConfigError

    check_folder(out)
    recordings = available()
    if only:
        known = {one.key: one for one in recordings}
        for key in only:
            if key not in known:
                absent = any(one.key == key for one in RECORDINGS)
                why = "its record is not on this machine; set ECG_MONITOR_DATA" if absent else "unknown"
                raise ConfigError(f"--only {key}: {why}; there are {', '.join(known)}")
        recordings = [known[key] for key in dict.fromkeys(only)]
    runtime = runtime_files(ort)
    noun = "recording" if len(recordings) == 1 else "recordings"
    size = build(out, recordings, runtime, load_scorer(ModelConfig()), notice)
    if any(one.database == "mitdb" for one in recordings) and not classes_known():
        notice("without the annotated classes of beats; install wfdb to add them: python -m pip install wfdb")
    if not only and not any(one.database for one in recordings):
        notice("without real records; set ECG_MONITOR_DATA to a folder that holds mitdb/ to add them")
    notice(f"{len(recordings)} {noun}, {size / 1e6:.0f} MB in {out}; see it with: python -m http.server -d {out}")
