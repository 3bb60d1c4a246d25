"""What the documents say is true: links, commands, options and code."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import typer.main

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("detector/models/*.md")])


def blocks(document: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", document.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)", document.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (document.parent / target).exists(), target


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_documents_name_no_path_of_a_machine(document: Path) -> None:
    assert not re.search(r"/(home|root|work|Users)/", document.read_text(encoding="utf-8"))


def commands() -> list[list[str]]:
    lines = "\n".join(block for document in DOCUMENTS for block in blocks(document, "")).splitlines()
    parts = [part for line in lines for part in line.split(" #")[0].split(" | ")[0].split(" && ")]
    return [shlex.split(part) for part in parts if part.startswith(("ecg-monitor", "python -m train"))]


@pytest.mark.parametrize("command", commands(), ids=" ".join)
def test_every_command_and_option_exists(command: list[str]) -> None:
    if command[0] == "ecg-monitor":
        from monitor.__main__ import app

        words = command[1:]
    else:
        pytest.importorskip("torch")
        from train.__main__ import app

        words = command[3:]
    group = typer.main.get_command(app)
    known = {option for parameter in group.params for option in parameter.opts + parameter.secondary_opts}
    chosen = group
    while words and not words[0].startswith("-") and hasattr(chosen, "commands"):  # keys add has commands of its own
        chosen, words = chosen.commands[words[0]], words[1:]
        known = {option for parameter in chosen.params for option in parameter.opts + parameter.secondary_opts}
    for word in words:
        if word.startswith("--"):
            assert word in known, word


def test_the_notebook_example_runs() -> None:
    (code,) = [block for block in blocks(ROOT / "README.md", "python") if "Detector(" in block]
    from monitor.sources import SourceOptions, open_source

    source = open_source("sim:sinus=20", SourceOptions(duration_s=20))
    chunk = source.read(5000)
    source.close()
    assert chunk is not None
    said: list[tuple[object, ...]] = []
    exec(
        compile(code, "README.md", "exec"),
        {"pieces_of_ecg": np.array_split(chunk.samples, 50), "print": lambda *words: said.append(words)},
    )
    assert len(said) > 10
    assert all(isinstance(r_sample, int) and np.isfinite(log_prob) for r_sample, _, log_prob, _ in said)


def test_the_other_examples_are_python() -> None:
    for document in DOCUMENTS:
        for code in blocks(document, "python"):
            compile(code, document.name, "exec")
