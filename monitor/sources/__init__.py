"""Sources: the only way samples come in. `open_source` turns what a person wrote into one of them."""

from __future__ import annotations

from monitor.errors import SourceError
from monitor.sources.base import Chunk, EndOfStream, Notice, Source
from monitor.sources.options import SourceOptions, check_fs

__all__ = [
    "SOURCES",
    "Chunk",
    "EndOfStream",
    "Notice",
    "Source",
    "SourceError",
    "SourceOptions",
    "open_source",
]

SOURCES: dict[str, str] = {
    "sim": "synthetic patient; sim:SCENARIO, e.g. sim:sinus=60,vt=8,sinus=30",
    "mitdb": "MIT-BIH Arrhythmia Database, e.g. mitdb:208",
    "nstdb": "MIT-BIH Noise Stress Test Database, e.g. nstdb:118e06",
    "cudb": "CU Ventricular Tachyarrhythmia Database, e.g. cudb:cu01",
    "wfdb": "a WFDB record of yours, wfdb:PATH",
    "edf": "a signal of an EDF or EDF+ file, edf:PATH",
    "csv": "numbers in a text file, csv:PATH",
    "-": "numbers on standard input, one row a sample, with --fs",
    "zmq": "samples that another program pushes, zmq:tcp://127.0.0.1:5600",
    "lsl": "a stream of the lab streaming layer, lsl:NAME or lsl:type=ECG; needs the extra lsl",
    "brainflow": "a board that BrainFlow knows, e.g. brainflow:SYNTHETIC_BOARD; needs the extra brainflow",
    "serial": "a device that writes one number a line, with --port --baud --fs",
}


def open_source(spec: str, options: SourceOptions | None = None) -> Source:
    """Open what `spec` names.

    Args:
        spec: `KIND` or `KIND:WHAT`, see SOURCES.
        options: what else the person said; None = all defaults.

    Returns:
        A source whose sampling rate is within the supported range. The caller closes it.

    Raises:
        SourceError: no such kind, or it cannot be opened; one line with the remedy.
    """
    options = options or SourceOptions()
    if options.fs_hz is not None:
        check_fs(options.fs_hz, spec)
    kind, _, what = spec.partition(":")
    source = _open(kind.strip(), what.strip(), options, spec)
    try:
        check_fs(source.fs_hz, spec)
    except SourceError:
        source.close()
        raise
    return source


def _open(kind: str, what: str, options: SourceOptions, spec: str) -> Source:
    # Each source is imported only when it is asked for: wfdb alone costs 0.4 s.
    if kind == "sim":
        from monitor.sources.simulated.simulator import open_simulator

        return open_simulator(what, options, spec)
    if kind in ("mitdb", "nstdb", "cudb", "wfdb"):
        from monitor.sources.files.wfdb import open_wfdb

        return open_wfdb(kind, what, options, spec)
    if kind == "edf":
        from monitor.sources.files.edf import EdfSource

        return EdfSource(what, options, spec)
    if kind == "-":
        from monitor.sources.live.stdin import StdinSource

        if what:
            raise SourceError(f"{spec}: standard input is just -; a file of numbers is csv:PATH")
        return StdinSource(options, spec)
    if kind == "csv":
        from monitor.sources.files.csv import CsvSource

        return CsvSource(what, options, spec)
    if kind == "zmq":
        from monitor.sources.live.zmq import ZmqSource

        return ZmqSource(what, options, spec)
    if kind == "lsl":
        from monitor.sources.live.lsl import LslSource

        return LslSource(what, options, spec)
    if kind == "brainflow":
        from monitor.sources.live.brainflow import BrainflowSource

        return BrainflowSource(what, options, spec)
    if kind == "serial":
        from monitor.sources.serial.source import SerialSource

        return SerialSource(options, spec)
    from monitor.sources.plugin import open_plugin, plugin_kinds

    if (plugin := open_plugin(kind, what, options, spec)) is not None:
        return plugin
    kinds = ", ".join([*SOURCES, *plugin_kinds()])
    raise SourceError(f"unknown source {spec!r}; choose one of {kinds}, e.g. sim, mitdb:208, csv:FILE")
