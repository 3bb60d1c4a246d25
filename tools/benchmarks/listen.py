"""A subscriber with nothing but pyzmq: notes when each message came, and prints all of it at the end.

python tools/benchmarks/listen.py tcp://127.0.0.1:5556 60
"""

from __future__ import annotations

import json
import sys

from benchmarks.heard import heard


def main(endpoint: str, seconds: float) -> None:
    """Listen for so many seconds, or until the monitor says goodbye."""
    received: list[tuple[float, bytes]] = []
    for at_s, _, body in heard(endpoint, seconds):
        received.append((at_s, body))
        if b'"goodbye"' in body:
            break
    for received_s, body in received:
        print(json.dumps([received_s, json.loads(body)]))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
