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
from fashion_keras.data.pipeline import (
    Augmentation,
    SoftTargets,
    drawn_counts,
    make_dataset,
    steps_per_epoch,
)
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.io import place
from fashion_keras.models.classifier import build_classifier, head_name, set_trainable
from fashion_keras.models.weights import load_weights
from fashion_keras.progress import LOGGER
from fashion_keras.training.callbacks import (
    BestModel,
    EpochLine,
    ExponentialMovingAverage,
    RunScores,
    StopOnNaN,
    Throughput,
)
from fashion_keras.training.checkpoint import History, RunCheckpoint
from fashion_keras.training.distribution import Distribution
from fashion_keras.training.losses import HeadLoss, class_weights, logit_offsets
from fashion_keras.training.macro_f1 import MacroF1
from fashion_keras.training.optimizer import (
    accelerated,
    build_optimizer,
    create_variables,
    describe_devices,
    is_emulated,
    jit_compile,
    resolve_precision,
)
from fashion_keras.training.stages import plan_stages
from fashion_keras.training.tensorboard import RunBoard
from fashion_keras.training.workdir import checkpoints


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
    distribution: Distribution | None = None,
    soft_targets: SoftTargets | None = None,
    draw_matrix: Callable[[np.ndarray, Sequence[str]], bytes] | None = None,
    say: Callable[[str], object] = LOGGER.info,
    bars: bool = False,
) -> Trained:
    """Train a classifier on `records`, going on from the last checkpoint if there is one.

    Writes into `workdir`: `labels.json`, `history.csv`, `checkpoints/`, `tensorboard/` and
    `best.keras`, the model of the epoch that `training.monitor` takes for the best. `distribution`
    says which devices train; each of several processes needs a workdir of its own, with the same
    checkpoint in it or none. `soft_targets` are what a teacher says of the training photos,
    `draw_matrix` is passed to the TensorBoard callback, `say` takes lines for the user, `bars`
    shows one an epoch. Raises `UserError` for records, labels, weights or devices that do not fit,
    and when the loss is no longer a number, or another process is lost.
    """
    workdir = place(workdir)
    workdir.mkdir(parents=True, exist_ok=True)
    info = DatasetInfo.load(records)
    vocabularies = {label: info.trainable_vocabulary(label) for label in config.labels}
    keras.utils.set_random_seed(config.training.seed)
    if config.training.deterministic:
        tf.config.experimental.enable_op_determinism()
    distribution = distribution or Distribution()
    distribution.check(config, info.splits["train"].num_examples)
    precision = resolve_precision(config.training.precision)
    say(f"device: {describe_devices()}, precision: {precision}")
    if distribution.replicas > 1:
        say(distribution.describe(config.training.batch_size))
    if is_emulated(precision):
        say(f"this processor emulates {precision}, slowly: training.precision: auto is the quicker")
    # Keras has the policy for the whole process, and what is built after training is not of it.
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(precision)
    try:
        with distribution.running():
            return _train(
                *(config, info, records, workdir, vocabularies, distribution, soft_targets),
                *(draw_matrix, say, bars),
            )
    finally:
        keras.mixed_precision.set_global_policy(before)


def _train(
    config, info, records, workdir, vocabularies, shared, soft_targets, draw_matrix, say, bars
):
    stages = plan_stages(config)
    resuming = bool(checkpoints(workdir / run_files.CHECKPOINTS))
    model = None
    if not resuming:
        size, weights = stages[0].image_size, config.model.weights
        model = _build_model(config, vocabularies, size, weights, say, shared)
        run_files.save_labels(workdir, vocabularies)
    steps = steps_per_epoch(info.splits["train"].num_examples, config.training.batch_size)
    callbacks = _make_callbacks(config, workdir, vocabularies, steps, draw_matrix, say, bars)
    checkpoint, early_stopping = callbacks.checkpoint, callbacks.early_stopping
    done = checkpoint.epochs_done()
    if done:
        checkpoint.restore_state()
        say(f"resuming after epoch {done} of {config.training.epochs}")
    if 0 < done < config.training.epochs and not checkpoint.stopped:
        # Compiled as in the stage that saved it: its optimizer is brought back too.
        saved_in = next(stage for stage in stages if stage.start < done <= stage.end)
        # The checkpoint holds all weights: what the run began with may be gone by now.
        model = _build_model(config, vocabularies, saved_in.image_size, "none", say, shared)
        _compile(model, config, saved_in, steps, info, shared)
        checkpoint.restore_weights(model)
    for before, stage in zip([None, *stages], stages, strict=False):
        if done >= stage.end or checkpoint.stopped:
            continue
        assert model is not None  # new, or of the checkpoint
        if done <= stage.start:
            goes_on = before is not None and before.schedule == stage.schedule
            optimizer = model.optimizer if goes_on else None
            model = _enter(model, before, stage, config, vocabularies, callbacks.best, shared)
            _compile(model, config, stage, steps, info, shared)
            if optimizer:
                _copy_variables(optimizer.variables, model.optimizer.variables)
        if len(stages) > 1:
            say(stage.title)
        labels = list(vocabularies)
        training = _dataset(
            config, records, "train", labels, stage, done, soft_targets, shared=shared
        )
        validation = _dataset(config, records, "validation", labels, stage, shared=shared)
        if done == 0:
            callbacks.board.write_training_photos(training, vocabularies)
        _fit(model, training, validation, done, stage, steps, callbacks, shared)
        done = stage.end
    if early_stopping and early_stopping.stopped_epoch:  # in the last stage
        say(
            f"early stopping after epoch {early_stopping.stopped_epoch + 1}: "
            f"{callbacks.best.monitor} has not improved for {config.training.early_stopping} epochs"
        )
    return Trained(workdir, checkpoint.history.rows, callbacks.best.best_epoch + 1, callbacks.board)


@dataclasses.dataclass(frozen=True)
class _Callbacks:
    """The callbacks of a run, in order, and those of them that are asked by name."""

    all: list[keras.callbacks.Callback]
    best: BestModel
    early_stopping: keras.callbacks.EarlyStopping | None
    board: RunBoard
    checkpoint: RunCheckpoint
    epochs: int


def _make_callbacks(config, workdir, vocabularies, steps, draw_matrix, say, bars) -> _Callbacks:
    settings = config.training
    average = ExponentialMovingAverage(config.optimizer.ema) if config.optimizer.ema else None
    macro_f1 = MacroF1()
    monitor = f"val_{settings.monitor}"
    best = BestModel(workdir / run_files.BEST_MODEL_FILE, average, monitor)
    early_stopping = None
    if settings.early_stopping:
        early_stopping = keras.callbacks.EarlyStopping(
            monitor, mode="max", patience=settings.early_stopping
        )
    headline = vocabularies[config.data.label]
    board = RunBoard(
        workdir / run_files.TENSORBOARD, config, macro_f1, best, headline, draw_matrix=draw_matrix
    )
    checkpoint = RunCheckpoint(
        workdir / run_files.CHECKPOINTS,
        History(workdir / run_files.HISTORY_FILE),
        best,
        early_stopping,
        average,
        settings.checkpoint_every,
    )
    # Each reads what those before it wrote into the logs or the model.
    callbacks = [
        average,
        StopOnNaN(),
        macro_f1,
        RunScores(macro_f1, list(vocabularies)),
        Throughput(settings.batch_size),
        best,
        early_stopping,
        board,
        EpochLine(settings.epochs, steps, say, bars),
        checkpoint,
    ]
    present = [callback for callback in callbacks if callback]
    return _Callbacks(present, best, early_stopping, board, checkpoint, settings.epochs)


def _fit(model, training, validation, done, stage, steps, callbacks: _Callbacks, shared) -> None:
    # Heads or small photos that teach no more are no reason to leave out the full size.
    left_out = callbacks.early_stopping if stage.end < callbacks.epochs else None
    batches = None
    if shared.replicas > 1:  # what is spread says no more how long it is
        batches = int(validation.cardinality())
        validation = validation.repeat()
    model.fit(
        shared.spread(training),
        validation_data=shared.spread(validation),
        validation_steps=batches,
        initial_epoch=done,
        epochs=stage.end,
        steps_per_epoch=steps,
        callbacks=[callback for callback in callbacks.all if callback is not left_out],
        shuffle=False,  # the pipeline has shuffled
        verbose=0,
    )


def _build_model(config, vocabularies, image_size, weights, say, shared):
    with shared.scope():
        model = build_classifier(
            config.model.arch,
            image_size,
            {name: len(names) for name, names in vocabularies.items()},
            dropout=config.model.dropout,
            upsampling=config.model.upsampling,
            imagenet=weights == "imagenet",
        )
    if weights not in ("none", "imagenet"):
        loaded = load_weights(model, weights)
        say(f"weights {weights}: {loaded.summary()}")
    accelerated(model)
    shared.adapt_model(model)
    return model


def _enter(model, before, stage, config, vocabularies, best, shared):
    """Return the model for `stage`, with the weights of the one that trained `before`."""
    if before is None:
        return model
    if stage.image_size == before.image_size:
        return model
    # A score at another size is another score: the best is sought anew.
    best.reset()
    resized = _build_model(config, vocabularies, stage.image_size, "none", None, shared)
    _copy_variables(_state(model), _state(resized))
    return resized


def _state(model: keras.Model) -> list[keras.Variable]:
    """Return weights and dropout's random states, in an order that the photo size leaves alone."""
    return model.weights + [v for v in model.variables if not v.dtype.startswith(("float", "bfl"))]


def _copy_variables(sources, targets):
    for source, target in zip(sources, targets, strict=True):
        target.assign(source)


def _compile(model, config, stage, steps, info, shared):
    set_trainable(model, stage.trains)
    counts = info.splits["train"].class_counts
    training, label = config.training, config.data.label
    losses = {}
    for name in config.labels:
        offsets = None
        if name == label:
            drawn = drawn_counts(config.data.sampling, counts[name])
            offsets = logit_offsets(training.logit_adjustment, drawn)
        weights = class_weights(training.class_weights, counts[name])
        losses[name] = HeadLoss(
            training.label_smoothing, weights, offsets, name=f"{head_name(name)}_loss"
        )
    shares = {name: 1.0 if name == label else config.data.auxiliary_labels[name] for name in losses}
    start, end = stage.schedule
    with shared.scope():
        model.compile(
            build_optimizer(
                config.optimizer,
                stage.peak,
                steps,
                end - start,
                accumulation=training.gradient_accumulation,
            ),
            loss=losses,
            loss_weights=shares,
            jit_compile=jit_compile(shared.replicas),
        )
        create_variables(model)
    shared.adapt_optimizer(model)


def _dataset(config, records, split, labels, stage, done=0, soft_targets=None, *, shared):
    """Make the training stream of a stage from epoch `done` on, or the validation photos."""
    data, size = config.data, config.training.batch_size
    training = split == "train"
    if not training:
        size = -(-max(size, 128) // shared.replicas) * shared.replicas
    return make_dataset(
        records,
        split,
        labels,
        stage.image_size,
        size,
        training=training,
        initial_epoch=done,
        epochs=stage.end,
        stream=training,
        augmentation=Augmentation(data.augment, data.mixup, data.cutmix, data.random_erasing),
        sampling=data.sampling,
        soft_targets=soft_targets,
        resize=data.resize,
        cache=data.cache,
        seed=config.training.seed,
        share=shared.share,
    )
