"""LSL streams in a process of their own, for the tests of the LSL source."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from monitor.sources import Source, SourceOptions, open_source

FS_HZ = 250.0


SERVER = """
import json, sys, pylsl
pylsl.set_config_content("[log]\\nlevel = -3\\n")
outlets = {}
for line in sys.stdin:
    what, number, given = json.loads(line)
    done = True
    if what == "open":
        labels, units = given.pop("labels"), given.pop("units")
        info = pylsl.StreamInfo(**given)
        if labels:
            info.set_channel_labels(labels)
        if units:
            info.set_channel_units(units)
        outlets[number] = pylsl.StreamOutlet(info)
    elif what == "push":
        for sample, stamp in given:
            outlets[number].push_sample(sample, stamp)
    else:
        done = outlets[number].wait_for_consumers(20.0)
    print("done", done, flush=True)
"""


class Server:
    """A process with streams, which are lost when it is killed.

    Not in the test process: closing an outlet that has a listener may crash its process.
    """

    def __init__(self) -> None:
        self.streams = 0
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, what: str, number: int, given: Any = None) -> bool:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps([what, number, given]) + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:  # pylsl prints to it too
            if line.startswith("done "):
                return line == "done True\n"
        raise AssertionError("the sender died")

    def kill(self) -> None:
        with self.process:
            self.process.kill()


class Publisher:
    """A stream of two channels, II in uV and V5 in mV; sample i has the value i."""

    shared: Server

    def __init__(self, name: str, *, server: Server | None = None, **changes: Any) -> None:
        made = {"type": "ECG", "channel_count": 2, "nominal_srate": FS_HZ, "channel_format": "float32"}
        made |= {"labels": ["II", "V5"], "units": ["microvolts", "mV"], "name": name, **changes}
        self._server = server or self.shared
        self._server.streams += 1
        self._number = self._server.streams
        self._server.ask("open", self._number, made)

    def push(self, first: int, n: int, at_s: float) -> None:
        """Send samples `first` to `first + n`; the stamp of the first is `at_s`."""
        self.push_stamped([float(first + i) for i in range(n)], [at_s + i / FS_HZ for i in range(n)])

    def push_stamped(self, values: list[float], stamps: list[float]) -> None:
        self.push_rows([[v] * 2 for v in values], stamps)

    def push_rows(self, rows: list[list[float]], stamps: list[float]) -> None:
        """Send samples of all channels."""
        self._server.ask("push", self._number, list(zip(rows, stamps, strict=True)))

    def has_listener(self) -> bool:
        return self._server.ask("wait", self._number)

    def watched(self, name: str, **options: Any) -> Source:
        """Open a source of the stream; it receives all samples pushed from now on."""
        source = open_source(f"lsl:{name}", SourceOptions(**options))
        assert self.has_listener()
        return source
