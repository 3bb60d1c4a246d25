"""Who may import whom: the core is pure, training and monitoring do not know each other, live use loads no torch."""

from __future__ import annotations

import ast
import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("detector", "train", "monitor")
IMPURE = frozenset({"zmq", "serial", "threading", "multiprocessing", "asyncio", "socket", "time"})
PURE_MONITOR = (
    "archive/tally.py",
    "archive/worst.py",
    "evidence.py",
    "freshness.py",
    "messages.py",
    "ordering.py",
    "question.py",
    "recovery.py",
    "skipped.py",
)
DRIVERS = frozenset({"live.py", "__main__.py"})  # of the dashboard: what may wait, poll and look at the clock


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).with_suffix("").as_posix()


def imports_of(path: Path) -> set[str]:
    """Full names of everything a module imports, at its top or later, type checking included."""
    names: set[str] = set()
    package = [*path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            start = ".".join([*base, *([node.module] if node.module else [])])
            names |= {start} | {f"{start}.{alias.name}" for alias in node.names}
    return names


def roots_of(path: Path) -> set[str]:
    return {name.partition(".")[0] for name in imports_of(path)}


def parametrize(paths: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("path", paths, ids=name_of)


PURE = (
    modules("detector")
    + [ROOT / "monitor" / name for name in PURE_MONITOR]
    + modules("monitor/alarms")
    + modules("monitor/exporters")
    + [path for path in modules("monitor/dashboard") if path.name not in DRIVERS]
)


def test_the_modules_are_there() -> None:
    for package in PACKAGES:
        assert len(modules(package)) > 5
    assert all(path.is_file() for path in PURE)


@parametrize(modules("detector"))
def test_the_core_knows_neither_training_nor_monitoring(path: Path) -> None:
    assert not roots_of(path) & {"train", "monitor", "torch", "rich", "typer", "wfdb"}


@parametrize(modules("train"))
def test_training_does_not_know_monitoring(path: Path) -> None:
    assert "monitor" not in roots_of(path)


@parametrize(modules("monitor"))
def test_monitoring_knows_neither_training_nor_torch(path: Path) -> None:
    assert not roots_of(path) & {"train", "torch"}


@parametrize(PURE)
def test_pure_modules_neither_wait_nor_talk_nor_ask_the_time(path: Path) -> None:
    assert not roots_of(path) & IMPURE


@parametrize([path for package in PACKAGES for path in modules(package)])
def test_the_product_imports_no_test(path: Path) -> None:
    assert not roots_of(path) & {"tests", "tools", "pytest", "hypothesis"}


def test_relative_and_late_imports_are_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check itself."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    module = tmp_path / "monitor" / "sources" / "one.py"
    module.parent.mkdir(parents=True)
    module.write_text("from ..bus import Bus\nfrom . import base\ndef f():\n    import torch.nn\n", "utf-8")
    assert imports_of(module) == {
        "monitor.bus.server",
        "monitor.bus.server.Bus",
        "monitor.sources",
        "monitor.sources.base",
        "torch.nn",
    }


def loaded_by(code: str) -> set[str]:
    """Top-level packages that a fresh interpreter holds after running the code."""
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*{{name.partition('.')[0] for name in sys.modules}})"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=ROOT,
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "module", ["monitor.__main__", "monitor.engine.pipeline", "monitor.dashboard", "detector.scorer"]
)
def test_live_use_loads_none_of_the_heavy_packages(module: str) -> None:
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not there yet")
    heavy = {"torch", "neurokit2", "pandas", "sklearn", "matplotlib", "train"}
    assert not loaded_by(f"import {module}") & heavy


def test_finding_and_scoring_beats_loads_no_torch() -> None:
    code = (
        "import numpy as np; from detector import Detector; from detector import scorer; "
        "Detector(250).push(np.tile(np.hanning(250), 20))"
    )
    assert not loaded_by(code) & {"torch", "train", "monitor", "neurokit2", "pandas", "zmq", "rich"}
