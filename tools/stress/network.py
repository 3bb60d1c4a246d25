"""A network between monitor and subscriber that can be cut: two network namespaces, or a stopped forwarder."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Sequence

from stress.subjects import Programs, Subject, free_port

__all__ = ["ForwarderNetwork", "NamespaceNetwork", "open_network"]

MONITOR_ADDRESS, SUBSCRIBER_ADDRESS = "10.213.77.1", "10.213.77.2"  # within the namespaces only
PORT = 5556


class NamespaceNetwork:
    """Two network namespaces with a virtual cable; needs root and iproute2.

    Raises:
        OSError, subprocess.CalledProcessError: namespaces are not available.
    """

    name = "network namespaces"

    def __init__(self, programs: Programs) -> None:
        if shutil.which("ip") is None:
            raise OSError("no ip command (iproute2)")
        self._far, self._near = f"ecg-m{os.getpid()}", f"ecg-s{os.getpid()}"
        self.listen = f"tcp://127.0.0.1:{PORT}"
        self.connect = f"tcp://{MONITOR_ADDRESS}:{PORT}"
        self.at_monitor: Sequence[str] = ("ip", "netns", "exec", self._far)  # words before a command
        self.at_subscriber: Sequence[str] = ("ip", "netns", "exec", self._near)
        try:
            for namespace in (self._far, self._near):
                _ip("netns", "add", namespace)
                _ip("-n", namespace, "link", "set", "lo", "up")
            _ip("-n", self._far, "link", "add", "far", "type", "veth", "peer", "name", "near", "netns", self._near)
            for namespace, end, address in (
                (self._far, "far", MONITOR_ADDRESS),
                (self._near, "near", SUBSCRIBER_ADDRESS),
            ):
                _ip("-n", namespace, "address", "add", f"{address}/30", "dev", end)
                _ip("-n", namespace, "link", "set", end, "up")
        except (OSError, subprocess.CalledProcessError):
            self.close()
            raise
        programs.start_module("forward", MONITOR_ADDRESS, str(PORT), str(PORT), prefix=self.at_monitor)

    def cut(self) -> None:
        """Take the cable down."""
        _ip("-n", self._far, "link", "set", "far", "down")

    def mend(self) -> None:
        """Take the cable up again."""
        _ip("-n", self._far, "link", "set", "far", "up")

    def close(self) -> None:
        """Delete the namespaces; the programs in them have ended before."""
        for namespace in (self._far, self._near):
            subprocess.run(["ip", "netns", "delete", namespace], stderr=subprocess.DEVNULL, check=False)


class ForwarderNetwork:
    """A forwarder that is stopped; works without root."""

    name = "stopped forwarder"
    at_monitor: Sequence[str] = ()
    at_subscriber: Sequence[str] = ()

    def __init__(self, programs: Programs) -> None:
        port = free_port()
        self.listen = f"tcp://127.0.0.1:{free_port()}"
        self.connect = f"tcp://127.0.0.1:{port}"
        to_port = self.listen.rpartition(":")[2]
        self._forwarder: Subject = programs.start_module("forward", "127.0.0.1", str(port), to_port)

    def cut(self) -> None:
        """Stop the forwarder."""
        self._forwarder.process.send_signal(signal.SIGSTOP)

    def mend(self) -> None:
        """Continue the forwarder."""
        self._forwarder.process.send_signal(signal.SIGCONT)

    def close(self) -> None:
        """Nothing to delete."""


def open_network(programs: Programs) -> NamespaceNetwork | ForwarderNetwork:
    """Namespaces where they are available, else a forwarder."""
    try:
        return NamespaceNetwork(programs)
    except (OSError, subprocess.CalledProcessError):
        return ForwarderNetwork(programs)


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)
