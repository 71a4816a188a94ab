"""A trained run and its records in; its heads trained anew on the finished features out.

The backbone sees each photo once; what it says of the photos fits in memory, so that the heads
can be trained for as many epochs as they need in seconds. Decoupling them is cRT's idea (Kang et
al., "Decoupling representation and classifier for long-tailed recognition", ICLR 2020).
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from fashion_keras.config import OptimizerConfig
from fashion_keras.data.pipeline import Augmentation, drawn_counts
from fashion_keras.features import Features, embed, embed_varied
from fashion_keras.io import replacing, write_json
from fashion_keras.metrics import scores_of_classes
from fashion_keras.models.classifier import head_name
from fashion_keras.provenance import changing
from fashion_keras.run import HEADS_FILE, Run, check_run, remove_decisions
from fashion_keras.training.losses import HeadLoss
from fashion_keras.training.optimizer import build_optimizer, create_variables, jit_compile

# At most; a small catalogue takes smaller batches, so that an epoch has about a hundred steps.
BATCH_SIZE = 256
_STEPS = 100
_LEARNING_RATE = 1e-3
_WEIGHT_DECAY = 0.01
# How much of a new head is tried beside the old one.
_SHARES = tuple(number / 10 for number in range(11))


@dataclasses.dataclass(frozen=True)
class Retrained:
    """What training a head anew gave on validation, and how much of it was kept."""

    label: str
    before: tuple[float, float]  # accuracy, macro-F1
    after: tuple[float, float]  # of the new head alone
    mixed: tuple[float, float]  # of what was kept
    share: float  # of the new head in it

    @property
    def kept(self) -> bool:
        """Whether the head was changed."""
        return self.share > 0


def retrain_heads(
    run: Run,
    records: str | os.PathLike,
    *,
    epochs: int,
    sampling: str = "natural",
    views: int = 1,
    seed: int = 0,
    progress: Callable[[str, int, int], object] | None = None,
) -> list[Retrained]:
    """Train every head anew on the training split's features; keep as much as validates best.

    Of a head's old and new weights the mean is taken, with the share of the new ones, in tenths,
    that gives the most accuracy + macro-F1 on validation (Wortsman et al., "Robust fine-tuning of
    zero-shot models", CVPR 2022; of linear heads it is the mean of their logits): the new head
    knows the rare classes better, the old one does not know the photos by heart. A head whose
    label no training photo has is left alone. `best.keras` is then written anew, `heads.json` says
    what was done, and a decision that was fitted to the old heads is removed. `sampling` is
    `natural`, `square-root` or `balanced`, by each head's own classes. With `views` of 2 or more
    the backbone sees each training photo so many times: as it is, and varied as in training by
    the run's config. `epochs` counts passes over the photos, each in one view. Raises
    `UserError` for records that are missing or damaged.
    """
    train = embed(run, records, ["train"], progress=progress)
    augmentation = _augmentation(run)
    if augmentation is None:
        views = 1
    elif views > 1:
        varied = embed_varied(run, records, augmentation, views - 1, seed=seed, progress=progress)
        train = _both(train, varied)
    validation = embed(run, records, ["validation"], progress=progress)
    found = []
    for number, (label, classes) in enumerate(run.labels.items()):
        if not (train.truth[label] >= 0).any():
            continue
        layer = run.model.get_layer(head_name(label))
        old = [np.asarray(variable) for variable in layer.weights]
        new = fit_head(
            train,
            label,
            len(classes),
            epochs=max(1, round(epochs / views)),
            sampling=sampling,
            seed=seed,
        )
        mixes = [_mix(old, new, share) for share in _SHARES]
        scored = [_scores(validation, label, *weights) for weights in mixes]
        best = int(np.argmax([sum(pair) for pair in scored]))  # of equals the least change
        if best:
            layer.set_weights(mixes[best])
        found.append(Retrained(label, scored[0], scored[-1], scored[best], _SHARES[best]))
        if progress is not None:
            progress("heads", number + 1, len(run.labels))
    _write(run, found, {"epochs": epochs, "sampling": sampling, "views": views})
    return found


def _write(run: Run, found: list[Retrained], options: dict) -> None:
    """Write `best.keras` anew where a head of it was changed, and what was done."""
    file = check_run(run.path)
    if any(head.kept for head in found):
        with changing(file.parent, file.name):
            with replacing(file) as partial:
                run.model.save(partial)
            # They were fitted to the old heads; a kill before this leaves some that are refused.
            remove_decisions(file.parent, "photo", "both")
    heads = {
        head.label: {
            **{
                name: dict(zip(("accuracy", "macro_f1"), getattr(head, name), strict=True))
                for name in ("before", "after", "mixed")
            },
            "share": head.share,
        }
        for head in found
    }
    raw = {**options, "trained_on": "train", "chosen_on": "validation", "heads": heads}
    with changing(file.parent, HEADS_FILE, made_from=[file.name]):
        write_json(file.with_name(HEADS_FILE), raw)


def fit_head(
    features: Features,
    label: str,
    num_classes: int,
    *,
    epochs: int,
    sampling: str = "natural",
    seed: int = 0,
) -> list[np.ndarray]:
    """Train a linear classifier on features; return its kernel `[D, C]` and bias `[C]`, float32.

    Cross-entropy without label smoothing, which keeps rare classes' logits down; AdamW with a
    cosine schedule. Features are standardised for it, and the scale is folded into the weights.
    """
    truth = features.truth[label]
    known = truth >= 0
    values, truth = features.values[known].astype(np.float64), truth[known]
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    # A channel that hardly speaks must not shout where a new photo wakes it.
    deviation = np.maximum(deviation, 0.01 * deviation.mean() + 1e-6)
    values = ((values - mean) / deviation).astype(np.float32)
    generator = np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)
    layer = keras.layers.Dense(num_classes, kernel_initializer="zeros", dtype="float32")
    inputs = keras.Input([values.shape[1]])
    model = keras.Model(inputs, layer(inputs))
    batch_size = min(BATCH_SIZE, max(16, len(values) // _STEPS))
    steps = -(-len(values) // batch_size)
    optimizer = OptimizerConfig(
        learning_rate=_LEARNING_RATE, weight_decay=_WEIGHT_DECAY, warmup_epochs=0, clip_norm=0
    )
    # A step costs less than Python's way to it: an epoch of them is one call.
    model.compile(
        build_optimizer(optimizer, _LEARNING_RATE, steps, epochs),
        loss=HeadLoss(),
        steps_per_execution=steps,
        jit_compile=jit_compile(),
    )
    create_variables(model)
    if sampling == "natural":
        drawn = [generator.permutation(len(values)) for _ in range(epochs)]
    else:
        counts = np.bincount(truth, minlength=num_classes)
        rates = drawn_counts(sampling, counts) / np.maximum(counts, 1)
        chances = rates[truth] / rates[truth].sum()
        drawn = [generator.choice(len(values), len(values), p=chances) for _ in range(epochs)]
    values, truth = tf.constant(values), tf.constant(truth)
    batches = tf.data.Dataset.from_tensor_slices(np.concatenate(drawn)).batch(batch_size)
    batches = batches.map(
        lambda rows: (tf.gather(values, rows), tf.one_hot(tf.gather(truth, rows), num_classes))
    )
    model.fit(batches.prefetch(2), shuffle=False, verbose=0)  # drawn in their order already
    kernel, bias = (np.asarray(variable, np.float64) for variable in layer.weights)
    kernel = kernel / deviation[:, None]
    return [kernel.astype(np.float32), (bias - mean @ kernel).astype(np.float32)]


def heads_table(found: list[Retrained]) -> str:
    """Lay out what each head gave, for the terminal."""
    lines = [f"{'heads anew, validation':<24} accuracy / macro-F1 before  new alone        kept"]
    lines += [
        f"{head.label:<24} {head.before[0]:>17.4f} / {head.before[1]:.4f}   "
        f"{head.after[0]:.4f} / {head.after[1]:.4f}  {head.mixed[0]:.4f} / {head.mixed[1]:.4f}, "
        f"{head.share:.0%} new"
        for head in found
    ]
    return "\n".join(lines)


def _mix(old, new, share: float) -> list[np.ndarray]:
    pairs = zip(old, new, strict=True)
    return [((1.0 - share) * a + share * b).astype(np.float32) for a, b in pairs]


def _scores(features, label, kernel, bias) -> tuple[float, float]:
    logits = features.values @ kernel + bias
    found = scores_of_classes(features.truth[label], logits.argmax(axis=1), logits.shape[1])
    return found.accuracy, found.macro_f1


def _augmentation(run) -> Augmentation | None:
    """Return how the run's training varied its photos; None where it did not."""
    if run.config is None:
        return None
    data = run.config.data
    found = Augmentation(data.augment, random_erasing=data.random_erasing)
    return None if found == Augmentation() else found


def _both(one: Features, other: Features) -> Features:
    truth = {name: np.concatenate([one.truth[name], other.truth[name]]) for name in one.truth}
    return Features([], truth, np.concatenate([one.values, other.values]))
