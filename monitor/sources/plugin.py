"""Sources of other packages: entry points of the group `ecg_monitor.sources`, see docs/sources.md.

A fault in such a package becomes one line that names the package, never a traceback.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

from monitor.errors import SourceError, first_line, plain_line
from monitor.sources.base import Chunk, EndOfStream, Notice, Source
from monitor.sources.checks import checked_chunk
from monitor.sources.options import MAX_MV, SourceOptions, blank_beyond
from monitor.sources.rescaled import RescaledSource
from monitor.sources.units import mv_per

__all__ = ["GROUP", "PluginSource", "open_plugin", "plugin_kinds"]

GROUP = "ecg_monitor.sources"

T = TypeVar("T")


def plugin_kinds() -> list[str]:
    """Return the kinds of sources that installed packages offer, sorted."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def open_plugin(kind: str, what: str, options: SourceOptions, name: str) -> Source | None:
    """Open a source of another package with its opener, `(what, options, name) -> Source`.

    Returns:
        None where no package offers `kind`.

    Raises:
        SourceError: two packages offer it, the import or the opener fails, or the result is no source.
    """
    points = list(entry_points(group=GROUP, name=kind))
    if not points:
        return None
    if len(points) > 1:
        owners = ", ".join(sorted(_owner(point) for point in points))
        raise SourceError(f"{name}: several packages offer the source {kind}: {owners}; uninstall all but one")
    origin = f"{name}: source {kind} of {_owner(points[0])}"
    opener: Callable[[str, SourceOptions, str], Source] = _guard(f"{origin} cannot be loaded", points[0].load)
    opened = _guard(f"{origin} cannot be opened", lambda: opener(what, options, name))
    source = PluginSource(opened, origin)
    if options.unit is None or hasattr(opened, "unit"):  # it reads the unit itself
        return source
    return RescaledSource(source, options.unit, mv_per(options.unit, options.mv_per_unit, name))


class PluginSource:
    """Checks that a source of another package keeps the Source protocol.

    Every exception but EndOfStream becomes a SourceError. An invalid chunk (samples that run back, two dimensions) is a
    SourceError too. A value that is infinite or beyond MAX_MV becomes NaN, counted in a Notice.

    Many attributes: seven are those of the Source protocol.

    Raises:
        SourceError: an attribute is missing or of the wrong type.
    """

    def __init__(self, source: Source, origin: str) -> None:
        self._source, self._origin = source, origin
        self._next = 0
        try:
            self.name, self.lead = plain_line(source.name), plain_line(source.lead)
            self.fs_hz, self.live = float(source.fs_hz), bool(source.live)
            rails, start_time, total = source.rails_mv, source.start_time, source.total_samples
            self.rails_mv: tuple[float, float] | None = None if rails is None else (float(rails[0]), float(rails[1]))
            self.start_time: str | None = None if start_time is None else str(start_time)
            self.total_samples: int | None = None if total is None else int(total)
            self._read, self._close = source.read, source.close
        except Exception as error:
            raise SourceError(f"{origin} is no source ({_line(error)})") from None
        if self.rails_mv is not None and not -MAX_MV <= self.rails_mv[0] < self.rails_mv[1] <= MAX_MV:
            raise SourceError(f"{origin} gives rails_mv {self.rails_mv}; give (low, high) in mV, or None")

    def read(self, max_samples: int) -> Chunk | None:
        """Return the checked chunk; see Source."""
        chunk = _guard(f"{self._origin} broke", lambda: self._read(max_samples))
        if chunk is None:
            return None
        chunk = checked_chunk(chunk, self._origin, due=self._next, most=max_samples, fs_hz=self.fs_hz)
        samples, notices = chunk.samples.copy(), chunk.notices  # its own: the package may use the array again
        if samples.size:
            self._next = chunk.first_sample + samples.size
        if n := blank_beyond(samples):
            text = f"{self.name}: {n} samples were infinite or beyond {MAX_MV:g} mV; are they in mV?"
            notices = (*notices, Notice("bad_input", text, n))
        return Chunk(chunk.first_sample, samples, chunk.arrival_s, notices, chunk.time_s)

    def close(self) -> None:
        """Close the source."""
        _guard(f"{self._origin} cannot be closed", self._close)


def _guard(what_failed: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except (SourceError, EndOfStream):
        raise
    except KeyboardInterrupt as error:
        if threading.current_thread() is threading.main_thread():  # Ctrl-C
            raise
        raise SourceError(f"{what_failed} ({_line(error)})") from None
    except BaseException as error:  # code of another package may raise anything, SystemExit included
        raise SourceError(f"{what_failed} ({_line(error)})") from None


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


def _line(error: BaseException) -> str:
    text, kind = first_line(error), type(error).__name__
    return kind if text == kind else f"{kind}: {text}"
