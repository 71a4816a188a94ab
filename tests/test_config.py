"""Config: defaults, YAML, overrides, and what each mistake is answered with."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from fashion_keras.config import Config, load_config, parse_assignments
from fashion_keras.errors import UserError
from fashion_keras.models.registry import ARCHITECTURES

CONFIGS = sorted((Path(__file__).resolve().parents[1] / "configs").glob("*.yaml"))


@pytest.fixture
def write(tmp_path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "own.yaml"
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def refusal(path=None, overrides=None) -> str:
    with pytest.raises(UserError) as raised:
        load_config(path, overrides or {})
    message = str(raised.value)
    assert len(message.splitlines()) <= 2
    return message


def test_defaults_are_valid_and_are_what_a_missing_file_gives():
    assert load_config(None) == Config()


def test_a_file_overrides_defaults_and_options_override_the_file(write):
    path = write("training:\n  epochs: 7\n  seed: 3\n")
    config = load_config(path, {"training.epochs": 9, "model.arch": "resnet18"})
    assert (config.training.epochs, config.training.seed) == (9, 3)
    assert config.model.arch == "resnet18"
    assert config.training.batch_size == Config().training.batch_size


@pytest.mark.parametrize(
    "text", ["", "# nothing yet\n", "model:\n", "data:\n  auxiliary_labels:\n"]
)
def test_what_is_left_empty_keeps_its_defaults(write, text):
    assert load_config(write(text)) == Config()


def test_an_empty_section_takes_an_override(write):
    assert load_config(write("model:\n"), {"model.arch": "resnet18"}).model.arch == "resnet18"


@pytest.mark.parametrize(
    ("text", "line", "key"),
    [
        ("model:\n  arch: a\n  arch: b\n", 3, "arch"),
        ("model:\n  arch: a\ndata:\nmodel:\n", 4, "model"),
    ],
)
def test_a_key_that_stands_twice_is_refused(write, text, line, key):
    path = write(text)
    assert refusal(path) == f"{path}, line {line}: {key!r} stands here twice"


def test_saved_and_loaded_again_it_is_equal(tmp_path):
    config = load_config(
        None,
        {
            "data.label": "Größe",
            "data.auxiliary_labels": {"gender": 0.25},
            "data.image_size": [64, 48],
            "optimizer.learning_rate": 1e-5,
            "training.deterministic": True,
            "model.weights": "none",
        },
    )
    config.save(tmp_path / "config.yaml")
    assert load_config(tmp_path / "config.yaml") == config
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]


def test_the_saved_file_names_every_key(tmp_path):
    Config().save(tmp_path / "config.yaml")
    raw = yaml.safe_load((tmp_path / "config.yaml").read_text())
    assert {section: set(values) for section, values in raw.items()} == {
        section.name: {field.name for field in dataclasses.fields(section.default_factory)}
        for section in dataclasses.fields(Config)
    }


def test_a_config_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Config().training.epochs = 3


def test_labels_are_the_headline_then_the_auxiliary_ones_each_once():
    weights = {"gender": 0.5, "subCategory": 0.5, "season": 0.5}
    config = load_config(None, {"data.label": "subCategory", "data.auxiliary_labels": weights})
    assert config.labels == ("subCategory", "gender", "season")


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.name)
def test_committed_configs_load_and_name_a_registered_arch(path):
    assert load_config(path).model.arch in ARCHITECTURES


def test_there_is_a_committed_config_for_each_arch():
    assert {load_config(path).model.arch for path in CONFIGS} == set(ARCHITECTURES)


@pytest.mark.parametrize(
    ("text", "found", "nearest"),
    [
        ("model:\n  arhc: x\n", "model.arhc", "model.arch"),
        ("model:\n  epochs: 2\n", "model.epochs", "training.epochs"),
        ("modle:\n  arch: x\n", "modle.arch", "model.arch"),
        ("modle:\n", "modle", "model"),
        ("optimizer:\n  learningrate: 1\n", "optimizer.learningrate", "optimizer.learning_rate"),
    ],
    ids=["misspelt", "wrong section", "section misspelt", "empty section", "underscore"],
)
def test_unknown_key_in_a_file_names_the_file_and_the_nearest_key(write, text, found, nearest):
    path = write(text)
    assert refusal(path) == f"unknown key {found!r} in {path} (did you mean {nearest!r}?)"


@pytest.mark.parametrize(
    ("key", "nearest"),
    [
        ("epochs", "training.epochs"),
        ("optimiser.learning_rate", "optimizer.learning_rate"),
        ("training.epoch", "training.epochs"),
        ("data.auxiliary_labels.gender", "data.auxiliary_labels"),
    ],
)
def test_unknown_key_in_an_override_names_the_nearest_key(key, nearest):
    assert refusal(None, {key: 1}) == f"unknown key {key!r} (did you mean {nearest!r}?)"


def test_unknown_key_that_is_near_nothing_lists_what_there_is(write):
    message = refusal(write("shoes:\n  laces: 2\n"))
    assert message.endswith("expected one of data, model, optimizer, training, decision")
    assert "expected one of training.epochs, " in refusal(None, {"training": 3})


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("training.epochs", 0, "greater than or equal to 1"),
        ("training.epochs", 2.5, "valid integer"),
        ("training.epochs", True, "expected a number"),
        ("training.epochs", None, "valid integer"),
        ("training.epochs", "many", "valid integer"),
        ("training.seed", 2**31, "less than 2147483648"),
        ("training.early_stopping", -1, "greater than or equal to 0"),
        ("training.deterministic", "perhaps", "valid boolean"),
        ("optimizer.learning_rate", 0, "greater than 0"),
        ("optimizer.learning_rate", "fast", "valid number"),
        ("optimizer.learning_rate", True, "expected a number"),
        ("optimizer.learning_rate", float("inf"), "finite"),
        ("optimizer.weight_decay", float("nan"), "finite"),
        ("optimizer.ema", 1, "less than 1"),
        ("model.dropout", -0.1, "greater than or equal to 0"),
        ("model.arch", 18, "valid string"),
        ("data.resize", "strech", "'stretch', 'pad' or 'crop'"),
        ("data.image_size", [80], "[height, width]"),
        ("data.image_size", [80, 60, 3], "[height, width]"),
        ("data.image_size", 80, "[height, width]"),
        ("data.auxiliary_labels", ["gender"], "valid dictionary"),
    ],
)
def test_a_wrong_value_names_key_value_and_reason(tmp_path, key, value, reason):
    section, name = key.split(".")
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump({section: {name: value}}))
    message = refusal(path)
    assert message.startswith(f"{key} = {value!r} in {path}: ")
    assert reason in message


@pytest.mark.parametrize(
    ("overrides", "start"),
    [
        ({"data.image_size": [80, 8]}, "data.image_size.1 = 8: "),
        ({"data.auxiliary_labels": {"gender": 0}}, "data.auxiliary_labels.gender = 0: "),
    ],
)
def test_a_wrong_value_inside_a_value_is_named(overrides, start):
    assert refusal(None, overrides).startswith(start)


def test_a_wrong_override_is_not_blamed_on_the_file(write):
    path = write("training:\n  epochs: 3\n")
    assert refusal(path, {"training.epochs": 0}).startswith("training.epochs = 0: ")


@pytest.mark.parametrize("written", ["1e-3", "1E-3", "0.001", "'0.001'"])
def test_numbers_are_read_as_people_write_them(write, written):
    assert load_config(write(f"optimizer:\n  learning_rate: {written}\n")).optimizer == (
        dataclasses.replace(Config().optimizer, learning_rate=0.001)
    )


def test_whole_numbers_stay_whole(write):
    epochs = load_config(write("training:\n  epochs: 1e1\n")).training.epochs
    assert epochs == 10 and isinstance(epochs, int)


@pytest.mark.parametrize("text", ["- model\n", "3\n", "false\n", "just words\n"])
def test_a_file_without_sections_is_told_what_is_expected(write, text):
    path = write(text)
    expected = "expected sections (data, model, optimizer, training, decision) with keys below them"
    assert refusal(path) == f"{path}: {expected}"


def test_a_section_that_holds_no_keys_is_named(write):
    assert "'model' is followed by 'resnet18': expected sections" in refusal(
        write("model: resnet18\n")
    )


@pytest.mark.parametrize(
    ("text", "line"), [("training:\n\tepochs: 3\n", 2), ("model:\n  arch: a\n  b: c: d\n", 3)]
)
def test_malformed_yaml_names_file_and_line(write, text, line):
    path = write(text)
    assert refusal(path) == f"{path}, line {line}: not valid YAML"


def test_yaml_that_would_build_objects_is_refused(write, tmp_path):
    marker = tmp_path / "made"
    refusal(write(f"model: !!python/object/apply:os.mkdir ['{marker}']\n"))
    assert not marker.exists()


def test_text_in_another_encoding_names_the_file(write):
    path = write("data:\n  label: Größe\n".encode("latin-1"))
    assert refusal(path) == f"{path}: byte 17 is no UTF-8 text"


def test_a_missing_file_is_named(tmp_path):
    assert refusal(tmp_path / "no.yaml").startswith(f"{tmp_path}/no.yaml cannot be read: ")


@pytest.mark.parametrize(
    ("assignment", "key", "value"),
    [
        ("training.epochs=3", "training.epochs", 3),
        ("training.epochs = 3", "training.epochs", 3),
        ("data.image_size=[64, 48]", "data.image_size", [64, 48]),
        ("data.auxiliary_labels={gender: 0.5}", "data.auxiliary_labels", {"gender": 0.5}),
        ("training.deterministic=true", "training.deterministic", True),
        ("data.label=a=b", "data.label", "a=b"),
        ("data.label=2024", "data.label", "2024"),
        ("training.teacher=2024", "training.teacher", "2024"),
        ("training.teacher=[runs/a, runs/b]", "training.teacher", ["runs/a", "runs/b"]),
        ("data.records=007", "data.records", "007"),
        ("data.records=", "data.records", ""),
        ("data.records=1e3", "data.records", "1e3"),
        ("model.weights=C: 5%", "model.weights", "C: 5%"),
        ("model.weights='none'", "model.weights", "none"),
    ],
)
def test_assignments_are_yaml_except_where_the_key_holds_text(assignment, key, value):
    assert parse_assignments([assignment]) == {key: value}


def test_the_last_of_two_assignments_counts():
    assert parse_assignments(["training.epochs=3", "training.epochs=4"]) == {"training.epochs": 4}


def test_a_number_in_an_assignment_may_lack_its_dot():
    overrides = parse_assignments(["optimizer.learning_rate=1e-3"])
    assert load_config(None, overrides).optimizer.learning_rate == 0.001


@pytest.mark.parametrize("assignment", ["training.epochs", "training.epochs=[", "data.mixup=: :"])
def test_an_assignment_that_cannot_be_read_is_repeated(assignment):
    with pytest.raises(UserError) as raised:
        parse_assignments([assignment])
    assert str(raised.value).startswith(f"--set {assignment}: ")
