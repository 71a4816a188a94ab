"""Photo bytes in; their best classes and scores by TF Serving's REST API, out.

https://www.tensorflow.org/tfx/serving/api_rest. Imports no TensorFlow.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from urllib.parse import quote

import requests

from fashion_keras.errors import UserError
from fashion_keras.serving.layout import SIGNATURES
from fashion_keras.tagging.batches import Answer, BatchRefused
from fashion_keras.tagging.outputs import (
    VALID,
    check_signatures,
    heads_of,
    served_labels,
)
from fashion_keras.tagging.retries import Retries, Unavailable

# Seconds to connect, and to wait for an answer: the first request to a model may load it.
_TIMEOUT = (5, 120)
_LATER = (408, 425, 429, 500, 502, 503, 504)
_NOT_THESE = (400, 413)  # what the server says of these photos, not of all


class RestModel:
    """A model of ours behind TF Serving's REST API.

    Args:
        url: `http://HOST:8501`, as far as `/v1`.
        name: of the model.
        retries: what is done when the server does not answer.
        connections: how many requests are in flight at most.
        known: the model's labels, the headline's first; None takes what the server tells.
        labels: those that are wanted, in this order; None for all.
        titles: whether products have titles.

    Raises `UserError` where the server does not answer, or has no such model of ours or label, or
    takes no titles.
    """

    def __init__(
        self,
        url: str,
        name: str,
        retries: Retries,
        connections: int,
        known: Sequence[str] | None = None,
        labels: Sequence[str] | None = None,
        titles: bool = False,
    ):
        self._url = f"{url.rstrip('/')}/v1/models/{quote(name, safe='')}"
        self._retries = retries
        self._session = requests.Session()
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=connections, pool_block=True)
        self._session.mount(self._url, adapter)
        status, body = retries.call(lambda: self._send("GET", "/metadata"))
        if status == 404:
            raise UserError(f"{url} has no model {name!r} ({_told(body)}): check --name")
        self._check(status, body)
        found = self._signatures(body)
        _, outputs = found.get(SIGNATURES["photo"].name, ((), ()))
        self.heads = heads_of(known or served_labels(outputs), labels)
        check_signatures(self.heads, titles, found, self._url, self._foreign)

    def ask(self, sees: str, *given: Sequence[bytes] | Sequence[str]) -> Answer:
        """Classify products; BatchRefused where the server refuses them as a batch."""
        signature = SIGNATURES[sees]
        columns = [[*map(_as_json, values)] for values in given]
        # A single input's values may stand for themselves.
        instances = [
            row[0] if len(row) == 1 else dict(zip(signature.inputs, row, strict=True))
            for row in zip(*columns, strict=True)
        ]
        request = {"signature_name": signature.name, "instances": instances}
        status, body = self._retries.call(lambda: self._send("POST", ":predict", request))
        if status in _NOT_THESE:
            raise BatchRefused(f"refused by the server: {_told(body)}")
        self._check(status, body)
        try:
            answers = body["predictions"]
            labels = {
                head.label: (
                    [row[head.classes] for row in answers],
                    [row[head.scores] for row in answers],
                )
                for head in self.heads
            }
            answer = Answer(labels, [row[VALID] for row in answers])
        except (KeyError, TypeError) as error:
            raise self._foreign(f"its answer lacks {error}") from error
        if len(answers) != len(instances):
            raise self._foreign(f"it answers {len(instances)} photos with {len(answers)} rows")
        return answer

    def close(self) -> None:
        """Close the connections, and end waits for a server that does not answer."""
        self._retries.stop()
        self._session.close()

    def _send(self, method, path, body=None):
        """Return the status and the JSON of an answer; Unavailable where there is none."""
        try:
            response = self._session.request(
                method, self._url + path, json=body, timeout=_TIMEOUT, allow_redirects=False
            )
        except requests.Timeout as error:
            raise Unavailable("no answer in time") from error
        except requests.ConnectionError as error:
            raise Unavailable(_cause(error)) from error
        except requests.exceptions.ChunkedEncodingError as error:
            raise Unavailable("its answer broke off") from error
        except requests.RequestException as error:
            raise UserError(f"{self._url}: {error}") from error
        if response.status_code in _LATER:
            raise Unavailable(f"status {response.status_code} {response.reason}")
        try:
            return response.status_code, response.json()
        except ValueError:
            return response.status_code, response.text

    def _check(self, status, body):
        if status != 200:
            raise self._foreign(f"status {status}, {_told(body)}")
        if not isinstance(body, dict):
            raise self._foreign("it answers with no JSON")

    def _signatures(self, body):
        """Return what each signature takes and gives, by name, as the server tells it."""
        try:
            found = body["metadata"]["signature_def"]["signature_def"]
            return {name: (set(one["inputs"]), set(one["outputs"])) for name, one in found.items()}
        except (AttributeError, KeyError, TypeError):
            raise self._foreign("it has no signatures") from None

    def _foreign(self, reason):
        return UserError(
            f"{self._url} is not as expected: {reason}.\n"
            "Expected TF Serving's REST API with a model that fashion-keras export has made"
        )


def _as_json(value: bytes | str) -> dict[str, str] | str:
    return value if isinstance(value, str) else {"b64": base64.b64encode(value).decode("ascii")}


def _told(body) -> str:
    text = body.get("error", body) if isinstance(body, dict) else body
    return " ".join(str(text).split())[:160] or "no reason given"


def _cause(error: BaseException) -> str:
    """Return what the system says; requests and urllib3 wrap it several times."""
    while not isinstance(error, OSError) or not error.strerror:
        inner = error.__cause__ or error.__context__
        if inner is None:
            return "cannot connect"
        error = inner
    return error.strerror.lower()
