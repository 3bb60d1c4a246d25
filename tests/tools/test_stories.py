"""The simulator's own stories, through the whole monitor: each ventricular rhythm by its name, noise raises nothing."""

from __future__ import annotations

import pytest
from clinical_rows.cases import Case
from clinical_rows.heard import play
from clinical_rows.tapes import simulated
from clinical_rows.verdicts import quiet

from detector import Scorer

STORIES = {
    "sinus=20,vt=10,sinus=5": ({"ventricular_run"}, {"ventricular_fibrillation"}),
    "sinus=20,vf=12": ({"ventricular_fibrillation"}, set[str]()),
    "sinus=20,noise=30": (set[str](), {"ventricular_fibrillation", "ventricular_run", "asystole"}),
    "vt@120=20": ({"ventricular_run"}, {"ventricular_fibrillation"}),
}


@pytest.mark.parametrize("story", STORIES)
@pytest.mark.parametrize("seeds", [range(3), pytest.param(range(3, 200), marks=pytest.mark.slow)])
def test_stories_are_told_right(story: str, seeds: range) -> None:
    scorer, (needed, excluded) = Scorer(), STORIES[story]
    for seed in seeds:
        heard = play(Case(simulated(story, 250.0, seed), quiet, story), scorer)
        high = {alarm.kind for alarm in heard.alarms if alarm.priority == "high"}
        assert needed <= high, seed
        assert not high & excluded, seed
