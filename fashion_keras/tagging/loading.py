"""A version folder or a server's address in; the model behind it out.

Imports neither TensorFlow nor gRPC until a model asks for them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from fashion_keras.errors import UserError
from fashion_keras.quiet import load_tensorflow
from fashion_keras.serving.layout import SAVED_MODEL_FILE, SIGNATURES, is_run
from fashion_keras.tagging.batches import (
    Answer,
    Model,
    answer_of,
    heads_of,
    missing,
    no_titles,
    output_names,
    served_labels,
)
from fashion_keras.tagging.server_api import Retries, ServerApi


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
    Raises `UserError` where the server does not answer, has no such model or label, or a model of
    another kind.
    """
    api: ServerApi
    if grpc := _GRPC.fullmatch(url):
        load_tensorflow()  # whose messages these are
        from fashion_keras.tagging.grpc_client import GrpcApi

        api = GrpcApi(grpc[1], name, retries)
    else:
        from fashion_keras.tagging.rest_client import RestApi

        api = RestApi(url, name, retries, connections)
    return _ServedModel(api, retries, known, labels, titles)


class _ServedModel:
    """A model of ours behind TF Serving."""

    def __init__(self, api: ServerApi, retries: Retries, known, labels, titles: bool):
        self._api, self._retries = api, retries
        found = api.signatures()
        _, outputs = found.get(SIGNATURES["photo"].name, ((), ()))
        self.heads = heads_of(known or served_labels(outputs), labels)
        for sees in SIGNATURES if titles else ("photo",):
            name = SIGNATURES[sees].name
            if name not in found and sees != "photo":
                raise no_titles(api.address)
            if name not in found:
                raise api.foreign(f"it has no {name}")
            if lost := missing(self.heads, sees, *found[name]):
                raise api.foreign(f"its {name} has no {', '.join(lost)}")
        self._outputs = output_names(self.heads)

    def ask(self, sees: str, *given: Sequence[bytes] | Sequence[str]) -> Answer:
        """Classify products; BatchRefused where the server refuses them as a batch."""
        found = self._api.predict(sees, given, self._outputs)
        for rows in found.values():
            if len(rows) != len(given[0]):
                raise self._api.foreign(f"it answers {len(given[0])} photos with {len(rows)} rows")
        return answer_of(self.heads, found)

    def close(self) -> None:
        """Close the connection, and end waits for a server that does not answer."""
        self._retries.stop()
        self._api.close()
