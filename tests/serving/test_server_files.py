"""The files that TF Serving and Docker read: right, complete, and nobody's work overwritten."""

import argparse
import re

import pytest
import yaml
from google.protobuf import text_format

from fashion_keras.serving.server_files import (
    MAX_BATCH_SIZE,
    model_name,
    models_config,
    write_server_files,
)


def add_model(folder, name, version=1):
    (folder / name / str(version)).mkdir(parents=True)
    (folder / name / str(version) / "saved_model.pb").write_bytes(b"")


def parsed(folder):
    config = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    message = text_format.Parse(
        (folder / "models.config").read_text("utf-8"), config.ModelServerConfig()
    )
    return [(m.name, m.base_path, m.model_platform) for m in message.model_config_list.config]


def test_models_config_lists_every_model_and_nothing_else(tmp_path):
    add_model(tmp_path, "shop", 3)
    add_model(tmp_path, "fashion")
    (tmp_path / "photos").mkdir()
    (tmp_path / "half" / "1").mkdir(parents=True)
    assert write_server_files(tmp_path) == []
    assert parsed(tmp_path) == [
        ("fashion", "/models/fashion", "tensorflow"),
        ("shop", "/models/shop", "tensorflow"),
    ]


def test_a_further_model_is_added(tmp_path):
    add_model(tmp_path, "shop")
    write_server_files(tmp_path)
    add_model(tmp_path, "fashion")
    assert write_server_files(tmp_path) == []
    assert [name for name, *_ in parsed(tmp_path)] == ["fashion", "shop"]


def test_an_edited_models_config_is_kept_and_what_it_lacks_is_told(tmp_path):
    add_model(tmp_path, "shop")
    edited = models_config(["shop"]) + "# ours\n"
    (tmp_path / "models.config").write_text(edited)
    assert write_server_files(tmp_path) == []
    add_model(tmp_path, "fashion")
    (sentence,) = write_server_files(tmp_path)
    assert 'config { name: "fashion" base_path: "/models/fashion"' in sentence
    assert (tmp_path / "models.config").read_text() == edited


@pytest.mark.parametrize("name", ["docker-compose.yml", "batching_parameters.txt"])
def test_a_file_that_is_there_is_kept(tmp_path, name):
    add_model(tmp_path, "shop")
    (tmp_path / name).write_text("precious")
    write_server_files(tmp_path)
    assert (tmp_path / name).read_text() == "precious"


def test_compose_serves_rest_and_grpc_from_the_official_image(tmp_path):
    add_model(tmp_path, "shop")
    write_server_files(tmp_path)
    compose = yaml.safe_load((tmp_path / "docker-compose.yml").read_text("utf-8"))
    (service,) = compose["services"].values()
    assert service["image"] == "tensorflow/serving"
    assert service["ports"] == ["8501:8501", "8500:8500"]
    assert service["volumes"] == [".:/models:ro"]
    options = dict(word.removeprefix("--").split("=") for word in service["command"])
    assert options["enable_batching"] == "true"
    for option, name in (
        ("model_config_file", "models.config"),
        ("batching_parameters_file", "batching_parameters.txt"),
    ):
        assert options[option] == f"/models/{name}"
        assert (tmp_path / name).is_file()


def test_batching_parameters_are_fields_of_the_message(tmp_path):
    # BatchingParameters is not among the messages that tensorflow-serving-api brings:
    # session_bundle_config.proto, each field an Int64Value.
    add_model(tmp_path, "shop")
    write_server_files(tmp_path)
    lines = (tmp_path / "batching_parameters.txt").read_text("utf-8").splitlines()
    found = [re.fullmatch(r"(\w+) { value: (\d+) }", line) for line in lines if line[0] != "#"]
    fields = {match[1]: int(match[2]) for match in found}
    assert fields.keys() == {
        "max_batch_size",
        "batch_timeout_micros",
        "max_enqueued_batches",
        "num_batch_threads",
    }
    assert fields["max_batch_size"] == MAX_BATCH_SIZE


@pytest.mark.parametrize("name", ["fashion", "shop-2024", "a.b_c", "7even"])
def test_a_name_may_hold_letters_digits_and_a_few_signs(name):
    assert model_name(name) == name


@pytest.mark.parametrize("name", ["", "12", "a/b", "..", "-x", "a b", 'a"b', "é"])
def test_other_names_are_refused(name):
    with pytest.raises(argparse.ArgumentTypeError, match="no model name"):
        model_name(name)
