"""Measure how many photos of other products `fashion-keras audit --titles` ranks first.

python scripts/measure_title_audit.py --model runs/resnet18-1 --data tfrecords/small

1% of a split's products, drawn at random, pass their photos on to one another. Printed is which
share of them is among the first 1%, 2% and 5% of the ranking, mean and standard deviation over the
draws; and the same for those swaps alone that the labels show: between two black t-shirts for men
there is nothing to see. The run is asked once; what is swapped is its answers.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from scipy.spatial.distance import jensenshannon
from scripting import script_parser

from fashion_keras.auditing.title_audit import Answers, disagreement, read_answers, shares_of
from fashion_keras.commands import add_run_and_records, positive_int, run_command
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.run import SEES, Run, load_run

FIRST = (0.01, 0.02, 0.05)
_LEAST = 1e-6  # of a probability whose logarithm is taken

# From probabilities of photo and title, [N, C] each, and each class's share of training, [C].
Score = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
SCORES: Mapping[str, Score] = {
    "one product (the audit's)": disagreement,
    "one class": lambda photo, title, share: -np.log((photo * title).sum(axis=1) + _LEAST),
    "Jensen-Shannon": lambda photo, title, share: jensenshannon(photo, title, axis=1) ** 2,
    "other class": lambda photo, title, share: photo.argmax(axis=1) != title.argmax(axis=1),
}


def drawn(count: int, share: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return whose photo each product has, int `[count]`, and the products that lost theirs."""
    moved = np.random.default_rng(seed).permutation(count)[: max(2, round(share * count))]
    photos = np.arange(count)
    photos[moved] = np.roll(moved, 1)
    return photos, moved


def visible(truth: Mapping[str, np.ndarray], photos: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """Say of each moved product whether a label tells it from the one whose photo it has."""
    pairs = [(found[moved], found[photos[moved]]) for found in truth.values()]
    return np.any([(own != other) & (own >= 0) & (other >= 0) for own, other in pairs], axis=0)


def measure(
    answers: Answers,
    labels: Sequence[str],
    shares: Mapping[str, np.ndarray],
    score: Score,
    draws: int,
    share: float = 0.01,
) -> np.ndarray:
    """Return which shares of the swaps are found, float `[draws, 2, len(FIRST)]`.

    Of all, then of those that the labels show. `shares` are each label's classes in training.
    """
    count = len(answers.ids)
    result = np.zeros([draws, 2, len(FIRST)])
    for seed in range(draws):
        photos, moved = drawn(count, share, seed)
        seen = visible(answers.truth, photos, moved)
        total = sum(
            np.asarray(score(answers.photo[k][photos], answers.title[k], shares[k]), float)
            for k in labels
        )
        place = np.empty(count, int)
        # Among equals in the records' order, as the audit has them.
        place[np.argsort(-total, kind="stable")] = np.arange(count)
        for column, first in enumerate(FIRST):
            found = place[moved] < round(first * count)
            result[seed, :, column] = found.mean(), found[seen].mean()
    return result


def reliable(run: Run) -> list[str]:
    """Return the labels for which the photo and the title have a threshold each."""
    decisions = [run.decision_for(sees) for sees in SEES if sees != "both"]
    return [k for k in run.labels if all(d is not None and k in d.accept for d in decisions)]


def _table(results: Mapping[str, np.ndarray]) -> str:
    heading = "".join(f"  first {first:<6.0%}" for first in FIRST)
    lines = [f"{'':<38}{'all swaps':<42}  that the labels show", f"{'':<36}{heading}  {heading}"]
    for name, found in results.items():
        cells = [f"{m:.3f} ±{s:.3f}" for m, s in zip(*_moments(found), strict=True)]
        half = len(FIRST)
        lines.append(f"{name:<38}{'  '.join(cells[:half])}    {'  '.join(cells[half:])}")
    return "\n".join(lines)


def _moments(found: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    rows = found.reshape(len(found), -1)
    return rows.mean(axis=0), rows.std(axis=0)


def _command(argv: Sequence[str] | None) -> None:
    parser = script_parser(__doc__, epilog_from=2)
    add_run_and_records(parser)
    parser.add_argument("--split", default="validation", help="(default: %(default)s)")
    parser.add_argument("--draws", type=positive_int, default=20, help="(default: %(default)s)")
    options = parser.parse_args(argv)
    info = DatasetInfo.load(options.data)
    run = load_run(options.model, info)
    answers = read_answers(run, options.data, options.split, run.labels, progress=True)
    shares = shares_of(info, run.labels)
    results = {}
    chosen = {"all labels": list(run.labels), "reliable": reliable(run)}
    for what, labels in chosen.items():
        for name, score in SCORES.items():
            if labels:
                key = f"{name}, {what}"
                results[key] = measure(answers, labels, shares, score, options.draws)
    moved = drawn(len(answers.ids), 0.01, 0)[1]
    print(f"{len(answers.ids):,} products, {len(moved)} swapped, {options.draws} draws")
    print(f"reliable: {', '.join(chosen['reliable']) or 'no label'}")
    print(_table(results))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""
    return run_command(_command, argv)


if __name__ == "__main__":
    sys.exit(main())
