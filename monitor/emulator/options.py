"""Options of `ecg-monitor emulate`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from monitor.emulator.encoder import NO_SCALE, Scale
from monitor.sources import Source, SourceOptions, open_source

__all__ = ["EmulateOptions"]


@dataclass(frozen=True, slots=True)
class EmulateOptions:
    """Options of the command.

    Many attributes: one for each option of the command line.

    Attributes:
        form: format of the device, one of FORMS or STRAPS.
        link: path of the pseudo-terminal; None = in a temporary folder.
        port: a real port instead of a pseudo-terminal; of a strap HOST:PORT to listen on.
        baud: speed of that port, bit/s; None = the usual speed of the format.
        seed: seed of the faults, and of the simulator.
        start_s, duration_s, channel, fs_hz: options of the source, see SourceOptions.
        speed: device time / real time.
        scale: scale of the device's ADC.
        as_json: print the counts at the end as one line of JSON.
    """

    source: str = "sim"
    form: str = "lines"
    faults: str = ""
    link: Path | None = None
    port: str | None = None
    baud: int | None = None
    seed: int = 0
    start_s: float = 0.0
    duration_s: float | None = None
    channel: str | None = None
    fs_hz: float | None = None
    speed: float = 1.0
    scale: Scale = NO_SCALE
    as_json: bool = False

    def open(self, fs_hz: float | None) -> Source:
        """Open the source; `fs_hz`: its sampling rate, Hz, where the source does not fix one.

        Raises:
            SourceError: it cannot be opened.
        """
        options = SourceOptions(
            fs_hz=fs_hz, channel=self.channel, start_s=self.start_s, duration_s=self.duration_s, seed=self.seed
        )
        return open_source(self.source, options)

    def settings(self, port: str) -> dict[str, object] | None:
        """What is played and where, for `report.counts_line`; None without `as_json`."""
        if not self.as_json:
            return None
        return {"port": port, "source": self.source, "format": self.form, "faults": self.faults, "seed": self.seed}
