"""Sources of other packages: entry points of the group `ecg_monitor.sources`, see docs/sources.md.

A fault in such a package becomes one line that names the package, never a traceback.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

import numpy as np

from monitor.errors import SourceError
from monitor.sources.base import Chunk, EndOfStream, Notice, Source
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
            self.name, self.lead = str(source.name), str(source.lead)
            self.fs_hz, self.live = float(source.fs_hz), bool(source.live)
            rails, start_time, total = source.rails_mv, source.start_time, source.total_samples
            self.rails_mv: tuple[float, float] | None = None if rails is None else (float(rails[0]), float(rails[1]))
            self.start_time: str | None = None if start_time is None else str(start_time)
            self.total_samples: int | None = None if total is None else int(total)
            self._read, self._close = source.read, source.close
        except Exception as error:
            raise SourceError(f"{origin} is no source ({_line(error)})") from None

    def read(self, max_samples: int) -> Chunk | None:
        """Return the checked chunk; see Source."""
        chunk = _guard(f"{self._origin} broke", lambda: self._read(max_samples))
        if chunk is None:
            return None
        try:
            first = int(chunk.first_sample)
            samples = np.array(chunk.samples, dtype=np.float64)
            notices, arrival_s, time_s = tuple(chunk.notices), chunk.arrival_s, chunk.time_s
        except Exception as error:
            raise SourceError(f"{self._origin} gave no chunk ({_line(error)})") from None
        if samples.ndim != 1 or samples.size > max_samples:
            raise SourceError(
                f"{self._origin} gave samples of shape {samples.shape}; at most ({max_samples},) is allowed"
            )
        if samples.size:
            if first < self._next:
                raise SourceError(f"{self._origin} gave first_sample {first}, at least {self._next} was due")
            self._next = first + samples.size
        if n := blank_beyond(samples):
            text = f"{self.name}: {n} samples were infinite or beyond {MAX_MV:g} mV; are they in mV?"
            notices = (*notices, Notice("bad_input", text, n))
        return Chunk(first, samples, arrival_s, notices, time_s)

    def close(self) -> None:
        """Close the source."""
        _guard(f"{self._origin} cannot be closed", self._close)


def _guard(what_failed: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except (SourceError, EndOfStream):
        raise
    except Exception as error:  # code of another package may raise anything
        raise SourceError(f"{what_failed} ({_line(error)})") from None


def _owner(point: EntryPoint) -> str:
    return point.dist.name if point.dist is not None else point.value


def _line(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
