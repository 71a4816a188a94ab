"""A run in, what it needs to go on after a kill out: weights, optimizer, averages, callbacks."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import pandas as pd

from fashion_keras.errors import UserError
from fashion_keras.io import replacing, replacing_folder, write_sealed
from fashion_keras.places import sync
from fashion_keras.reading import parse_json, read_text, sha256_of, unsealed
from fashion_keras.training.callbacks import BestModel, ExponentialMovingAverage
from fashion_keras.training.workdir import checkpoints

# What reading a damaged checkpoint raises: files, HDF5, zip, JSON of another shape.
_DAMAGE = (
    *(UserError, OSError, ValueError, TypeError, LookupError, AttributeError, EOFError),
    zipfile.BadZipFile,
)
_WEIGHTS, _AVERAGE, _STATE = "model.weights.h5", "average.npz", "state.json"


class History:
    """The logs of each epoch, kept in `history.csv`: a row an epoch, a column a figure."""

    def __init__(self, path: str | os.PathLike, rows: list[dict] | None = None):
        self.path = Path(path)
        self.rows = rows or []

    def append(self, epoch: int, logs: dict) -> None:
        """Add an epoch (counted from 1 in the file) and rewrite the file."""
        self.rows.append({"epoch": epoch + 1, **{k: float(v) for k, v in logs.items()}})
        with replacing(self.path) as partial:
            pd.DataFrame(self.rows).to_csv(partial, index=False, lineterminator="\r\n")


class RunCheckpoint(keras.callbacks.Callback):
    """Save all that a run is, after the first epoch, every `every` and the last, and bring it back.

    Stands last among the callbacks, so that the others have updated themselves when it saves,
    and restores theirs after they have reset themselves at the start of training. A checkpoint
    is a folder `epoch-NNNN`, written beside and renamed; the one before is then removed.
    (Keras's BackupAndRestore keeps neither early stopping's state nor an average.)
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        history: History,
        best: BestModel,
        early_stopping: keras.callbacks.EarlyStopping | None,
        average: ExponentialMovingAverage | None,
        every: int = 1,
    ):
        super().__init__()
        self.folder = Path(folder)
        self.every = every
        self.history = history
        self._best = best
        self._early_stopping = early_stopping
        self._average = average
        self._patience: dict | None = None
        self.stopped = False

    def on_epoch_end(self, epoch, logs=None):
        """Write the history, and the checkpoint where it is due."""
        self.history.append(epoch, logs)
        # After the first as well: a run that has a best model is one that can be resumed.
        ends = self.model.stop_training or epoch + 1 in (1, self.params.get("epochs"))
        if (epoch + 1) % self.every and not ends:
            return
        final = self.folder / f"epoch-{epoch + 1:04d}"
        with replacing_folder(final) as partial:
            self._save(epoch, partial)
        for _, older in checkpoints(self.folder):
            if older != final:
                shutil.rmtree(older)
        sync(self.folder)

    def _save(self, epoch: int, folder: Path) -> None:
        self.model.save_weights(folder / _WEIGHTS)  # the optimizer's state is in it too
        state = {
            "epoch": epoch + 1,
            "best": self._best.best,
            "best_epoch": self._best.best_epoch,
            "history": self.history.rows,
            "seeds": [np.array(seed).tolist() for seed in _seeds(self.model)],
        }
        # It takes no part in a frozen stage, and has no state before it takes part.
        if self._early_stopping and hasattr(self._early_stopping, "best_epoch"):
            state["early_stopping"] = {
                name: getattr(self._early_stopping, name) for name in ("best", "wait", "best_epoch")
            }
            state["stopped"] = bool(self._early_stopping.stopped_epoch)
        if self._average:
            average = self._average.get_state()
            state["average_step"] = average["step"]
            np.savez(folder / _AVERAGE, *average["averages"])
        state["files"] = {path.name: sha256_of(path) for path in folder.iterdir()}
        write_sealed(folder / _STATE, json.loads(json.dumps(state, default=float)))

    def on_train_begin(self, logs=None):
        """Give early stopping its patience back: it has just reset itself."""
        patience, self._patience = self._patience, None  # a later stage begins with its own
        if patience and self._early_stopping:
            for name, value in patience.items():
                setattr(self._early_stopping, name, value)

    def epochs_done(self) -> int:
        """Return the epochs that the last checkpoint has seen, 0 where there is none."""
        found = checkpoints(self.folder)
        return found[-1][0] if found else 0

    def restore_state(self) -> None:
        """Bring history and callbacks back from the last checkpoint; its weights need not be there.

        Sets `stopped` where early stopping had ended the run. Raises `UserError` where it is
        damaged.
        """
        path, state = self._read_state()
        with _explained(path):
            self.history.rows = state["history"]
            self._best.best, self._best.best_epoch = state["best"], state["best_epoch"]
        self._patience = state.get("early_stopping")
        self.stopped = state.get("stopped", False)

    def restore_weights(self, model: keras.Model) -> None:
        """Bring weights, optimizer and average back from the last checkpoint.

        `model` must be built and compiled as the saved one was. Raises `UserError` where it does
        not fit or is damaged.
        """
        path, state = self._read_state()
        with _explained(path):
            for name, sha256 in state.get("files", {}).items():
                if sha256_of(path / name) != sha256:
                    raise ValueError(f"{name} was changed after it was written")
            model.optimizer.build(model.trainable_variables)
            model.load_weights(path / _WEIGHTS)
            for seed, value in zip(_seeds(model), state["seeds"], strict=True):
                seed.assign(np.array(value, seed.dtype))
            if self._average:
                with np.load(path / _AVERAGE) as arrays:
                    averages = [arrays[f"arr_{i}"] for i in range(len(arrays.files))]
                self._average.set_state({"step": state["average_step"], "averages": averages})

    def _read_state(self) -> tuple[Path, dict]:
        path = checkpoints(self.folder)[-1][1]
        with _explained(path):
            return path, unsealed(parse_json(read_text(path / _STATE)))


@contextlib.contextmanager
def _explained(path: Path) -> Iterator[None]:
    """Turn what a damaged checkpoint raises into a `UserError` that says what to do."""
    try:
        yield
    except _DAMAGE as error:
        reason = str(error).splitlines()[0][:160] if str(error) else repr(error)
        raise UserError(
            f"cannot resume from {path}: {reason}\n"
            "Remove that folder to start again, or train into another --workdir"
        ) from error


def _seeds(model: keras.Model) -> list[keras.Variable]:
    """Return the states of dropout's random generators: Keras's weights files leave them out."""
    return [v for v in model.variables if not v.dtype.startswith(("float", "bfloat"))]
