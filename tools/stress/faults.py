"""Faults, one function each: start a monitor and a subscriber, break something, mend it, compare."""

from __future__ import annotations

import signal
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from common.programs import ToolError, wait_for

from stress.subjects import Monitor, Programs, Subscriber, free_port
from stress.verdict import Outcome, judge

IDLE_S = 40.0  # `monitor.bus.sockets`: the kernel closes a connection on which nothing is acknowledged for this time


@dataclass(frozen=True)
class Sizes:
    alarms: int = 60  # alarm messages before and after a fault
    deaths: int = 5
    stopped_s: float = 180.0  # of a subscriber
    messages: int = 200_000  # of the burst
    cut_s: float = 30.0  # of the network
    fuzz_s: float = 60.0


SHORT = Sizes(alarms=4, deaths=2, stopped_s=3.0, messages=24_000, cut_s=8.0, fuzz_s=4.0)


class _Scene:
    """A monitor, its subscriber (which connects to `connect`, default the monitor), and the time of the fault."""

    def __init__(self, programs: Programs, sizes: Sizes, listen: str = "", connect: str = "") -> None:
        self.programs, self.sizes = programs, sizes
        self.listen = listen or _free_endpoint()
        self.monitors = [Monitor(programs, self.listen)]
        self.subscriber = Subscriber(programs, connect or self.listen)
        self.subscriber.joined()
        self.monitor.wait_for_alarms(sizes.alarms)
        self._before_mb = self.monitor.program.memory.now_mb, self.subscriber.program.memory.now_mb
        self.began_s = time.time()

    @property
    def monitor(self) -> Monitor:
        """The monitor that runs now."""
        return self.monitors[-1]

    def restart_monitor(self) -> None:
        """Start a monitor on the same port, with the same journal."""
        self.monitors.append(Monitor(self.programs, self.listen, len(self.monitors) + 1))

    def finish(self, fault: str, detail: str) -> list[Outcome]:
        """The fault is over: wait for more alarms and the recovery, end all in order, compare."""
        ended_s = time.time()
        self.monitor.wait_for_alarms(self.sizes.alarms)
        newest = self.monitor.alarms()[-1]
        self.subscriber.wait_for_message(newest["alarm"]["bed"], newest["epoch"], newest["seq"])
        self.monitor.program.end()
        self.subscriber.wait_for_end()
        memory_mb = {
            "monitor": (self._before_mb[0], max(monitor.program.memory.most_mb for monitor in self.monitors)),
            "subscriber": (self._before_mb[1], self.subscriber.most_mb),
        }
        return [judge(fault, detail, self.programs.folder, self.subscriber, memory_mb, (self.began_s, ended_s))]


def subscriber_killed(programs: Programs, sizes: Sizes) -> list[Outcome]:
    """SIGKILL to the subscriber; after some alarms it continues from its position."""
    scene = _Scene(programs, sizes)
    for _ in range(sizes.deaths):
        scene.subscriber.program.kill()
        scene.monitor.wait_for_alarms(sizes.alarms)
        scene.subscriber.restart()
        scene.monitor.wait_for_alarms(sizes.alarms)
    return scene.finish("subscriber killed (-9) and started again", f"{sizes.deaths} times")


def monitor_killed(programs: Programs, sizes: Sizes) -> list[Outcome]:
    """SIGKILL to the monitor during an alarm, then a new run with the same journal."""
    scene = _Scene(programs, sizes)
    for death in range(sizes.deaths):
        scene.monitor.wait_for_onset()
        scene.monitor.program.kill()
        if death == sizes.deaths - 1:  # one more run, from which the subscriber receives nothing
            scene.subscriber.program.process.send_signal(signal.SIGSTOP)
            scene.restart_monitor()
            scene.monitor.wait_for_onset()
            scene.monitor.program.kill()
            scene.subscriber.program.process.send_signal(signal.SIGCONT)
        scene.restart_monitor()
        scene.monitor.wait_for_alarms(1)
    detail = f"{sizes.deaths + 1} times, once twice in a row"
    return scene.finish("monitor killed (-9) in the middle of an alarm, same journal", detail)


def subscriber_stopped(programs: Programs, sizes: Sizes) -> list[Outcome]:
    """SIGSTOP to the subscriber, SIGCONT later; after `IDLE_S` the kernel may close its connection."""
    scene = _Scene(programs, sizes)
    scene.subscriber.program.process.send_signal(signal.SIGSTOP)
    time.sleep(sizes.stopped_s)
    scene.monitor.wait_for_alarms(1)
    scene.subscriber.program.process.send_signal(signal.SIGCONT)
    dropped = " (longer than the monitor waits for a sign of life)" if sizes.stopped_s > IDLE_S else ""
    return scene.finish("subscriber stopped (SIGSTOP)", f"{sizes.stopped_s:g} s{dropped}")


def burst(programs: Programs, sizes: Sizes) -> list[Outcome]:
    """Messages at full speed, to a subscriber that reads and to one that is stopped meanwhile."""
    listen = _free_endpoint()
    publisher = programs.start_module("flood", listen, str(programs.folder / "journal.sqlite"), str(sizes.messages))
    subscribers = [Subscriber(programs, listen, name) for name in ("subscriber", "stopped")]
    reading, stopped = subscribers
    for subscriber in subscribers:
        subscriber.joined()
    epoch = reading.joined().epoch
    before_mb = publisher.memory.now_mb, reading.program.memory.now_mb
    began_s = time.time()
    stopped.program.process.send_signal(signal.SIGSTOP)
    publisher.send_line("go")
    wait_for(lambda: "done" in publisher.output() or not publisher.alive, "end of the burst")
    took = f"in {time.time() - began_s:.1f} s"
    stopped.program.process.send_signal(signal.SIGCONT)
    for subscriber in subscribers:
        subscriber.wait_for_message("p1", epoch, sizes.messages // 2)
    publisher.send_line("end")
    for subscriber in subscribers:
        subscriber.wait_for_end()
    publisher.wait()

    return [
        judge(
            f"burst of {sizes.messages:,} messages, {how}",
            took,
            programs.folder,
            subscriber,
            {
                "publisher": (before_mb[0], publisher.memory.most_mb),
                "subscriber": (before_mb[1], subscriber.most_mb),
            },
        )
        for subscriber, how in ((reading, "subscriber reads"), (stopped, "subscriber stopped meanwhile"))
    ]


def network_cut(programs: Programs, sizes: Sizes) -> list[Outcome]:
    """The forwarder between monitor and subscriber is stopped: all is lost, neither is informed."""
    listen, port = _free_endpoint(), str(free_port())
    forwarder = programs.start_module("forward", port, listen.rpartition(":")[2])
    scene = _Scene(programs, sizes, listen, f"tcp://127.0.0.1:{port}")
    forwarder.process.send_signal(signal.SIGSTOP)
    time.sleep(sizes.cut_s)
    scene.monitor.wait_for_alarms(1)
    state = scene.subscriber.state()
    forwarder.process.send_signal(signal.SIGCONT)
    if state != "lost":
        raise ToolError(f"the network was cut, and the state of the subscriber is {state!r}; it must be 'lost'")
    return scene.finish("network cut", f"{sizes.cut_s:g} s, stopped forwarder")


def fuzzed(programs: Programs, sizes: Sizes) -> list[Outcome]:
    """Random frames to the control socket, random bytes to all three."""
    scene = _Scene(programs, sizes)
    fuzz = programs.start_module("fuzz", scene.listen, "1")
    time.sleep(sizes.fuzz_s)
    sent = fuzz.end().strip()
    return scene.finish("control socket fuzzed", f"{sizes.fuzz_s:g} s, {sent}")


FAULTS: dict[str, Callable[[Programs, Sizes], list[Outcome]]] = {
    "subscriber-killed": subscriber_killed,
    "monitor-killed": monitor_killed,
    "subscriber-stopped": subscriber_stopped,
    "burst": burst,
    "network-cut": network_cut,
    "fuzzed": fuzzed,
}


def run_fault(name: str, sizes: Sizes) -> list[Outcome]:
    """Carry out one fault; one outcome for each subscriber. ToolError: monitor or subscriber did not recover."""
    with tempfile.TemporaryDirectory(prefix="ecg-fault-") as folder, Programs(Path(folder)) as programs:
        return FAULTS[name](programs, sizes)


def _free_endpoint() -> str:
    return f"tcp://127.0.0.1:{free_port()}"
