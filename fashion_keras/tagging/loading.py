"""A version folder or a server's address in; the model behind it out.

Imports neither TensorFlow nor gRPC until a model asks for them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from fashion_keras.errors import UserError
from fashion_keras.quiet import load_tensorflow
from fashion_keras.serving.layout import SAVED_MODEL_FILE
from fashion_keras.serving.local import is_run
from fashion_keras.tagging.batches import Model
from fashion_keras.tagging.retries import Retries


def load_local(path: Path, labels: Sequence[str] | None = None, titles: bool = False) -> Model:
    """Load a run, a SavedModel, LiteRT or ONNX model; `UserError` where it cannot be.

    `labels` are those that are wanted, in this order, None for all; `titles` says whether products
    have titles.
    """
    load_tensorflow()
    from fashion_keras.tagging.client import LocalModel, SmallModel

    is_small = not is_run(path) and not (path / SAVED_MODEL_FILE).is_file()
    return (SmallModel if is_small else LocalModel)(path, labels, titles)


_REST = re.compile(r"https?://[^/\s]+(/[^?#\s]*)?")
_GRPC = re.compile(r"grpc://([^/\s]+:\d+)/?")


def check_address(url: str) -> None:
    """Raise `UserError` where `url` is no server's address."""
    if _GRPC.fullmatch(url) or (_REST.fullmatch(url) and "/v1/" not in f"{url}/"):
        return
    raise UserError(
        f"--server {url}: expected http://HOST:8501 (REST) or grpc://HOST:8500, and the model by "
        "--name"
    )


def connect(
    url: str,
    name: str,
    retries: Retries,
    connections: int,
    known: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    titles: bool = False,
) -> Model:
    """Return the model `name` of the server at `url`; it has a `close` of its own.

    `known` are the model's labels, the headline's first, where they are known; `labels` those
    that are wanted, in this order, all by default; `titles` says whether products have titles.
    Raises `UserError` where the server does not
    answer, has no such model or label, or a model of another kind.
    """
    if grpc := _GRPC.fullmatch(url):
        load_tensorflow()  # whose messages these are
        from fashion_keras.tagging.grpc_client import GrpcModel

        return GrpcModel(grpc[1], name, retries, known, labels, titles)
    from fashion_keras.tagging.rest_client import RestModel

    return RestModel(url, name, retries, connections, known, labels, titles)
