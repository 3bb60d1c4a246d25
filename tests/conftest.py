"""Common to all tests: the Hypothesis profile and the folder of real records."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Generator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.systems.posix_imports import imports_posix

# The same examples in every run: a failure is reproducible. No deadline: machines differ in speed.
settings.register_profile("ecg", derandomize=True, deadline=None, max_examples=40, print_blob=False)
settings.load_profile("ecg")

# In the background of a shell without job control SIGINT and SIGQUIT are ignored, under nohup SIGHUP; also in the
# programs that the tests start and end by these signals.
signal.signal(signal.SIGINT, signal.default_int_handler)
if sys.platform != "win32":
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
# GNU readline, once imported, tells the processes of pytest-xdist the size of a terminal; programs would believe it
# instead of their own.
for name in ("COLUMNS", "LINES"):
    os.environ.pop(name, None)
collect_ignore = ["systems/windows"]  # for other processes: its import changes this one


def pytest_ignore_collect(collection_path: Path) -> bool | None:
    """On Windows leave out modules that cannot be imported there."""
    is_module = sys.platform == "win32" and collection_path.suffix == ".py"
    return True if is_module and imports_posix(collection_path) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """On Windows skip the tests marked `posix`."""
    for item in items:
        if sys.platform == "win32" and item.get_closest_marker("posix"):
            item.add_marker(pytest.mark.skip(reason="needs pseudo-terminals, signals or file modes of POSIX"))


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """Folder of the real data sets, with mitdb/ in it; without it the test is skipped."""
    folder = Path(os.environ.get("ECG_MONITOR_DATA") or "nowhere")
    if not (folder / "mitdb").is_dir():
        pytest.skip(
            "no mitdb/ in ECG_MONITOR_DATA: `python -m train data` (from a checkout with the extra `train`) downloads "
            "it and prints its place; set ECG_MONITOR_DATA to the folder around it"
        )
    return folder


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With ECG_MONITOR_NO_SKIP set, a skipped test fails: continuous integration has everything that tests need.

    Tests marked `may_skip` are excepted: they need programs that are not Python packages.
    """
    report = yield
    must = os.environ.get("ECG_MONITOR_NO_SKIP") and item.get_closest_marker("may_skip") is None
    if report.skipped and must and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"skipped, but ECG_MONITOR_NO_SKIP is set: {report.longrepr}"
    return report
