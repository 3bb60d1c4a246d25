"""Threads that convert to a type for the first time at the same time."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import sys, threading
from pathlib import Path

{imports}

sys.setswitchinterval(1e-6)
barrier = threading.Barrier(8)
failed = []


def work():
    barrier.wait()
    try:
        {conversion}
    except Exception as error:
        failed.append(error)


threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(repr(failed) if failed else 0)
"""

FIRST = {  # imports, and the conversion of each thread; sys.argv[1] is a folder of keys
    "a configuration": ("from monitor.config import Config, merge", "merge(Config(), {'bus': {'waves_hz': 5.0}}, '')"),
    "an allow-list": ("from monitor.bus.allow_list import load_clients", "load_clients(Path(sys.argv[1]))"),
}


@pytest.mark.parametrize("first", FIRST)
def test_threads_that_convert_at_the_same_time_do_not_crash(first, tmp_path):
    """Like the shards of a worker. Without `register_types` most of these runs ended with a segmentation fault."""
    from monitor.bus.keys import add_client, make_server_keys

    make_server_keys(tmp_path)
    add_client(tmp_path, "hub", "operator")
    imports, conversion = FIRST[first]
    command = [sys.executable, "-c", PROGRAM.format(imports=imports, conversion=conversion), str(tmp_path)]
    for _ in range(3):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
