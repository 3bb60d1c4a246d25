"""Print the alarms of a running monitor, with nothing but pyzmq: python tools/examples/subscribe.py [tcp://127.0.0.1:5556]"""

import json
import sys

import zmq

alarms = zmq.Context().socket(zmq.SUB)
alarms.connect(sys.argv[1] if len(sys.argv) > 1 else "tcp://127.0.0.1:5556")
alarms.subscribe("v1/")  # one bed only: "v1/p1/alarm/", the trailing slash keeps p1 apart from p10
last: dict[str, tuple[str, int]] = {}
while True:
    topic, body = alarms.recv_multipart()
    if topic.endswith(b"/alarm/"):
        message = json.loads(body)
        alarm, place = message["alarm"], (message["epoch"], message["seq"])
        if last.get(alarm["alarm_id"]) != place:  # what newcomers are sent, all subscribers get again
            last[alarm["alarm_id"]] = place
            print(message["time"], *(alarm[key] for key in ("bed", "priority", "kind", "state", "text")), flush=True)
