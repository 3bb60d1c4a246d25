"""Sources of ECG samples. `open_source` opens the one that a specification names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from importlib import import_module

from monitor.errors import SourceError, plain_line
from monitor.sources.base import Chunk, EndOfStream, Notice, Source
from monitor.sources.options import FS_MAX_HZ, SourceOptions, check_fs
from monitor.sources.units import canonical_unit

__all__ = [
    "SOURCES",
    "Chunk",
    "EndOfStream",
    "Notice",
    "Source",
    "SourceError",
    "SourceKind",
    "SourceOptions",
    "open_source",
]


@dataclass(frozen=True, slots=True)
class SourceKind:
    """A kind of source.

    Attributes:
        description: one line for the user.
        opener: `MODULE:NAME` in this package, called as `opener(what, options, spec)`. It is imported at the first use,
            so that a source costs only its own libraries.
        both_leads: it reads two leads itself, or refuses them: `options.second`. Others are opened twice.
    """

    description: str
    opener: str
    both_leads: bool = False


SOURCES: dict[str, SourceKind] = {
    "sim": SourceKind(
        "synthetic patient; sim:SCENARIO, e.g. sim:sinus=60,vt=8,sinus=30",
        "simulated.simulator:Simulator",
        both_leads=True,
    ),
    "mitdb": SourceKind("MIT-BIH Arrhythmia Database, e.g. mitdb:208", "files.wfdb:open_database_record"),
    "nstdb": SourceKind("MIT-BIH Noise Stress Test Database, e.g. nstdb:118e06", "files.wfdb:open_database_record"),
    "cudb": SourceKind("CU Ventricular Tachyarrhythmia Database, e.g. cudb:cu01", "files.wfdb:open_database_record"),
    "wfdb": SourceKind("your own WFDB record, wfdb:PATH", "files.wfdb:open_wfdb"),
    "edf": SourceKind("one signal of an EDF, EDF+, BDF or BDF+ file, edf:PATH", "files.edf:EdfSource"),
    "ishne": SourceKind("one lead of an ISHNE Holter file, ishne:PATH", "files.ishne:IshneSource"),
    "csv": SourceKind("numbers in a text file, csv:PATH", "files.csv:CsvSource"),
    "-": SourceKind("numbers on standard input, one row a sample, with --fs", "live.stdin:open_stdin", both_leads=True),
    "zmq": SourceKind(
        "samples pushed by another program, zmq:tcp://127.0.0.1:5600", "live.zmq:ZmqSource", both_leads=True
    ),
    "lsl": SourceKind(
        "a stream of the lab streaming layer, lsl:NAME or lsl:type=ECG; needs the extra lsl",
        "live.lsl:LslSource",
        both_leads=True,
    ),
    "brainflow": SourceKind(
        "a board supported by BrainFlow, e.g. brainflow:SYNTHETIC_BOARD; needs the extra brainflow",
        "live.brainflow:BrainflowSource",
        both_leads=True,
    ),
    "ble": SourceKind(
        "a Polar H10, a Movesense or a device of your own over Bluetooth, ble:NAME or ble:ADDRESS; needs the extra ble",
        "ble.source:BleSource",
        both_leads=True,
    ),
    "serial": SourceKind("a device on a serial port, with --port", "serial.source:SerialSource", both_leads=True),
}


def open_source(spec: str, options: SourceOptions | None = None) -> Source:
    """Open a source.

    Args:
        spec: `KIND` or `KIND:WHAT`, see SOURCES; or the path of a file, whose kind is then recognised.
        options: the user's other choices; None = all defaults.

    Returns:
        A source whose sampling rate is within the detector's range; a faster one is decimated. The caller closes it.

    Raises:
        SourceError: unknown kind, or the source cannot be opened; one line with the remedy.
    """
    options = options or SourceOptions()
    if options.unit is not None:
        options = replace(options, unit=canonical_unit(options.unit) or options.unit)
    if options.fs_hz is not None:
        check_fs(options.fs_hz, spec)
    from monitor.sources.two_leads import TwoLeadSource, two_channels, with_second

    if (channels := two_channels(options, plain_line(spec))) is None:
        return _open_at_rate(spec, options)
    kind = SOURCES.get(spec.partition(":")[0].strip())
    if kind is not None and kind.both_leads:
        return _open_at_rate(spec, with_second(options, channels))
    return TwoLeadSource(partial(_open_at_rate, spec), options, channels, plain_line(spec))


def _open_at_rate(spec: str, options: SourceOptions) -> Source:
    """Open a source at a rate within the detector's range."""
    kind, _, what = spec.partition(":")
    source = _open(kind.strip(), what.strip(), options, spec)
    try:
        check_fs(source.fs_hz, spec)
    except SourceError:
        source.close()
        raise
    source.lead = plain_line(source.lead)  # as a file or a sender gave it
    if source.fs_hz <= FS_MAX_HZ:
        return source
    from monitor.sources.decimated import DecimatedSource

    decimated = DecimatedSource(source)
    options.note("decimated", f"from {source.fs_hz:g} to {decimated.fs_hz:g} Hz")
    return decimated


def _open(kind: str, what: str, options: SourceOptions, spec: str) -> Source:
    if kind in SOURCES:
        module, name = SOURCES[kind].opener.split(":")
        opener: Callable[[str, SourceOptions, str], Source] = getattr(import_module(f"{__name__}.{module}"), name)
        return opener(what, options, plain_line(spec))
    from monitor.sources.plugin import open_plugin, plugin_kinds

    if (plugin := open_plugin(kind, what, options, plain_line(spec))) is not None:
        return plugin
    from monitor.sources.files.recognise import recognised

    if (found := recognised(spec)) is not None:
        kind, path = found
        options.note("kind", f"{kind}:{path}")
        return _open(kind, path, options, f"{kind}:{path}")
    kinds = ", ".join([*SOURCES, *plugin_kinds()])
    raise SourceError(f"unknown source {plain_line(spec)!r}; choose one of {kinds}, e.g. sim, mitdb:208, csv:FILE")
