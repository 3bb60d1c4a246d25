"""Push an ECG into a monitor with nothing but pyzmq: python push_samples.py [tcp://127.0.0.1:5600] [SECONDS]

Beside it: ecg-monitor --source zmq:tcp://127.0.0.1:5600
"""

import json
import math
import struct
import sys
import time

import zmq

FS_HZ, N = 250, 25  # ten messages a second
push = zmq.Context().socket(zmq.PUSH)
push.connect(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5600")
seconds = float(sys.argv[2]) if len(sys.argv) > 2 else math.inf
epoch, began, first = f"{time.time_ns():x}", time.monotonic(), 0
while first < seconds * FS_HZ:
    beat = [(first + i) / FS_HZ % 0.8 - 0.3 for i in range(N)]  # s around the R-peak, 75 beats a minute
    mv = [math.exp(-((t / 0.012) ** 2)) + 0.2 * math.exp(-(((t - 0.25) / 0.05) ** 2)) for t in beat]
    header = {"schema": "samples/1", "epoch": epoch, "fs_hz": FS_HZ, "first_sample": first, "n": N, "unit": "mV"}
    push.send_multipart([json.dumps(header).encode(), struct.pack(f"<{N}f", *mv)])
    first += N
    time.sleep(max(0.0, began + first / FS_HZ - time.monotonic()))
