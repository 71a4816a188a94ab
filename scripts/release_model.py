"""Make the model of a run small enough to come with the package, and keep what was measured.

python scripts/release_model.py runs/efficientnetlite0-title --data tfrecords/small --name fashion

Weights are stored in half precision, and those of the title's model that are next to nothing
become zeros, which compress well; Keras reads the files as it reads any. The decisions are fitted
anew to that model, on validation. Then it is scored, on validation and, with --test, on the test
split: once. The model goes to fashion_keras/released/NAME, scores and predictions to
docs/results/NAME.
"""

from __future__ import annotations

import io
import re
import shutil
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scripting import script_parser

import fashion_keras as fk
from fashion_keras.commands import run_command
from fashion_keras.evaluation.files import PREDICTIONS_FILE
from fashion_keras.io import place, replacing_folder
from fashion_keras.provenance import note
from fashion_keras.released import FOLDER
from fashion_keras.run import (
    BEST_MODEL_FILE,
    CONFIG_FILE,
    EVALUATION_FILE,
    LABELS_FILE,
    RECORDS_FILE,
    SEES,
    TITLE_FILE,
    load_run,
)
from fashion_keras.serving.model_card import CARD_FILE, model_card

RESULTS = Path(__file__).resolve().parents[1] / "docs" / "results"
_NOTHING = 0.05  # of a support vector machine's weight, times how rare the term is
_KEPT = (CONFIG_FILE, LABELS_FILE, RECORDS_FILE)


def shrink(source: Path, target: Path, nothing: float = 0.0) -> None:
    """Write a `.keras` file anew, its weights in half precision and compressed.

    Weights whose size is below `nothing` become zeros.
    """
    import h5py

    def copy(old: h5py.Group, new: h5py.Group) -> None:
        for name, value in old.attrs.items():
            new.attrs[name] = value
        for name, item in old.items():
            if isinstance(item, h5py.Group):
                copy(item, new.create_group(name))
                continue
            values = item[()]
            packed = {}
            if getattr(values, "ndim", 0) and values.dtype.kind == "f":
                values = np.where(np.abs(values) < nothing, 0, values).astype(np.float16)
                packed = {"compression": "gzip", "compression_opts": 9, "shuffle": True}
            new.create_dataset(name, data=values, **packed)
            for key, value in item.attrs.items():
                new[name].attrs[key] = value

    with (
        zipfile.ZipFile(source) as old,
        zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for entry in old.infolist():
            data = old.read(entry)
            if entry.filename.endswith(".h5"):
                buffer = io.BytesIO()
                with h5py.File(io.BytesIO(data)) as stored, h5py.File(buffer, "w") as file:
                    copy(stored, file)
                data = buffer.getvalue()
            # A time of its own would make other bytes of the same weights.
            new.writestr(zipfile.ZipInfo(entry.filename), data, zipfile.ZIP_DEFLATED)


def without_folders(text: str) -> str:
    """Return JSON or YAML in which absolute paths are names: where it was made is of no use.

    >>> without_folders('{"path": "/home/me/data/small.zip"}')
    '{"path": "small.zip"}'
    """
    return re.sub(r'(?m)(?<=[ "])/(?:[^/\s"]+/)*([^/\s"]+)(?="|$)', r"\1", text)


def release(run: Path, data: Path, name: str, splits: Sequence[str]) -> None:
    """Write the small run, calibrate and score it."""
    with replacing_folder(FOLDER / name) as folder:
        for file in _KEPT:
            text = (run / file).read_text(encoding="utf-8")
            (folder / file).write_text(without_folders(text), encoding="utf-8")
        shrink(run / BEST_MODEL_FILE, folder / BEST_MODEL_FILE)
        shrink(run / TITLE_FILE, folder / TITLE_FILE, _NOTHING)
        note(folder, *_KEPT, BEST_MODEL_FILE, TITLE_FILE)
        _calibrate(folder, data)
    print(f"{FOLDER / name}: {sum(p.stat().st_size for p in (FOLDER / name).iterdir()):,} bytes")
    for split in splits:
        for sees in SEES:
            place = RESULTS / name / f"{split}-{sees}"
            found = fk.evaluate(name, data, split, sees=sees, output=place)
            for file in place.iterdir():
                if file.name not in (EVALUATION_FILE, PREDICTIONS_FILE):
                    file.unlink()
            text = (place / EVALUATION_FILE).read_text(encoding="utf-8")
            (place / EVALUATION_FILE).write_text(without_folders(text), encoding="utf-8")
            print(f"{split}, {sees}: {found.accuracy:.4f} / {found.macro_f1:.4f}")
    write_card(name, splits[-1])


def write_card(name: str, split: str) -> None:
    """Write the model's card, with its scores by photo, into the package."""
    from fashion_keras.serving.savedmodel import signatures, terms_of

    kept = FOLDER / name / f"evaluation-{split}"
    kept.mkdir(exist_ok=True)
    shutil.copyfile(RESULTS / name / f"{split}-photo" / EVALUATION_FILE, kept / EVALUATION_FILE)
    run = fk.load_model(name)
    names = list(signatures(run, 5, terms_of(run)))
    (FOLDER / name / CARD_FILE).write_text(model_card(run, name, names), encoding="utf-8")


def _calibrate(folder: Path, data: Path) -> None:
    from fashion_keras.evaluation.calibrating import calibrate_run, calibration_table

    run = load_run(folder, decided=False)
    assert run.config is not None
    run, steps = calibrate_run(run, data, run.config.decision)
    print(calibration_table(run, steps))


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code."""

    def command(argv):
        parser = script_parser(__doc__, epilog_from=2)
        parser.add_argument("run", type=place, help="a run that takes titles")
        parser.add_argument("--data", type=place, required=True, help="its records")
        parser.add_argument("--name", default="fashion")
        parser.add_argument(
            "--test", action="store_true", help="score the test split too: once, when all is chosen"
        )
        options = parser.parse_args(argv)
        splits = ("validation", "test") if options.test else ("validation",)
        release(options.run, options.data, options.name, splits)

    return run_command(command, argv)


if __name__ == "__main__":
    sys.exit(main())
