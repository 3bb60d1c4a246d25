"""The text under the tables of results: explanation of the columns, SHA-256 of the models."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["COMMAND", "notes"]

COMMAND: Final = "python -m train evaluate --protocol all"


def notes(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Explanation of the columns, and the SHA-256 of the models."""
    models = {
        f"{model['name']} ({protocol})": model["sha256"]
        for protocol, result in results.items()
        if protocol in ("kaggle", "stream")
        for model in result["models"]
    }
    hashes = ", ".join(f"{name} `{sha[:12]}`" for name, sha in models.items())
    first = next(iter(results.values()))
    kept = [f"{', '.join(result['kept'])} in {name}" for name, result in results.items() if result.get("kept")]
    earlier = f"Kept from an earlier version of the detector: {'; '.join(kept)}. " if kept else ""
    text = (
        "published: the published architecture, trained by the same commands (its model card states AUROC 0.930 and "
        "best F1 0.880 on its own split). no learning: distance to the nearest training normal in the raw samples "
        "(kaggle); distance to the patient's template plus prematurity (inter, stream; one threshold that 2 % of the "
        "training patients' normal beats exceed). two leads: both signals of each record, as with `--channel MLII,V1`. "
        "called: classified as abnormal. Intervals: bootstrap over records, "
        f"{first['resamples']} draws, seed {first['seed']}; in nstdb over two-minute stretches. In record 232 most "
        "beats are abnormal, so its usual beat is not a normal one. "
        f"{earlier}SHA-256: {hashes}. Written by `python -m train table` from [train/results](../train/results), the "
        f"output of `{COMMAND}`."
    )
    return textwrap.fill(text, 120, break_long_words=False, break_on_hyphens=False)
