"""The manifests of docs/kubernetes: by the schemas of what reads them, and by our own options."""

import contextlib
import copy
import io
import json
import re
from pathlib import Path

import jsonschema
import pytest
import yaml

from fashion_keras.convert import parser as convert_parser
from fashion_keras.predict import _parser as predict_parser
from fashion_keras.train import parser as train_parser

HERE = Path(__file__).parent
MANIFESTS = HERE.parents[1] / "docs/kubernetes"
PARSERS = {"convert": convert_parser, "predict": predict_parser, "train": train_parser}


def manifest(name):
    return yaml.safe_load((MANIFESTS / f"{name}.yaml").read_text(encoding="utf-8"))


def check(found, name):
    """Raise unless the custom resource's definition takes it, and knows each of its fields."""
    schema = json.loads((HERE / f"{name}.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(found)


def pods(found):
    """Yield the pod of each template in a manifest."""
    for key, value in found.items() if isinstance(found, dict) else enumerate(found):
        if key == "template":
            yield value["spec"]
        elif isinstance(value, dict | list):
            yield from pods(value)


@pytest.mark.parametrize("name", ["rayjob", "tfjob"])
def test_a_manifest_is_what_its_operator_takes(name):
    check(manifest(name), name)


@pytest.mark.parametrize(
    ("name", "where", "value"),
    [
        ("rayjob", ("spec", "entrypoints"), "fashion-keras"),
        ("rayjob", ("spec", "backoffLimit"), "2"),
        ("rayjob", ("spec", "rayClusterSpec", "headGroupSpec", "template"), None),
        ("tfjob", ("spec", "tfReplicaSpecs", "Worker", "replica"), 4),
        ("tfjob", ("spec", "tfReplicaSpecs", "Worker", "replicas"), "four"),
        ("tfjob", ("kind",), "TFJobs"),
    ],
)
def test_what_no_operator_takes_is_found(name, where, value):
    found = copy.deepcopy(manifest(name))
    within = found
    for key in where[:-1]:
        within = within[key]
    within[where[-1]] = value
    with pytest.raises(jsonschema.ValidationError):
        check(found, name)


@pytest.mark.parametrize("name", ["rayjob", "tfjob"])
def test_every_pod_sees_the_volume_that_the_command_works_on(name):
    found = manifest(name)
    text = (MANIFESTS / f"{name}.yaml").read_text(encoding="utf-8")
    for pod in pods(found):
        volumes = {volume["name"] for volume in pod["volumes"]}
        for container in pod["containers"]:
            assert {mount["name"] for mount in container["volumeMounts"]} == volumes
            assert {mount["mountPath"] for mount in container["volumeMounts"]} == {"/data"}
    assert len(list(pods(found))) == {"rayjob": 2, "tfjob": 1}[name]
    assert set(re.findall(r"(?<=[ =])/\w+", text)) == {"/data"}


def commands():
    """Return the arguments of each fashion-keras command in the manifests."""
    for path in sorted(MANIFESTS.glob("*.yaml")):
        lines = path.read_text(encoding="utf-8").replace("#     ", "      ").splitlines()
        for number, line in enumerate(lines):
            if match := re.search(r"fashion-keras (convert|predict|train)( .*)", line):
                words = match[2].split()
                for more in lines[number + 1 :]:  # its further lines begin with an option
                    if not more.strip().startswith("--"):
                        break
                    words += more.split()
                yield pytest.param(match[1], words, id=f"{path.stem}-{match[1]}-{number}")


@pytest.mark.parametrize(("command", "words"), commands())
def test_their_commands_have_the_options_that_we_have(command, words):
    with contextlib.redirect_stderr(io.StringIO()) as said:
        try:
            PARSERS[command]().parse_args(words)
        except SystemExit:
            pytest.fail(said.getvalue())
