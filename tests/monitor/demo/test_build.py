"""The folder of the demo."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from detector import Scorer, shipped_model
from monitor.demo import build as building
from monitor.demo.build import build
from monitor.demo.judged import NO_SAMPLE
from monitor.demo.recordings import RECORDINGS, Recording, available
from monitor.demo.runtime import FILES
from monitor.errors import ConfigError

RUNTIME = dict.fromkeys(FILES, b"")
SHORT = Recording("short", "Short", "Sinus, a run, electrode off.", "sim:sinus=14,vt=6,leadsoff=2,sinus=3;seed=7")


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    return Scorer()


def built(out: Path, scorer: Scorer, recordings: list[Recording]) -> list[str]:
    lines: list[str] = []
    build(out, recordings, RUNTIME, scorer, lines.append)
    return lines


def test_arrays_score_to_the_numbers_beside_them(tmp_path: Path, scorer: Scorer) -> None:
    lines = built(tmp_path / "demo", scorer, [SHORT])
    assert lines[0].startswith("sim:sinus=14")
    data = tmp_path / "demo" / "data"
    facts = json.loads((data / "short.json").read_bytes())
    content = (data / "short.bin").read_bytes()
    arrays = {
        name: np.frombuffer(content, entry["type"], int(np.prod(entry["shape"])), entry["offset"]).reshape(
            entry["shape"]
        )
        for name, entry in facts["arrays"].items()
    }
    n = len(facts["beats"])
    assert n == len(arrays["beats"]) > 20
    templates = np.full((n, 2, 187), np.nan, np.float32)
    known = arrays["template_of"] >= 0
    templates[known] = arrays["templates"][arrays["template_of"][known]]
    found = scorer.score(arrays["beats"], templates, arrays["values"])
    scored = np.array([beat["quality"] == "good" for beat in facts["beats"]])
    np.testing.assert_array_equal(found.score[scored], arrays["scores"][scored, 1])
    np.testing.assert_array_equal(found.log_prob[scored], arrays["scores"][scored, 0])
    assert np.isnan(arrays["scores"][~scored]).all()
    signal = arrays["signal"]
    assert signal.shape == (2, 25 * 250)
    off = signal[0, 20 * 250 + 50 : 22 * 250 - 50]
    assert (off == NO_SAMPLE).all()  # electrode off: no value is made up
    assert any(alarm["priority"] == "high" for alarm in facts["alarms"])
    r = facts["beats"][5]["r_sample"]
    peak = r - 20 + int(signal[1, r - 20 : r + 20].argmax())
    assert abs(peak - r - facts["delay_samples"]) <= 1  # the signal and the beats have one clock


def test_the_page_stands_whole_in_the_folder(tmp_path: Path, scorer: Scorer) -> None:
    out = tmp_path / "a" / "demo"
    built(out, scorer, [SHORT])
    names = {str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()}
    assert {"index.html", "app.js", "sweep.js", "style.css", "ort/LICENSE", "data/short.json"} <= names
    assert {f"ort/{name}" for name in FILES} <= names
    assert (out / "model.onnx").read_bytes() == shipped_model().read_bytes()
    html = (out / "index.html").read_text()
    assert "script-src 'self' 'wasm-unsafe-eval'" in html
    assert "://" not in html  # nothing from another host
    assert " style=" not in html
    for script in out.glob("*.js"):
        for line in script.read_text().splitlines():
            if line.startswith("import "):
                assert (out / line.rpartition('"./')[2].rstrip('";')).is_file(), line
    index = json.loads((out / "index.json").read_bytes())
    assert index["curves"]["sha256"] == index["model"]["sha256"]
    assert os.listdir(tmp_path / "a") == ["demo"]  # noqa: PTH208 - no draft is left


def test_an_earlier_demo_is_replaced_and_nothing_else(tmp_path: Path, scorer: Scorer) -> None:
    out = tmp_path / "demo"
    out.mkdir()
    built(out, scorer, [])
    (out / "old").write_text("")
    built(out, scorer, [])
    assert not (out / "old").exists()
    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.txt").write_text("mine")
    for taken in (other, other / "thesis.txt"):
        with pytest.raises(ConfigError, match="is no earlier demo; give a new or empty folder"):
            built(taken, scorer, [])
    assert (other / "thesis.txt").read_text() == "mine"
    with pytest.raises(ConfigError, match="File exists; give another folder"):
        built(other / "thesis.txt" / "demo", scorer, [])


def test_an_error_leaves_the_earlier_demo(tmp_path: Path, scorer: Scorer, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "demo"
    built(out, scorer, [])
    before = sorted(out.rglob("*"))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(building, "_index", full)
    with pytest.raises(ConfigError, match="No space left on device"):
        built(out, scorer, [])
    assert sorted(out.rglob("*")) == before
    assert list(tmp_path.iterdir()) == [out]


def test_only_records_on_this_machine_are_offered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ECG_MONITOR_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert {one.database for one in available()} == {""}
    (tmp_path / "mitdb").mkdir()
    (tmp_path / "mitdb" / "200.hea").write_text("")
    assert [one.key for one in available() if one.database] == ["mitdb-200"]


def test_keys_are_names_of_files_and_specs_have_an_end() -> None:
    keys = [one.key for one in RECORDINGS]
    assert len(set(keys)) == len(keys)
    for one in RECORDINGS:
        assert one.key.replace("-", "").isalnum()
        assert one.duration_s or "repeat" not in one.spec
