"""Teach a computer to sort a fashion shop's photos.

One function a step, as the command line has it. Example:

    import fashion_keras as fk

    fk.convert("archive.zip", "tfrecords/small")
    run = fk.train("tfrecords/small", recipe="resnet18")
    scores = fk.evaluate(run.path, "tfrecords/small", "validation")
    fk.export(run.path, "models", name="fashion")
    tags = fk.predict("photos/", "models/fashion")

And parts for a Keras script of one's own: `MacroF1`, `make_dataset`, `build_classifier`. Names are
loaded when they are first used: importing the package imports no TensorFlow.
"""

import importlib
import os
import sys
import types
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what `__getattr__` gives, for editors and type checkers
    from fashion_keras.audit import audit as audit
    from fashion_keras.calibrate import calibrate as calibrate
    from fashion_keras.compare import compare as compare
    from fashion_keras.config import Config as Config
    from fashion_keras.config import load_config as load_config
    from fashion_keras.convert import convert as convert
    from fashion_keras.data.pipeline import make_dataset as make_dataset
    from fashion_keras.errors import UserError as UserError
    from fashion_keras.evaluate import Evaluation as Evaluation
    from fashion_keras.evaluate import evaluate as evaluate
    from fashion_keras.export import export as export
    from fashion_keras.models.classifier import build_classifier as build_classifier
    from fashion_keras.predict import predict as predict
    from fashion_keras.progress import Reporter as Reporter
    from fashion_keras.retrain import retrain as retrain
    from fashion_keras.run import Run as Run
    from fashion_keras.run import load_model as load_model
    from fashion_keras.run import load_run as load_run
    from fashion_keras.train import train as train
    from fashion_keras.training.macro_f1 import MacroF1 as MacroF1

__version__ = "0.1.0"

# TensorFlow switches its oneDNN kernels on by itself only for CPUs with AVX-512 VNNI; on an
# AVX2 CPU they train ResNet18 2.2 times as fast (docs/performance.md). Whoever has set the
# variable keeps their choice. The log level hides TensorFlow's start-up notes, not its errors.
if "tensorflow" in sys.modules and "TF_ENABLE_ONEDNN_OPTS" not in os.environ:
    import logging

    logging.getLogger("fashion_keras").warning(
        "TensorFlow was imported before fashion_keras: on some CPUs it trains half as fast. "
        "Import fashion_keras first, or set TF_ENABLE_ONEDNN_OPTS=1"
    )
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

# Each step is a function in a module of the same name, which is also its command.
_STEPS = (
    *("convert", "train", "retrain", "calibrate", "evaluate", "compare", "audit"),
    *("export", "predict"),
)
_NAMES = {
    **{name: f"fashion_keras.{name}" for name in _STEPS},
    "Config": "fashion_keras.config",
    "Evaluation": "fashion_keras.evaluate",
    "MacroF1": "fashion_keras.training.macro_f1",
    "Reporter": "fashion_keras.progress",
    "Run": "fashion_keras.run",
    "UserError": "fashion_keras.errors",
    "build_classifier": "fashion_keras.models.classifier",
    "load_config": "fashion_keras.config",
    "load_model": "fashion_keras.run",
    "load_run": "fashion_keras.run",
    "make_dataset": "fashion_keras.data.pipeline",
}
__all__ = [*_NAMES, "__version__"]


if not TYPE_CHECKING:  # for which any name would be right

    def __getattr__(name: str):
        if name not in _NAMES:
            raise AttributeError(f"module 'fashion_keras' has no attribute {name!r}")
        found = getattr(importlib.import_module(_NAMES[name]), name)
        globals()[name] = found
        return found


def __dir__() -> list[str]:
    return sorted(__all__)


class _Package(types.ModuleType):
    """The package, whose steps stay functions when their modules are imported.

    Python puts an imported submodule into its package under its name: after
    `import fashion_keras.train`, `fashion_keras.train` would be the module.
    """

    def __setattr__(self, name, value):
        if name in _STEPS and isinstance(value, types.ModuleType):
            return
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
