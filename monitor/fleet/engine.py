"""What the fleet wants of Ray, and nothing else: machines, actors that are kept alive, calls nobody waits for."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
from dataclasses import dataclass
from typing import Any

from monitor.errors import ConfigError

__all__ = ["Actor", "Engine", "Lost", "Node"]

_REACH_S = 5.0
_OBJECT_STORE_BYTES = 80_000_000  # nothing large goes through Ray: samples stay in their shard, messages have sockets


class Lost(Exception):  # noqa: N818 - a state of the world, not a mistake
    """An actor does not answer: it was killed, is being started anew, or its node is gone."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster.

    Attributes:
        name: Ray's id of it.
        address: IP address.
        cores: it gives to the cluster.
    """

    name: str
    address: str
    cores: int


class Actor:
    """An object in a process of its own.

    Attributes:
        node: it lives on.
    """

    def __init__(self, ray: Any, handle: Any, node: Node) -> None:
        self._ray = ray
        self._handle = handle
        self._asked: Any = None
        self.node = node

    def tell(self, method: str, *arguments: Any) -> None:
        """Have it do something; whether it did shows in its next report."""
        with contextlib.suppress(Exception):  # that it is lost is found out by `report`
            getattr(self._handle, method).remote(*arguments)

    def report(self) -> Any:
        """Its newest `report()`; None where there is no new one yet.

        Raises:
            Lost: it does not answer.
        """
        if self._asked is None:
            self._ask()
        ready, _ = self._ray.wait([self._asked], timeout=0)
        if not ready:
            return None
        asked, self._asked = self._asked, None
        try:
            return self._ray.get(asked)
        except self._ray.exceptions.RayError as error:
            raise Lost(str(error).splitlines()[0]) from None
        finally:
            self._ask()

    def call(self, method: str, *arguments: Any, timeout_s: float) -> Any:
        """Have it do something and wait for that.

        Raises:
            Lost: it does not answer in time.
        """
        try:
            return self._ray.get(getattr(self._handle, method).remote(*arguments), timeout=timeout_s)
        except self._ray.exceptions.RayError as error:
            raise Lost(str(error).splitlines()[0]) from None

    def kill(self) -> None:
        """End it for good."""
        with contextlib.suppress(Exception):
            self._ray.kill(self._handle)

    def _ask(self) -> None:
        self._asked = self._handle.report.remote()


class Engine:
    """A connection to Ray.

    Args:
        address: of a cluster that runs, e.g. `auto` or `192.168.0.10:6379`; empty = one of our own on this machine,
            which ends with us.
        cores: of our own; 0 = as many as there are.

    Attributes:
        alone: the cluster is our own: no machine can join it.

    Raises:
        ConfigError: Ray is not installed, or there is no such cluster.
    """

    def __init__(self, address: str = "", cores: int = 0) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # else Ray warns in our user's face
        try:
            import ray
            import ray.exceptions
        except ImportError:
            raise ConfigError("fleet needs Ray: python -m pip install 'ecg-monitor[cluster]'") from None
        logging.getLogger("ray").setLevel(logging.ERROR)  # after the import, which sets it, too
        self._ray: Any = ray
        self.alone = not address
        _reach(address)
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
        """Machines that are there now, in the order of their names."""
        return sorted(
            (
                Node(node["NodeID"], node["NodeManagerAddress"], int(node["Resources"].get("CPU", 0)))
                for node in self._ray.nodes()
                if node["Alive"]
            ),
            key=lambda node: node.name,
        )

    def here(self) -> Node:
        """The machine that this program runs on."""
        name = self._ray.get_runtime_context().get_node_id()
        return next(node for node in self.nodes() if node.name == name)

    def actor(self, kind: type, node: Node, cores: float, *arguments: Any) -> Actor:
        """An object of `kind` on a machine, started anew there whenever it dies."""
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        options = {
            "num_cpus": cores,
            "max_restarts": -1,
            "scheduling_strategy": NodeAffinitySchedulingStrategy(node.name, soft=False),
        }
        return Actor(self._ray, self._ray.remote(kind).options(**options).remote(*arguments), node)

    def close(self) -> None:
        """Let go; our own cluster ends."""
        self._ray.shutdown()


def _reach(address: str) -> None:
    """Ray itself tries for over a minute, and writes about it.

    Raises:
        ConfigError: nobody listens at `HOST:PORT`.
    """
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon:
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _REACH_S).close()
    except (OSError, ValueError, OverflowError) as error:
        raise ConfigError(f"--address {address}: no Ray cluster there ({error}); start one: ray start --head") from None
