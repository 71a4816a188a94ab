"""Photo bytes in; their best classes and scores by TF Serving's REST API, out.

https://www.tensorflow.org/tfx/serving/api_rest. Imports no TensorFlow.
"""

from __future__ import annotations

import base64
from urllib.parse import quote

import requests

from fashion_keras.errors import UserError
from fashion_keras.serving.layout import SIGNATURES
from fashion_keras.tagging.batches import BatchRefused
from fashion_keras.tagging.server_api import Retries, ServerApi, Unavailable

# Seconds to connect, and to wait for an answer: the first request to a model may load it.
_TIMEOUT = (5, 120)
_LATER = (408, 425, 429, 500, 502, 503, 504)
_NOT_THESE = (400, 413)  # what the server says of these photos, not of all


class RestApi(ServerApi):
    """TF Serving's REST API for the model `name`, at `http://HOST:8501`, as far as `/v1`.

    `connections` is how many requests are in flight at most.
    """

    kind = "REST"

    def __init__(self, url: str, name: str, retries: Retries, connections: int):
        self.address = f"{url.rstrip('/')}/v1/models/{quote(name, safe='')}"
        self._url, self._name, self._retries = url, name, retries
        self._session = requests.Session()
        adapter = requests.adapters.HTTPAdapter(pool_maxsize=connections, pool_block=True)
        self._session.mount(self.address, adapter)

    def signatures(self):
        status, body = self._retries.call(lambda: self._send("GET", "/metadata"))
        if status == 404:
            raise UserError(
                f"{self._url} has no model {self._name!r} ({_told(body)}): check --name"
            )
        self._check(status, body)
        try:
            found = body["metadata"]["signature_def"]["signature_def"]
            return {name: (set(one["inputs"]), set(one["outputs"])) for name, one in found.items()}
        except (AttributeError, KeyError, TypeError):
            raise self.foreign("it has no signatures") from None

    def predict(self, sees, given, outputs):
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
            return {name: [row[name] for row in body["predictions"]] for name in outputs}
        except (KeyError, TypeError) as error:
            raise self.foreign(f"its answer lacks {error}") from error

    def close(self) -> None:
        self._session.close()

    def _send(self, method, path, body=None):
        """Return the status and the JSON of an answer; Unavailable where there is none."""
        try:
            response = self._session.request(
                method, self.address + path, json=body, timeout=_TIMEOUT, allow_redirects=False
            )
        except requests.Timeout as error:
            raise Unavailable("no answer in time") from error
        except requests.ConnectionError as error:
            raise Unavailable(_cause(error)) from error
        except requests.exceptions.ChunkedEncodingError as error:
            raise Unavailable("its answer broke off") from error
        except requests.RequestException as error:
            raise UserError(f"{self.address}: {error}") from error
        if response.status_code in _LATER:
            raise Unavailable(f"status {response.status_code} {response.reason}")
        try:
            return response.status_code, response.json()
        except ValueError:
            return response.status_code, response.text

    def _check(self, status, body):
        if status != 200:
            raise self.foreign(f"status {status}, {_told(body)}")
        if not isinstance(body, dict):
            raise self.foreign("it answers with no JSON")


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
