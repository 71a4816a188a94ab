"""A config and a workdir in, a trained model and its history in the workdir out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from fashion_keras import run as run_files
from fashion_keras.config import Config
from fashion_keras.data.pipeline import Augmentation, make_dataset, steps_per_epoch
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.models.classifier import build_classifier, freeze_backbone
from fashion_keras.models.kernels import use_fast_kernels
from fashion_keras.models.weights import load_weights
from fashion_keras.training.callbacks import (
    MONITOR,
    BestModel,
    EpochLine,
    MacroF1,
    StopOnNaN,
    Throughput,
)
from fashion_keras.training.checkpoint import History, RunCheckpoint, checkpoints
from fashion_keras.training.confusion import ConfusionMatrix
from fashion_keras.training.ema import ExponentialMovingAverage
from fashion_keras.training.losses import HeadLoss, class_weights
from fashion_keras.training.optimizer import build_optimizer
from fashion_keras.training.tensorboard import RunBoard


@dataclasses.dataclass(frozen=True)
class Trained:
    """A finished training: where it lies, its rows of `history.csv`, its best epoch and board."""

    workdir: Path
    history: list[dict]
    best_epoch: int
    board: RunBoard


def train(
    config: Config,
    records: str | os.PathLike,
    workdir: str | os.PathLike,
    *,
    draw_matrix: Callable[[np.ndarray, Sequence[str]], bytes] | None = None,
    say: Callable[[str], None] = print,
) -> Trained:
    """Train a classifier on `records`, going on from the last checkpoint if there is one.

    Writes into `workdir`: `labels.json`, `history.csv`, `checkpoints/`, `tensorboard/` and
    `best.keras`, the model of the epoch with the best validation macro-F1. `draw_matrix` is
    passed to the TensorBoard callback, `say` takes lines for the user. Raises `UserError` for
    records, labels or weights that do not fit, and when the loss is no longer a number.
    """
    workdir = Path(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    info = DatasetInfo.load(records)
    vocabularies = {label: info.trainable_vocabulary(label) for label in config.labels}
    keras.utils.set_random_seed(config.training.seed)
    if config.training.deterministic:
        tf.config.experimental.enable_op_determinism()
    precision = resolve_precision(config.training.precision)
    keras.mixed_precision.set_global_policy(precision)
    say(f"device: {_device()}, precision: {precision}")

    resuming = bool(checkpoints(workdir / run_files.CHECKPOINTS))
    model = _build_model(config, vocabularies, resuming, say)
    if not resuming:
        run_files.save_labels(workdir, vocabularies)
    steps = steps_per_epoch(info.splits["train"].num_examples, config.training.batch_size)
    matrices = {name: ConfusionMatrix(len(names)) for name, names in vocabularies.items()}
    average = ExponentialMovingAverage(config.optimizer.ema) if config.optimizer.ema else None
    macro_f1 = MacroF1(matrices)
    best = BestModel(workdir / run_files.BEST_MODEL_FILE, average)
    early_stopping = None
    if config.training.early_stopping:
        early_stopping = keras.callbacks.EarlyStopping(
            MONITOR, mode="max", patience=config.training.early_stopping
        )
    headline = vocabularies[config.data.label]
    board = RunBoard(
        workdir / run_files.TENSORBOARD, config, macro_f1, headline, draw_matrix=draw_matrix
    )
    checkpoint = RunCheckpoint(
        workdir / run_files.CHECKPOINTS,
        History(workdir / run_files.HISTORY_FILE),
        best,
        early_stopping,
        average,
    )
    # Each reads what those before it wrote into the logs or the model.
    callbacks = [
        average,
        StopOnNaN(),
        macro_f1,
        Throughput(config.training.batch_size),
        best,
        early_stopping,
        board,
        EpochLine(config.training.epochs, steps),
        checkpoint,
    ]
    callbacks = [callback for callback in callbacks if callback]
    validation = _dataset(config, records, "validation", list(vocabularies))

    stages = _stages(config)
    done = checkpoint.epochs_done()
    if done:
        # Compiled as in the stage that saved it: its optimizer is brought back too.
        saved_in = next(stage for stage in stages if stage.start < done <= stage.end)
        _compile(model, config, saved_in, steps, info, matrices)
        checkpoint.restore(model)
        say(f"resuming after epoch {done} of {config.training.epochs}")
    for stage in stages:
        if done >= stage.end or checkpoint.stopped:
            continue
        if done <= stage.start:
            _compile(model, config, stage, steps, info, matrices)
        training = _dataset(config, records, "train", list(vocabularies), done, stage.end)
        if done == 0:
            board.write_training_photos(training, vocabularies)
        if stage.frozen:
            say(f"epochs {stage.start + 1} to {stage.end}: the heads alone, backbone frozen")
        # A head that no longer improves is no reason to leave the backbone as it is.
        left_out = early_stopping if stage is not stages[-1] else None
        model.fit(
            training,
            validation_data=validation,
            initial_epoch=done,
            epochs=stage.end,
            steps_per_epoch=steps,
            callbacks=[callback for callback in callbacks if callback is not left_out],
            shuffle=False,  # the pipeline has shuffled
            verbose=0,
        )
        done = stage.end
    if early_stopping and early_stopping.stopped_epoch:
        say(
            f"early stopping after epoch {early_stopping.stopped_epoch + 1}: {MONITOR} has not "
            f"improved for {config.training.early_stopping} epochs"
        )
    return Trained(workdir, checkpoint.history.rows, best.best_epoch + 1, board)


def resolve_precision(precision: str) -> str:
    """Return the Keras dtype policy that `auto` stands for: bfloat16 on a GPU that has it."""
    if precision != "auto":
        return precision
    for device in tf.config.list_physical_devices("GPU"):
        details = tf.config.experimental.get_device_details(device)
        if details.get("compute_capability", (0, 0)) >= (8, 0):
            return "mixed_bfloat16"
    return "float32"


def _device() -> str:
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", "") for gpu in gpus]
    return ", ".join(name or "GPU" for name in names) or f"CPU, {os.cpu_count()} cores"


@dataclasses.dataclass(frozen=True)
class _Stage:
    start: int
    end: int
    frozen: bool
    peak: float


def _stages(config: Config) -> list[_Stage]:
    heads = min(config.training.head_epochs, config.training.epochs)
    stages = [
        _Stage(0, heads, True, config.training.head_learning_rate),
        _Stage(heads, config.training.epochs, False, config.optimizer.learning_rate),
    ]
    return [stage for stage in stages if stage.end > stage.start]


def _build_model(config, vocabularies, resuming, say):
    # The checkpoint holds all weights: what the run began with may be gone by now.
    weights = "none" if resuming else config.model.weights
    model = build_classifier(
        config.model.arch,
        config.data.image_size,
        {name: len(names) for name, names in vocabularies.items()},
        dropout=config.model.dropout,
        imagenet=weights == "imagenet",
    )
    if weights not in ("none", "imagenet"):
        loaded = load_weights(model, weights)
        say(f"weights {weights}: {loaded.summary()}")
    use_fast_kernels(model)
    return model


def _compile(model, config, stage, steps, info, matrices):
    freeze_backbone(model, stage.frozen)
    for matrix in matrices.values():
        matrix.reset_state()  # Keras resets what it has compiled and built, not what is new to it
    counts = info.splits["train"].class_counts
    losses = {
        name: HeadLoss(
            config.training.label_smoothing,
            class_weights(config.training.class_weights, counts[name]),
            name=f"{name}_loss",
        )
        for name in matrices
    }
    weights = {
        name: 1.0 if name == config.data.label else config.data.auxiliary_labels[name]
        for name in matrices
    }
    model.compile(
        build_optimizer(config.optimizer, stage.peak, steps, stage.end - stage.start),
        loss=losses,
        loss_weights=weights,
        metrics={name: [matrix] for name, matrix in matrices.items()},
        # XLA on a CPU made ResNet18's training 18 times slower.
        jit_compile="auto" if tf.config.list_physical_devices("GPU") else False,
    )


def _dataset(config, records, split, labels, initial_epoch=0, epochs=None):
    data = config.data
    training = epochs is not None
    return make_dataset(
        records,
        split,
        labels,
        data.image_size,
        config.training.batch_size if training else max(config.training.batch_size, 128),
        training=training,
        epochs=epochs or 1,
        initial_epoch=initial_epoch,
        augmentation=Augmentation(data.augment, data.mixup, data.cutmix),
        resize=data.resize,
        cache=data.cache,
        seed=config.training.seed,
    )
