"""Sources of other packages: the example of tools/, and what such a package may do wrong."""

from __future__ import annotations

import importlib
import os
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from monitor.errors import SourceError
from monitor.sources import Source, SourceOptions, open_source
from monitor.sources.plugin import GROUP, plugin_kinds
from tests.monitor.commands.helpers import FREE_BUS, ecg_monitor
from tests.monitor.sources.helpers import read_chunks

EXAMPLE = Path(__file__).parents[3] / "tools" / "examples" / "example_source"


def install(folder: Path, name: str, points: dict[str, str]) -> None:
    """What pip leaves of a package besides its modules."""
    info = folder / f"{name.replace('-', '_')}-0.1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 0.1\n")
    lines = "".join(f"{kind} = {target}\n" for kind, target in points.items())
    (info / "entry_points.txt").write_text(f"[{GROUP}]\n{lines}")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of packages, with the example in it as its own pyproject.toml has it."""
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text())["project"]
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder, project["name"], project["entry-points"][GROUP])
    for path in (EXAMPLE, folder):
        monkeypatch.syspath_prepend(str(path))
    before = set(sys.modules)
    importlib.invalidate_caches()
    yield folder
    for name in set(sys.modules) - before:
        if name.startswith(("ecg_example", "other")):
            del sys.modules[name]


class Clock:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def test_the_example_is_found_and_gives_what_it_promises(site: Path) -> None:
    clock = Clock()
    source = open_source("example:60,lossy,loose", SourceOptions(clock=clock, duration_s=12))
    assert (source.name, source.lead, source.fs_hz, source.live) == ("example:60,lossy,loose", "II", 250.0, True)
    assert source.rails_mv == (-5.0, 5.0)
    assert source.read(1000) is None
    clock.now_s += 20
    chunks = read_chunks(source)
    samples = {c.first_sample + i: v for c in chunks for i, v in enumerate(c.samples)}
    assert sorted(set(range(3000)) - set(samples)) == [*range(975, 1000), *range(1975, 2000), *range(2975, 3000)]
    assert sum(len(c.notices) for c in chunks) == 3
    assert {i for i, v in samples.items() if np.isnan(v)} == set(range(2000, 2250))
    source.close()  # the second time


def test_the_command_runs_the_example(site: Path) -> None:
    paths = os.pathsep.join([str(site), str(EXAMPLE)])
    arguments = ("--no-dashboard", *FREE_BUS, "--duration", "3")
    done = ecg_monitor("--source", "example:80", *arguments, PYTHONPATH=paths)
    assert done.returncode == 0, done.stderr
    assert "p1: example:80, lead II, 250 Hz" in done.stdout
    assert "0 gaps, 0 samples lost" in done.stdout
    done = ecg_monitor("--source", "example:eighty", *arguments, PYTHONPATH=paths)
    assert done.returncode == 2
    assert done.stderr == "ecg-monitor: example:eighty: 'eighty' is no heart rate; write e.g. example:75\n"


def test_an_unknown_source_names_those_of_packages_too(site: Path) -> None:
    assert plugin_kinds() == ["example"]
    with pytest.raises(SourceError, match=r"unknown source 'exmple:75'; choose one of sim, .*, example, e\.g\."):
        open_source("exmple:75")


def test_a_package_cannot_take_the_name_of_a_source_of_ours(site: Path) -> None:
    install(site, "other", {"sim": "ecg_example_source:open_example"})
    assert open_source("sim").name == "sim"
    assert type(open_source("sim")).__name__ == "Simulator"


def test_two_packages_of_one_kind_are_named(site: Path) -> None:
    install(site, "other", {"example": "ecg_example_source:open_example"})
    with pytest.raises(SourceError, match="ecg-example-source, other; uninstall all but one"):
        open_source("example:75")


GOOD = """
    import numpy as np
    from monitor.sources import Chunk, EndOfStream

    class Other:
        name, lead, fs_hz, live, rails_mv, start_time, total_samples = "other", "I", 250, False, None, None, None
        def read(self, max_samples):
            return Chunk(0, np.zeros(1))
        def close(self):
            pass

    def open_other(what, options, name):
        return Other()
"""


def open_other(site: Path, code: str, target: str = "other:open_other") -> Source:
    install(site, "other-package", {"other": target})
    (site / "other.py").write_text(textwrap.dedent(code))
    importlib.invalidate_caches()
    return open_source("other:x")


@pytest.mark.parametrize(
    ("code", "target", "said"),
    [
        ("import no_such_module", "other:open_other", "cannot be loaded (ModuleNotFoundError: No module named"),
        ("1 +", "other:open_other", "cannot be loaded (SyntaxError"),
        (GOOD, "other:open_it", "cannot be loaded (AttributeError"),
        (GOOD, "other", "cannot be opened (TypeError"),
        ("def open_other(what): pass", "other:open_other", "cannot be opened (TypeError"),
        ("def open_other(*a): raise RuntimeError('a\\nb')", "other:open_other", "cannot be opened (RuntimeError: a)"),
        ("def open_other(*a): return 3", "other:open_other", "is no source (AttributeError"),
        (GOOD.replace("250", "'fast'"), "other:open_other", "is no source (ValueError"),
        (GOOD.replace("250", "20"), "other:open_other", "sampling rate 20 Hz"),
        (GOOD.replace("def close", "def finish"), "other:open_other", "is no source (AttributeError"),
    ],
)
def test_a_package_that_cannot_be_used_is_one_line(site: Path, code: str, target: str, said: str) -> None:
    with pytest.raises(SourceError) as refused:
        open_other(site, code, target)
    assert str(refused.value).startswith("other:x: ")
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("gives", "said"),
    [
        ("raise OSError('unplugged')", "broke (OSError: unplugged)"),
        ("return 3", "gave no chunk (AttributeError"),
        ("return Chunk(0, 'abc')", "gave no chunk (ValueError"),
        ("return Chunk(0, np.zeros((2, 2)))", "shape (2, 2)"),
        ("return Chunk(0, np.zeros(max_samples + 1))", "shape (11,); at most (10,)"),
        ("return Chunk(-1, np.zeros(3))", "gave first_sample -1, at least 0 was due"),
        ("return Chunk(None, np.zeros(3))", "gave no chunk (TypeError"),
    ],
)
def test_what_it_does_wrong_later_is_one_line_too(site: Path, gives: str, said: str) -> None:
    source = open_other(site, GOOD.replace("return Chunk(0, np.zeros(1))", gives))
    with pytest.raises(SourceError) as refused:
        source.read(10)
    assert str(refused.value).startswith("other:x: source other of other-package ")
    assert said in str(refused.value)


def test_samples_that_come_twice_are_refused_and_wrong_ones_are_none(site: Path) -> None:
    source = open_other(site, GOOD.replace("np.zeros(1)", "[0.5, np.nan, np.inf, 5000]"))
    chunk = source.read(10)
    assert chunk is not None
    np.testing.assert_array_equal(chunk.samples, [0.5, np.nan, np.nan, np.nan])
    assert [notice.count for notice in chunk.notices] == [2]
    with pytest.raises(SourceError, match="gave first_sample 0, at least 4 was due"):
        source.read(10)


def test_the_error_of_a_running_plugin_ends_the_command_in_order(site: Path) -> None:
    install(site, "other-package", {"other": "other:open_other"})
    (site / "other.py").write_text(textwrap.dedent(GOOD.replace("return Chunk(0, np.zeros(1))", "1 / 0")))
    done = ecg_monitor("--source", "other", "--no-dashboard", *FREE_BUS, PYTHONPATH=str(site))
    assert done.returncode == 3
    assert done.stderr.count("\n") == 1
    assert "source other of other-package broke (ZeroDivisionError" in done.stderr
