"""A network between a monitor and its subscriber that can be cut: two namespaces, or a forwarder that is stopped."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence

from faulting.programs import Program, Programs, free_port

__all__ = ["ForwarderNetwork", "NamespaceNetwork", "open_network"]

MONITOR_ADDRESS, SUBSCRIBER_ADDRESS = "10.213.77.1", "10.213.77.2"  # seen by nobody else
PORT = 5556


class NamespaceNetwork:
    """Two network namespaces and a cable between them: needs root and iproute2.

    Raises:
        OSError, subprocess.CalledProcessError: namespaces cannot be had here.
    """

    what = "network namespaces"

    def __init__(self, programs: Programs) -> None:
        if shutil.which("ip") is None:
            raise OSError("no ip command (iproute2)")
        self.far, self.near = f"ecg-m{os.getpid()}", f"ecg-s{os.getpid()}"
        self.listen = f"tcp://127.0.0.1:{PORT}"
        self.connect = f"tcp://{MONITOR_ADDRESS}:{PORT}"
        try:
            for name in (self.far, self.near):
                _ip("netns", "add", name)
                _ip("-n", name, "link", "set", "lo", "up")
            _ip("-n", self.far, "link", "add", "far", "type", "veth", "peer", "name", "near", "netns", self.near)
            for name, end, address in (
                (self.far, "far", MONITOR_ADDRESS), (self.near, "near", SUBSCRIBER_ADDRESS),
            ):  # fmt: skip
                _ip("-n", name, "address", "add", f"{address}/30", "dev", end)
                _ip("-n", name, "link", "set", end, "up")
        except (OSError, subprocess.CalledProcessError):
            self.close()
            raise
        self._forwarder = programs.module("forward", MONITOR_ADDRESS, str(PORT), str(PORT), prefix=self.at_monitor)

    @property
    def at_monitor(self) -> Sequence[str]:
        """Words before a command that is to run where the monitor is."""
        return ("ip", "netns", "exec", self.far)

    @property
    def at_subscriber(self) -> Sequence[str]:
        """Words before a command that is to run where the subscriber is."""
        return ("ip", "netns", "exec", self.near)

    def cut(self) -> None:
        """Pull the plug."""
        _ip("-n", self.far, "link", "set", "far", "down")

    def mend(self) -> None:
        """Put it in again."""
        _ip("-n", self.far, "link", "set", "far", "up")

    def close(self) -> None:
        """Leave nothing behind; its programs end before."""
        for name in (self.far, self.near):
            subprocess.run(["ip", "netns", "delete", name], stderr=subprocess.DEVNULL, check=False)


class ForwarderNetwork:
    """A forwarder that is stopped: what can be had without root."""

    what = "stopped forwarder"
    at_monitor: Sequence[str] = ()
    at_subscriber: Sequence[str] = ()

    def __init__(self, programs: Programs) -> None:
        port = free_port()
        self.listen = f"tcp://127.0.0.1:{free_port()}"
        self.connect = f"tcp://127.0.0.1:{port}"
        self._forwarder: Program = programs.module("forward", "127.0.0.1", str(port), self.listen.rpartition(":")[2])

    def cut(self) -> None:
        """Everything is lost from now on."""
        self._forwarder.signal(signal.SIGSTOP)

    def mend(self) -> None:
        """It goes through again."""
        self._forwarder.signal(signal.SIGCONT)

    def close(self) -> None:
        """Nothing to leave behind."""


def open_network(programs: Programs) -> NamespaceNetwork | ForwarderNetwork:
    """The real thing where it can be had."""
    try:
        return NamespaceNetwork(programs)
    except (OSError, subprocess.CalledProcessError):
        return ForwarderNetwork(programs)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
