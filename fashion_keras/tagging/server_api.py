"""What TF Serving's two APIs have in common, and how one that does not answer is asked again."""

from __future__ import annotations

import abc
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TypeVar

from fashion_keras.errors import UserError

_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0  # seconds
T = TypeVar("T")


class Unavailable(Exception):
    """A server cannot answer now; its message says why. A later try may succeed."""


class Retries:
    """Calls again after 0.5, 1, 2, 4 … seconds, at most 30.

    Args:
        count: how often to call again.
        server: what the server is called in the error.
        tell: is told of each failure in a line, once for calls that wait at the same time.
    """

    def __init__(self, count: int, server: str, tell: Callable[[str], None]):
        self._count, self._server, self._tell = count, server, tell
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._told = 0

    def call(self, function: Callable[[], T]) -> T:
        """Return what `function` returns; `UserError` where it is Unavailable to the last."""
        reason, attempt = "stopped", 0
        for attempt in range(self._count + 1):
            if self._stopped.is_set():
                break
            try:
                result = function()
            except Unavailable as unavailable:
                reason = str(unavailable)
            else:
                self._told = 0
                return result
            if attempt < self._count:
                wait = min(_FIRST_WAIT * 2**attempt, _LONGEST_WAIT)
                self._say(attempt + 1, f"{self._server}: {reason}; trying again in {wait:g} s")
                if self._stopped.wait(wait):
                    break
        raise UserError(
            f"{self._server} does not answer: {reason} (tries: {attempt + 1}).\n"
            "Start TF Serving there, or check the address"
        )

    def stop(self) -> None:
        """Have calls that wait give up at once."""
        self._stopped.set()

    def _say(self, failures, line):
        with self._lock:
            if failures <= self._told:
                return
            self._told = failures
        self._tell(line)


class ServerApi(abc.ABC):
    """A model's API; what it is asked raises `UserError` where the server does not answer as ours.

    Attributes:
        kind: `REST` or `gRPC`.
        address: what the model is called in errors.
    """

    kind: str
    address: str

    @abc.abstractmethod
    def signatures(self) -> Mapping[str, tuple[Collection[str], Collection[str]]]:
        """Return the names of what each signature takes and gives, by its name."""

    @abc.abstractmethod
    def predict(
        self, sees: str, given: Sequence[Sequence], outputs: Sequence[str]
    ) -> Mapping[str, Sequence]:
        """Return the rows of some outputs by their names; BatchRefused for a batch as a whole."""

    @abc.abstractmethod
    def close(self) -> None:
        """Close the connection."""

    def foreign(self, reason: str) -> UserError:
        """Return the error of a server that is not as expected."""
        return UserError(
            f"{self.address} is not as expected: {reason}.\n"
            f"Expected TF Serving's {self.kind} API with a model that fashion-keras export has made"
        )
