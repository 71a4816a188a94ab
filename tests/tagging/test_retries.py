"""Waits double, end, and are told of."""

import pytest

from fashion_keras.errors import UserError
from fashion_keras.tagging.server_api import Retries, Unavailable


class Patient(Retries):
    """Retries that note their waits and do not wait."""

    def __init__(self, count):
        self.told, self.waits = [], []
        super().__init__(count, "http://shop:8501", self.told.append)
        self._stopped.wait = self.waits.append


def failing(times):
    """A call that fails so often before it returns."""
    left = [Unavailable("connection refused")] * times

    def call():
        if left:
            raise left.pop()
        return "answer"

    return call


def test_a_call_that_succeeds_is_made_once():
    retries = Patient(3)
    assert retries.call(failing(0)) == "answer"
    assert (retries.waits, retries.told) == ([], [])


def test_waits_double_up_to_half_a_minute():
    retries = Patient(9)
    assert retries.call(failing(9)) == "answer"
    assert retries.waits == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]
    assert retries.told[1] == "http://shop:8501: connection refused; trying again in 1 s"


def test_patience_ends_with_what_to_do():
    with pytest.raises(UserError) as error:
        Patient(2).call(failing(5))
    assert "http://shop:8501 does not answer: connection refused (tries: 3)" in str(error.value)
    assert "Start TF Serving" in str(error.value)
    assert len(str(error.value).splitlines()) == 2


def test_other_errors_are_not_tried_again():
    def broken():
        raise ValueError("ours")

    retries = Patient(3)
    with pytest.raises(ValueError, match="ours"):
        retries.call(broken)
    assert retries.waits == []


def test_a_stop_ends_the_wait():
    retries = Retries(9, "http://shop:8501", lambda line: retries.stop())
    with pytest.raises(UserError, match="tries: 1"):
        retries.call(failing(9))


def test_after_a_stop_nothing_is_tried():
    retries = Retries(9, "http://shop:8501", lambda line: None)
    retries.stop()
    with pytest.raises(UserError, match="stopped"):
        retries.call(lambda: pytest.fail("tried"))
