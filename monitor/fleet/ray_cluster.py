"""The part of Ray that the fleet needs: machines, actors that are restarted, calls without waiting."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from dataclasses import dataclass
from typing import Any

from monitor.errors import ConfigError

__all__ = ["Actor", "ActorLost", "Node", "RayCluster"]

_CONNECT_S = 5.0
_OBJECT_STORE_BYTES = 80_000_000  # Ray's least: samples stay in their shard, and messages have their own sockets


class ActorLost(Exception):  # noqa: N818 - a state of the world, not a mistake
    """An actor does not answer: it was killed, is being restarted, or its machine left."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster: Ray's id of it, IP address, cores that it gives to the cluster."""

    name: str
    address: str
    cores: int


class Actor:
    """An object in a process of its own, on the machine `node`."""

    def __init__(self, ray: Any, handle: Any, node: Node) -> None:
        self._ray = ray
        self._handle = handle
        self._pending: Any = None  # call of `report` without an answer yet
        self.node = node

    def send(self, method: str, *arguments: Any) -> None:
        """Call a method without waiting; the effect shows in the next report."""
        with contextlib.suppress(Exception):  # `report` finds out that the actor is lost
            getattr(self._handle, method).remote(*arguments)

    def report(self) -> Any:
        """The newest `report()` of the object; None where no new one has arrived; or raise ActorLost."""
        if self._pending is None:
            self._request_report()
        if not self._ray.wait([self._pending], timeout=0)[0]:
            return None
        pending, self._pending = self._pending, None
        try:
            return self._ray.get(pending)
        except self._ray.exceptions.RayError as error:
            raise ActorLost(str(error).splitlines()[0]) from None
        finally:
            self._request_report()

    def call(self, method: str, *arguments: Any, timeout_s: float) -> Any:
        """Call a method and wait for the result, or raise ActorLost."""
        try:
            return self._ray.get(getattr(self._handle, method).remote(*arguments), timeout=timeout_s)
        except self._ray.exceptions.RayError as error:
            raise ActorLost(str(error).splitlines()[0]) from None

    def kill(self) -> None:
        """End the process for good."""
        with contextlib.suppress(Exception):
            self._ray.kill(self._handle)

    def _request_report(self) -> None:
        self._pending = self._handle.report.remote()


class RayCluster:
    """A connection to Ray.

    Args:
        address: of a running cluster, e.g. `auto` or `192.168.0.10:6379`; empty = start a cluster on this machine,
            which `close` ends.
        cores: of a cluster started here; 0 = all.

    Attributes:
        alone: the cluster was started here: no machine can join it.

    Raises:
        ConfigError: Ray is not installed, or no cluster answers.
    """

    def __init__(self, address: str = "", cores: int = 0) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray prints a warning
        try:
            import ray
            import ray.exceptions
        except ImportError:
            raise ConfigError("fleet needs Ray: python -m pip install 'ecg-monitor[cluster]'") from None
        logging.getLogger("ray").setLevel(logging.ERROR)  # after the import, which sets a level
        self._ray: Any = ray
        self.alone = not address
        _require_reachable(address)
        own: dict[str, Any] = {} if address else {
            "num_cpus": cores or None,
            "object_store_memory": _OBJECT_STORE_BYTES,
            "include_dashboard": False,
            "_node_ip_address": "127.0.0.1",
        }  # fmt: skip
        try:
            ray.init(
                address=address or "local", configure_logging=False, logging_level="ERROR", log_to_driver=False, **own
            )  # fmt: skip
        except (ConnectionError, ValueError, RuntimeError) as error:
            line = " ".join(str(error).split())[:200]
            raise ConfigError(f"--address {address}: {line}; start one with: ray start --head") from None

    def nodes(self) -> list[Node]:
        """Machines of the cluster now, sorted by name."""
        alive = [
            Node(node["NodeID"], node["NodeManagerAddress"], int(node["Resources"].get("CPU", 0)))
            for node in self._ray.nodes()
            if node["Alive"]
        ]
        return sorted(alive, key=lambda node: node.name)

    def here(self) -> Node:
        """The machine of this program."""
        name = self._ray.get_runtime_context().get_node_id()
        return next(node for node in self.nodes() if node.name == name)

    def actor(self, kind: type, node: Node, cores: float, *arguments: Any) -> Actor:
        """An object of `kind` on a machine; Ray restarts it there whenever it dies."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        options = {
            "num_cpus": cores,
            "max_restarts": -1,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node.name, soft=False),
        }
        return Actor(self._ray, self._ray.remote(kind).options(**options).remote(*arguments), node)

    def close(self) -> None:
        """Disconnect; a cluster that was started here ends."""
        self._ray.shutdown()


def _require_reachable(address: str) -> None:
    """Try `HOST:PORT` first: Ray itself tries for over a minute, and prints about it.

    Raises:
        ConfigError: no program listens there.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _CONNECT_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise ConfigError(f"--address {address}: no Ray cluster there ({error}); start one: ray start --head") from None
