import json

import pytest

from fashion_keras.errors import UserError
from fashion_keras.training.distribution import Processes, read_processes

KERAS = ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")


def of_tensorflow(cluster, kind, index):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def of_keras(*values):
    names = (f"KERAS_DISTRIBUTION_{name}" for name in KERAS)
    return {name: value for name, value in zip(names, values, strict=True) if value is not None}


def test_without_either_it_is_alone_and_writes():
    alone = read_processes({"PATH": "/bin", "TF_CONFIG": ""})
    assert alone == Processes() and alone.is_writer


@pytest.mark.parametrize(
    ("cluster", "kind", "index", "expected"),
    [
        ({"worker": ["a:1", "b:2"]}, "worker", 1, Processes(2, 1, ("a:1", "b:2"))),
        ({"chief": ["c:3"], "worker": ["a:1"]}, "worker", 0, Processes(2, 1, ("c:3", "a:1"))),
        ({"chief": ["c:3"], "worker": ["a:1"]}, "chief", 0, Processes(2, 0, ("c:3", "a:1"))),
        ({"worker": ["a:1"]}, "worker", 0, Processes(1, 0, ("a:1",))),
        ({}, "worker", 0, Processes()),
    ],
)
def test_tf_config_numbers_them_as_tensorflow_does(cluster, kind, index, expected):
    assert read_processes(of_tensorflow(cluster, kind, index)) == expected


def test_keras_names_them_by_variables_the_first_ones_address_being_enough():
    assert read_processes(of_keras("a:1", "4", "3")) == Processes(4, 3, ("a:1",))
    assert read_processes(of_keras("a:1,b:2", None, "0")) == Processes(2, 0, ("a:1", "b:2"))


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"TF_CONFIG": "{"}, "TF_CONFIG cannot be read"),
        ({"TF_CONFIG": "[]"}, "TF_CONFIG cannot be read"),
        (of_tensorflow({"worker": ["a:1"], "ps": ["p:1"]}, "worker", 0), "parameter servers"),
        (of_tensorflow({"worker": ["a:1"]}, "evaluator", 0), "'evaluator'"),
        (of_tensorflow({"worker": ["a:1"]}, "worker", 1), "this is none: worker 1"),
        (of_keras("a:1", "2", None), "KERAS_DISTRIBUTION_PROCESS_ID="),
        (of_keras("a:1", "2", "2"), "the number of this one, from 0"),
        (of_keras("a:1,b:1", "3", "0"), "KERAS_DISTRIBUTION_NUM_PROCESSES=3"),
        (of_keras(None, "2", "0"), "expected the address host:port"),
    ],
)
def test_what_names_no_processes_is_refused_in_two_lines(environment, said):
    with pytest.raises(UserError) as raised:
        read_processes(environment)
    assert said in str(raised.value)
    assert len(str(raised.value).splitlines()) <= 2
