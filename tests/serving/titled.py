"""The tiny run of `serving.tiny` with an untrained model of titles and a decision of every part."""

from pathlib import Path

import numpy as np
from serving.tiny import LABELS, save_tiny_run

from fashion_keras.decision.parameters import Agreement, Decision, Weights
from fashion_keras.models.title_model import TERMS, build_title_model
from fashion_keras.run import save_decision, save_title


def save_titled_run(folder: Path, columns: int = 2, labels=LABELS) -> Path:
    """Write a run's folder as training with titles leaves it; `labels` are two."""
    save_tiny_run(folder, labels)
    rng = np.random.default_rng(7)
    kernel = rng.normal(size=[1 + TERMS, sum(map(len, labels.values()))])
    rarity = rng.uniform(0.5, 2, TERMS)
    rarity[0] = 0
    save_title(folder, build_title_model(columns, labels, rarity, kernel))
    first, second = labels
    agree = (Agreement((first, second), tuple((k, labels[second][1]) for k in labels[first])),)
    weights = {first: Weights(0.3, 2.0), second: Weights(1.5, 0.0)}
    for sees, decision in (
        ("photo", Decision(first, flip=True)),
        ("title", Decision(first, temperature={second: 0.5})),
        ("both", Decision(first, flip=True, agree=agree, weights=weights)),
    ):
        save_decision(folder, decision, "best.keras", sees)
    return folder
