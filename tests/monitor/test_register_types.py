"""Threads that convert to a type for the first time at the same time."""

from __future__ import annotations

import subprocess
import sys

import pytest

AT_ONCE = """
import sys, threading
from pathlib import Path

{imports}

sys.setswitchinterval(1e-6)
together = threading.Barrier(8)
failed = []


def work():
    together.wait()
    try:
        {what}
    except Exception as error:
        failed.append(error)


threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
sys.exit(repr(failed) if failed else 0)
"""

FIRST = {  # imports, and what each thread does; sys.argv[1] is a folder of keys
    "a configuration": ("from monitor.config import Config, merge", "merge(Config(), {'bus': {'waves_hz': 5.0}}, '')"),
    "an allow-list": ("from monitor.bus.allow_list import load_clients", "load_clients(Path(sys.argv[1]))"),
}


@pytest.mark.parametrize("first", FIRST)
def test_threads_that_begin_at_once_do_not_crash_the_process(first, tmp_path):
    """As shards of a worker do. Without `register_types` most of these runs died of a segmentation fault."""
    from monitor.bus.keys import add_client, make_server_keys

    make_server_keys(tmp_path)
    add_client(tmp_path, "hub", "operator")
    imports, what = FIRST[first]
    command = [sys.executable, "-c", AT_ONCE.format(imports=imports, what=what), str(tmp_path)]
    for _ in range(3):
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, (done.returncode, done.stderr[-2000:])
