"""The air between an emulated strap and `ble:@HOST:PORT`: a TCP server that carries Bluetooth; see `ble.link`."""

from __future__ import annotations

import select
import socket
from collections.abc import Callable
from typing import Final

from monitor.emulator.device import FaultReport
from monitor.emulator.strap import OutOfReach, Strap
from monitor.emulator.strap_models import Refused, Sent
from monitor.errors import SourceError, plain_line
from monitor.sources.ble.link import Lines, Message, line_of

__all__ = ["Air"]

LINGER_S: Final = 0.5  # pause after the last notification, until it was read
_MOST_S: Final = 60.0  # longest time of the strap in one step: Ctrl-C still works after a suspend
_READ_BYTES: Final = 65_536
_PEERS: Final = 8
_UNREAD_BYTES: Final = 1 << 20  # a peer that does not read this much is disconnected


class _Peer:
    """A TCP connection of a program that scans or is connected."""

    def __init__(self, link: socket.socket) -> None:
        self.link = link
        self.lines = Lines()
        self.out = bytearray()
        self.scans = False
        self.followed: set[str] = set()


class Air:
    """Lets one program at a time connect to the strap, and starts the strap's time with its first start.

    Many attributes: three are counts for the report at the end.

    Args:
        at: host and port to listen on; port 0 = any free one.
        clock: monotonic, s.
        report: called with each begin and end of a fault.

    Attributes:
        at: host and port.
        sent, received: notifications sent, and confirmed by the connected program.
        unsubscribed: notifications of a characteristic that the program did not ask for.
        ended: the source has ended, and what was sent is read or lost.

    Raises:
        SourceError: the address cannot be used.
    """

    def __init__(
        self,
        strap: Strap,
        at: tuple[str, int],
        *,
        clock: Callable[[], float],
        report: Callable[[FaultReport], None] = lambda _: None,
    ) -> None:
        self._strap, self._clock, self._report = strap, clock, report
        try:
            self._listener = socket.create_server(at)
        except OSError as error:
            raise SourceError(
                f"--port {at[0]}:{at[1]}: {plain_line(error.strerror or error)}; give another port, or 0 for a free one"
            ) from None
        self._listener.setblocking(False)
        self.at: tuple[str, int] = self._listener.getsockname()[:2]
        self.sent = self.received = self.unsubscribed = 0
        self.ended = False
        self._unconfirmed = 0
        self._peers: list[_Peer] = []
        self._connected: _Peer | None = None
        self._began_s: float | None = None
        self._done_s = 0.0
        self._ended_s: float | None = None

    @property
    def unconfirmed(self) -> int:
        """Notifications on their way to the connected program; 0 without one."""
        return self._unconfirmed if self._connected is not None else 0

    @property
    def streaming(self) -> bool:
        """Whether a connected program has started the ECG and asked for its notifications."""
        model = self._strap.model
        return self._connected is not None and model.running and model.data in self._connected.followed

    def step(self) -> None:
        """Do everything that is due; never waits."""
        now_s = self._clock()
        self._accept()
        for peer in list(self._peers):
            self._read(peer)
        if self._began_s is None and self._strap.model.running:
            self._began_s = now_s
        if self._began_s is not None and not self._strap.ended:
            self._done_s = min(now_s - self._began_s, self._done_s + _MOST_S)
            for action in self._strap.advance(self._done_s):
                match action:
                    case (str(uuid), bytes(value)):
                        self._notify(uuid, value)
                    case OutOfReach():
                        self._drop(self._connected)
                    case FaultReport():
                        self._report(action)
        model = self._strap.model
        for peer in list(self._peers):
            if peer.scans and self._strap.in_reach and self._connected is None and not peer.out:
                self._put(peer, Message("seen", name=model.name, address=model.address))
            self._flush(peer)
        if self._strap.ended:
            self._ended_s = now_s if self._ended_s is None else self._ended_s
            self.ended = now_s - self._ended_s >= LINGER_S

    def wait(self, timeout_s: float) -> None:
        """Wait for a connection or a message, at most `timeout_s`."""
        select.select([self._listener, *(peer.link for peer in self._peers)], [], [], timeout_s)

    def close(self) -> None:
        """Release everything; may be called twice."""
        for peer in list(self._peers):
            self._drop(peer)
        self._listener.close()

    # -- connections -------------------------------------------------------------------------------------------

    def _accept(self) -> None:
        while True:
            try:
                link, _ = self._listener.accept()
            except OSError:  # none is waiting, or it was closed already
                return
            if len(self._peers) >= _PEERS:
                link.close()
                continue
            link.setblocking(False)
            link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._peers.append(_Peer(link))

    def _drop(self, peer: _Peer | None) -> None:
        if peer is None:
            return
        peer.link.close()
        if peer in self._peers:
            self._peers.remove(peer)
        if peer is self._connected:
            self._connected = None
            self._strap.model.running = False

    def _read(self, peer: _Peer) -> None:
        try:
            while data := peer.link.recv(_READ_BYTES):
                for message in peer.lines.feed(data):
                    self._do(peer, message)
                    if peer not in self._peers:
                        return
        except BlockingIOError:
            return
        except (OSError, ValueError):  # broken, or no program of ours
            pass
        self._drop(peer)

    def _flush(self, peer: _Peer) -> None:
        try:
            while peer.out:
                del peer.out[: peer.link.send(peer.out)]
        except BlockingIOError:
            if len(peer.out) > _UNREAD_BYTES:
                self._drop(peer)
        except OSError:
            self._drop(peer)

    # -- messages ----------------------------------------------------------------------------------------------

    def _put(self, peer: _Peer, message: Message) -> None:
        peer.out += line_of(message)

    def _notify(self, uuid: str, value: bytes) -> None:
        peer = self._connected
        if peer is None or uuid not in peer.followed:
            self.unsubscribed += 1
            return
        self.sent += 1
        self._unconfirmed += 1
        self._put(peer, Message("value", uuid=uuid, value=value))

    def _do(self, peer: _Peer, message: Message) -> None:
        model = self._strap.model
        if message.kind == "scan":
            peer.scans = True
        elif message.kind == "connect":
            if self._connected is not None or not self._strap.in_reach:
                self._drop(peer)
                return
            peer.scans, self._connected = False, peer
            self._unconfirmed = 0
            self._put(peer, Message("services", services=model.services))
        elif peer is not self._connected:
            self._drop(peer)
        elif message.kind == "got":
            self.received += 1
            self._unconfirmed -= 1
        else:
            try:
                value, sent = self._answer(peer, message)
                done = Message("done", id=message.id, value=value)
            except Refused as refused:
                done, sent = Message("done", id=message.id, error=refused.code), []
            self._put(peer, done)
            for uuid, value in sent:
                self._notify(uuid, value)

    def _answer(self, peer: _Peer, message: Message) -> tuple[bytes, list[Sent]]:
        """Carry out a request; return the value that was read, and the notifications that follow.

        Raises:
            Refused: by the strap.
        """
        model, uuid = self._strap.model, message.uuid
        if message.kind == "read":
            return model.read(uuid), []
        if message.kind == "write":
            return b"", model.write(uuid, message.value)
        if message.kind == "follow":
            model.follow(uuid, True)
            peer.followed.add(uuid)
        elif message.kind == "unfollow":
            model.follow(uuid, False)
            peer.followed.discard(uuid)
        return b"", []
