import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from test_results_table import load_script

from fashion_keras.cli import main
from fashion_keras.config import RECIPES, Config, about, load_config, recipe_names, recipe_path
from fashion_keras.errors import UserError
from fashion_keras.models.registry import ARCHITECTURES

ROOT = Path(__file__).resolve().parents[1]
FILES = [*RECIPES.glob("*.yaml"), *(ROOT / "configs").glob("*.yaml")]


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_is_a_config_of_a_known_network_and_says_what_it_is_for(name):
    assert load_config(recipe_path(name)).model.arch in ARCHITECTURES
    assert about(name)["purpose"]


@pytest.mark.parametrize("name", [name for name in recipe_names() if "run" in about(name)])
def test_a_recipes_figures_are_those_of_its_run(name):
    said = about(name)
    with open(ROOT / "docs" / "results" / "results.csv", newline="", encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["run"] == said["run"]]
    (row,) = (row for row in rows if row["label"] == "subCategory")
    assert said["minutes"] == round(float(row["minutes"]))
    assert said["test"] == f"{row['accuracy']} / {row['macro_f1']}"
    assert said["validation"] == f"{row['validation_accuracy']} / {row['validation_macro_f1']}"
    assert row["hardware"].startswith(said["hardware"].partition(",")[0])


@pytest.mark.parametrize("name", ["resnet18", "resnet18-quick", "efficientnetb0"])
def test_a_stored_run_has_the_config_of_its_recipe(name):
    stored = load_config(ROOT / "docs" / "results" / about(name)["run"] / "config.yaml").to_dict()
    made = load_config(recipe_path(name)).to_dict()
    # What the command line and the machine add.
    for section, key in (
        ("data", "records"),
        ("model", "weights"),
        ("training", "teacher"),
        ("training", "precision"),
    ):
        del stored[section][key], made[section][key]
    assert made == stored


def test_a_file_holds_what_differs_from_its_bases(tmp_path):
    write(tmp_path / "shop.yaml", "base: resnet18\ndata: {label: category, auxiliary_labels: {}}\n")
    file = write(
        tmp_path / "big.yaml", "base: shop.yaml\ndata: {image_size: [160, 120]}\nabout: x\n"
    )
    found, recipe = load_config(file), load_config(recipe_path("resnet18"))
    assert found.data.label == "category" and found.data.auxiliary_labels == {}
    assert found.data.image_size == (160, 120)
    assert (found.data.mixup, found.training) == (recipe.data.mixup, recipe.training)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("base: resnet81", r"unknown recipe 'resnet81' \(did you mean 'resnet18'\?\)"),
        ("base: ../resnet18", "unknown recipe"),
        ("base: other.yaml", r"other\.yaml cannot be read"),
        ("base: mine.yaml", "is based on itself"),
        ("base: 3", "base 3: expected a recipe's name or a file"),
    ],
)
def test_a_base_that_cannot_be_is_a_line(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        load_config(write(tmp_path / "mine.yaml", text))


def test_the_list_names_every_recipe_with_its_scores(capsys):
    assert main(["recipes"]) == 0
    shown = capsys.readouterr().out
    for name in recipe_names():
        assert f"{name}: {about(name)['purpose']}" in shown
    assert about("resnet18")["test"] in shown


def test_a_printed_recipe_is_the_same_config_again(tmp_path, capsys):
    assert main(["recipes", "resnet18-enlarged"]) == 0
    file = write(tmp_path / "printed.yaml", capsys.readouterr().out)
    assert load_config(file) == load_config(recipe_path("resnet18-enlarged"))


def test_train_prints_the_config_that_recipe_and_options_come_to(tmp_path, capsys):
    options = ["--recipe", "resnet18", "--label", "gender", "--set", "training.epochs=5"]
    assert main(["train", *options, "--print-config"]) == 0
    file = write(tmp_path / "printed.yaml", capsys.readouterr().out)
    asked = {"data.label": "gender", "training.epochs": 5}
    assert load_config(file) == load_config(recipe_path("resnet18"), asked)


def test_an_unknown_recipe_is_a_line(capsys):
    assert main(["train", "--recipe", "resnet81"]) == 2
    assert "did you mean 'resnet18'?" in capsys.readouterr().err


def test_the_reference_is_that_of_the_code():
    script = load_script("config_reference")
    assert (ROOT / "docs" / "config.md").read_text(encoding="utf-8") == script.page()
    stored = json.loads((ROOT / "docs" / "config.schema.json").read_text(encoding="utf-8"))
    assert stored == script.schema()


def test_every_key_is_described():
    made = load_script("config_reference").schema()
    defined = [made["$defs"][f"{name}Config"] for name in ("Data", "Model", "Optimizer")]
    assert all(field["description"] for part in defined for field in part["properties"].values())
    keys = {section: set(values) for section, values in Config().to_dict().items()}
    names = {"data": "DataConfig", "decision": "DecisionConfig", "training": "TrainingConfig"}
    for section, name in names.items():
        assert set(made["$defs"][name]["properties"]) == keys[section]


@pytest.mark.parametrize("file", FILES, ids=lambda path: path.name)
def test_an_editor_accepts_every_config_by_the_schema(file):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "docs" / "config.schema.json").read_text(encoding="utf-8"))
    jsonschema.validate(yaml.safe_load(file.read_text(encoding="utf-8")), schema)


@pytest.mark.parametrize("text", ["optimiser: {}", "training: {epoch: 3}", "training: {epochs: 0}"])
def test_an_editor_marks_what_the_loader_refuses(tmp_path, text):
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads((ROOT / "docs" / "config.schema.json").read_text(encoding="utf-8"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(yaml.safe_load(text), schema)
    with pytest.raises(UserError):
        load_config(write(tmp_path / "wrong.yaml", text))


def test_recipes_are_answered_without_tensorflow():
    program = "import sys; from fashion_keras.cli import main; main(['recipes'])\n"
    program += "sys.exit('tensorflow' in sys.modules)"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert ended.returncode == 0
