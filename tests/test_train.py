"""The train command, up to where training would begin: what it refuses, and what that leaves."""

import dataclasses
import importlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import MagicMock

import pytest
from tiny_records import LABELS, write_tiny_records

from fashion_keras.config import load_config
from fashion_keras.data.schema import INFO_FILE, DatasetInfo
from fashion_keras.io import locked
from fashion_keras.models.registry import ARCHITECTURES
from fashion_keras.progress import Reporter
from fashion_keras.run import save_labels

train = importlib.import_module("fashion_keras.train")  # not the function of its name


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    folder = tmp_path_factory.mktemp("records")
    write_tiny_records(folder, train=6, validation=3, test=2)
    return folder


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """An empty folder to stand in: runs/ and tfrecords/ are relative to it."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


class TrainingBegins(Exception):
    """Raised where TensorFlow would be loaded: everything before it has been accepted."""


@pytest.fixture
def begins(monkeypatch):
    def stop():
        raise TrainingBegins

    monkeypatch.setattr(train, "load_tensorflow", stop)


def refusal(capsys, *arguments) -> str:
    assert train.main([str(argument) for argument in arguments]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert len(captured.err.splitlines()) <= 2
    return captured.err.removeprefix("error: ").rstrip("\n")


def begin(*arguments):
    with pytest.raises(TrainingBegins):
        train.main([str(argument) for argument in arguments])


def tree(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--arch", "resnet8"), "unknown arch 'resnet8': expected one of efficientnetb0, eff"),
        (("--arch", ""), "unknown arch ''"),
        (("--label", "subcategory"), "(did you mean 'subCategory'?)"),
        (("--set", "data.auxiliary_labels={season: 1}"), "unknown label 'season'"),
        (("--epochs", "0"), "training.epochs = 0: input should be greater than or equal to 1"),
        (("--set", "training.epoch=3"), "(did you mean 'training.epochs'?)"),
        (("--set", "training.epochs"), "expected key=value"),
        (("--config", "none.yaml"), "none.yaml cannot be read: No such file"),
        (("--data", "nowhere"), "no records at nowhere: dataset_info.json is missing"),
        (("--resume",), "--resume needs --workdir"),
        (("--resume", "--workdir", "runs/none"), "nothing to resume at runs/none"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_what_is_wrong_is_said_and_nothing_is_left(records, home, capsys, arguments, message):
    assert message in refusal(capsys, "--data", records, *arguments)
    assert list(home.iterdir()) == []


def test_epochs_that_are_no_number_are_argparses_to_refuse(home, capsys):
    with pytest.raises(SystemExit) as raised:
        train.main(["--epochs", "many"])
    assert raised.value.code == 2
    assert "invalid int value: 'many'" in capsys.readouterr().err
    assert list(home.iterdir()) == []


def test_records_of_another_schema_are_refused(records, home, capsys):
    raw = json.loads((records / INFO_FILE).read_text())
    (home / "old").mkdir()
    (home / "old" / INFO_FILE).write_text(json.dumps({**raw, "schema_version": 0}))
    assert "has schema version 0" in refusal(capsys, "--data", "old")
    assert [path.name for path in home.iterdir()] == ["old"]


@pytest.mark.parametrize("split", ["train", "validation"])
def test_records_with_an_empty_split_are_refused(home, capsys, split):
    counts = {"train": 6, "validation": 3, "test": 2, split: 0}
    write_tiny_records(home / "some", **counts)
    assert f"split '{split}' of some is empty" in refusal(capsys, "--data", "some")
    assert [path.name for path in home.iterdir()] == ["some"]


def test_a_label_with_one_class_is_refused(records, home, capsys):
    info = DatasetInfo.load(records)
    (home / "one").mkdir()
    one = {"labels": {**LABELS, "gender": ("Women",)}}
    one["splits"] = {
        name: dataclasses.replace(split, class_counts={**split.class_counts, "gender": (1,)})
        for name, split in info.splits.items()
    }
    DatasetInfo(**{**vars(info), **one}).save(home / "one")
    message = refusal(capsys, "--data", "one", "--label", "gender")
    assert message.startswith("label 'gender' has 1 class in these records: nothing to learn")
    assert [path.name for path in home.iterdir()] == ["one"]


def test_weights_that_are_not_there_are_refused(records, home, capsys):
    assert "none.keras" in refusal(capsys, "--data", records, "--weights", "none.keras")
    assert list(home.iterdir()) == []


def test_imagenet_weights_that_nobody_has_are_refused(records, home, capsys, monkeypatch):
    monkeypatch.setitem(ARCHITECTURES, "tiny", "tiny_arch")
    message = refusal(capsys, "--data", records, "--arch", "tiny", "--weights", "imagenet")
    assert message.startswith("there are no ImageNet weights for tiny, only for efficientnetb0,")
    assert list(home.iterdir()) == []


def test_a_folder_that_holds_something_is_left_as_it_is(records, home, capsys):
    (home / "mine").mkdir()
    (home / "mine" / "notes.txt").write_text("keep me")
    message = refusal(capsys, "--data", records, "--workdir", "mine")
    assert message == "mine is not empty: give another --workdir, or --resume to go on with it"
    assert tree(home) == {"mine/notes.txt": b"keep me"}


@pytest.mark.parametrize("workdir", ["mine", "mine/run"])
def test_a_workdir_that_is_a_file_or_below_one_is_refused(records, home, capsys, workdir):
    (home / "mine").write_text("keep me")
    assert "mine" in refusal(capsys, "--data", records, "--workdir", workdir)
    assert tree(home) == {"mine": b"keep me"}


def test_an_empty_folder_is_taken(records, home, begins):
    (home / "mine").mkdir()
    begin("--data", records, "--workdir", "mine", "--epochs", "3")
    assert load_config(home / "mine" / "config.yaml").training.epochs == 3


def test_a_run_begins_with_its_whole_config(records, home, begins, capsys):
    (home / "own.yaml").write_text("model:\n  arch: resnet18\ntraining:\n  epochs: 7\n")
    options = ("--config", "own.yaml", "--label", "baseColour", "--epochs", "2")
    begin("--data", records, *options, "--set", "optimizer.learning_rate=1e-3")
    config = load_config(home / "runs" / "resnet18-1" / "config.yaml")
    assert config.data.label == "baseColour" and config.data.records == str(records)
    assert (config.training.epochs, config.optimizer.learning_rate) == (2, 0.001)
    printed = capsys.readouterr().out
    assert "run: runs/resnet18-1" in printed
    assert "train 6, validation 3, test 2" in printed


def test_runs_are_numbered_for_each_arch(records, home, begins):
    for arch in ("resnet18", "resnet18", "efficientnetb0"):
        begin("--data", records, "--arch", arch)
    assert sorted(path.name for path in (home / "runs").iterdir()) == [
        "efficientnetb0-1",
        "resnet18-1",
        "resnet18-2",
    ]


def test_without_records_the_default_folder_is_used(home, begins, capsys):
    write_tiny_records(home / "tfrecords" / "small", train=6, validation=3, test=2)
    begin("--arch", "resnet18")
    assert "records: tfrecords/small" in capsys.readouterr().out


@pytest.fixture
def run(records, home, begins):
    begin("--data", records, "--arch", "resnet18", "--epochs", "4", "--workdir", "mine")
    return home / "mine"


def test_resume_goes_on_with_the_saved_config(run, capsys):
    before = tree(run)
    begin("--workdir", run, "--resume")
    assert tree(run) == before
    assert f"run: {run}" in capsys.readouterr().out


def test_resume_knows_the_records_by_another_spelling(home, begins):
    write_tiny_records(home / "small", train=6, validation=3, test=2)
    begin("--data", "small", "--arch", "resnet18", "--workdir", "mine")
    begin("--workdir", "mine", "--resume", "--data", "./small/")


def test_resume_takes_options_that_say_the_same(run, records):
    begin("--workdir", run, "--resume", "--arch", "resnet18", "--epochs", "4", "--data", records)


@pytest.mark.parametrize(
    "options",
    [("--epochs", "5"), ("--arch", "efficientnetb0"), ("--set", "training.seed=1")],
    ids=" ".join,
)
def test_resume_with_another_option_is_refused(run, capsys, options):
    before = tree(run)
    message = refusal(capsys, "--workdir", run, "--resume", *options)
    assert message.startswith(f"--resume goes on with {run}/config.yaml, and the options given")
    assert tree(run) == before


def train_an_epoch(run, epochs=1):
    """Put into a begun run what its first epochs leave, but for what is learnt."""
    (run / "checkpoints" / f"epoch-{epochs:04d}").mkdir(parents=True)
    records = load_config(run / "config.yaml").data.records
    info = DatasetInfo.load(records)
    save_labels(
        run, {name: info.vocabulary(name) for name in load_config(run / "config.yaml").labels}
    )
    (run / "history.csv").write_text("epoch,loss\n" + "1,0.5\n" * epochs)
    with zipfile.ZipFile(run / "best.keras", "w") as file:
        for name in ("config.json", "model.weights.h5"):
            file.writestr(name, "{}" * 99)


@pytest.fixture
def trained(records, home, begins):
    """A run with two epochs behind it, as far as the command looks before TensorFlow is loaded."""
    begin("--data", records, "--workdir", "mine")
    train_an_epoch(home / "mine", epochs=2)
    return home / "mine"


def files_of(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_a_run_without_its_checkpoints_is_not_trained_from_the_start(capsys, trained):
    shutil.rmtree(trained / "checkpoints")
    before = files_of(trained)
    said = refusal(capsys, "--workdir", "mine", "--resume")
    assert "checkpoints/ holds no epoch" in said and "--weights mine" in said
    assert files_of(trained) == before


@pytest.mark.parametrize(
    ("name", "damage", "message"),
    [
        ("best.keras", None, "best.keras cannot be read"),
        ("best.keras", b"PK\x03\x04 no zip", "best.keras cannot be read"),
        ("labels.json", None, "labels.json is missing"),
        ("labels.json", b"[]", "labels.json"),
    ],
)
def test_what_resuming_needs_is_looked_at_before_it_trains(capsys, trained, name, damage, message):
    (trained / name).unlink()
    if damage is not None:
        (trained / name).write_bytes(damage)
    before = files_of(trained)
    assert message in refusal(capsys, "--workdir", "mine", "--resume")
    assert files_of(trained) == before


def test_a_best_model_with_a_flipped_byte_is_noticed(capsys, trained):
    data = bytearray((trained / "best.keras").read_bytes())
    data[60] ^= 0xFF
    (trained / "best.keras").write_bytes(data)
    assert "best.keras" in refusal(capsys, "--workdir", "mine", "--resume")


def test_a_run_killed_in_its_first_epoch_begins_again(home, records, begins):
    begin("--data", records, "--workdir", "mine")
    (home / "mine" / "history.csv").write_text("epoch,loss\n1,0.5\n")
    begin("--workdir", "mine", "--resume")


def test_a_start_killed_before_its_config_leaves_the_folder_free(
    home, records, begins, monkeypatch
):
    def die(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("fashion_keras.training.workdir.save_config", die)
        assert train.main(["--data", str(records), "--workdir", "mine"]) == 130
    assert (home / "mine" / "records.json").is_file()
    begin("--data", records, "--workdir", "mine")


@pytest.mark.parametrize(
    "left",
    [
        ["tensorboard/"],
        ["checkpoints/", "tensorboard/", "records.json"],
        [
            "checkpoints/",
            "records.json",
            "labels.json",
            "run.json",
            ".config.yaml.partial-8/config.yaml",
        ],
    ],
    ids=len,
)
def test_what_was_killed_before_it_was_a_run_is_begun_again(records, home, begins, left):
    for name in left:
        path = home / "mine" / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_text("half of it")
    begin("--data", records, "--workdir", "mine")
    begin("--workdir", "mine", "--resume")
    files = ["config.yaml", "labels.json", "records.json", "run.json"]
    assert sorted(tree(home / "mine")) == files


def test_a_run_with_all_that_it_needs_goes_on(trained):
    begin("--workdir", trained, "--resume")


@pytest.mark.parametrize("lost", ["checkpoints", "checkpoints/epoch-0002", "model.weights.h5"])
def test_a_run_that_has_lost_a_part_is_refused_before_it_trains(trained, capsys, lost):
    if lost == "model.weights.h5":
        with zipfile.ZipFile(trained / "best.keras", "w") as file:
            file.writestr("config.json", "{}")
    else:
        shutil.rmtree(trained / lost)
    before = files_of(trained)
    said = refusal(capsys, "--workdir", "mine", "--resume")
    assert ("is damaged (model.weights.h5)" if "weights" in lost else "holds no epoch") in said
    assert files_of(trained) == before


def test_labels_in_another_order_are_refused_before_it_trains(trained, capsys):
    labels = json.loads((trained / "labels.json").read_text())
    labels["subCategory"].reverse()
    (trained / "labels.json").write_text(json.dumps(labels))
    assert "labels.json is not what the run wrote" in refusal(
        capsys, "--workdir", trained, "--resume"
    )
    (trained / "run.json").unlink()  # as of an earlier version
    said = refusal(capsys, "--workdir", trained, "--resume")
    assert "labels.json has other classes, or another order: restore it" in said


def test_going_on_removes_what_a_kill_has_left(trained):
    kept = set(tree(trained))
    for name in (
        "checkpoints/epoch-0001/state.json",
        "checkpoints/.epoch-0003.partial/epoch-0003/state.json",
        "checkpoints/partial/state.json",
        ".best.keras.partial-8/best.keras",
        ".heads.json.partial-9/heads.json",
        "history.csv.partial",
    ):
        (trained / name).parent.mkdir(parents=True, exist_ok=True)
        (trained / name).write_text("half of it")
    begin("--workdir", trained, "--resume")
    assert set(tree(trained)) == kept
    names = [path.name for path in (trained / "checkpoints").iterdir()]
    assert names == ["epoch-0002"]


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_label_that_no_photo_of_a_split_has_is_refused(home, capsys, split):
    info = write_tiny_records(home / "some", train=6, validation=3, test=2)
    part = info.splits[split]
    counts = {**part.class_counts, "baseColour": (0, 0)}
    splits = {**info.splits, split: dataclasses.replace(part, class_counts=counts)}
    dataclasses.replace(info, splits=splits).save(home / "some")
    message = refusal(capsys, "--data", "some", "--label", "baseColour")
    assert message.startswith(f"no photo of split '{split}' of some has a baseColour")


def test_a_label_that_looks_like_a_name_is_warned_of(home, begins, capsys):
    info = write_tiny_records(home / "some", train=6, validation=3, test=2)
    names = tuple(f"Shirt {number}" for number in range(250))
    counted = (1, 1) + (0,) * 248
    named = {"labels": {**info.labels, "title": names}}
    named["splits"] = {
        split: dataclasses.replace(part, class_counts={**part.class_counts, "title": counted})
        for split, part in info.splits.items()
    }
    dataclasses.replace(info, **named).save(home / "some")
    begin("--data", "some")
    assert "warning" not in capsys.readouterr().err
    begin("--data", "some", "--label", "title")
    error = capsys.readouterr().err
    assert "label 'title' has 250 classes with 0.0 training photos each: it looks like" in error


@pytest.mark.parametrize("resume", [(), ("--resume",)])
def test_a_second_training_in_one_folder_is_a_line(capsys, trained, home, records, resume):
    folder = home / ("mine" if resume else "new")
    folder.mkdir(exist_ok=True)
    before = files_of(trained)
    with locked(folder, "held"):
        options = () if resume else ("--data", records)
        said = refusal(capsys, "--workdir", folder, *options, *resume)
    assert "another process is training in" in said
    assert files_of(trained) == before


def test_resume_with_the_options_of_the_start_goes_on(home, begins):
    write_tiny_records(home / "tfrecords" / "small", train=6, validation=3, test=2)
    (home / "mine.yaml").write_text("training: {epochs: 3}\n")
    options = ("--config", "mine.yaml", "--set", "training.seed=4", "--workdir", "mine")
    begin(*options)
    train_an_epoch(home / "mine")
    begin(*options, "--resume")


@pytest.mark.parametrize(
    "file",
    [
        "best.keras",
        "partial-best.keras",
        "history.csv.partial",
        ".best.keras.partial-x/best.keras",
        "checkpoints/.epoch-0001.partial/state.json",
    ],
)
def test_a_run_that_ends_before_its_first_checkpoint_can_be_begun_again(
    records, home, monkeypatch, file
):
    """As on a full disk, while its first epoch is being kept."""

    def full():
        (home / "mine" / file).parent.mkdir(exist_ok=True)
        (home / "mine" / file).write_bytes(b"of the first epoch")
        raise TrainingBegins

    monkeypatch.setattr(train, "check_backend", lambda *_: full())
    monkeypatch.setattr(train, "load_tensorflow", lambda: None)
    for _ in range(2):
        begin("--data", records, "--workdir", "mine")
        assert not (home / "mine").exists()


def test_resume_with_other_records_at_the_same_place_is_refused(home, begins, capsys):
    write_tiny_records(home / "some", train=6, validation=3, test=2)
    begin("--data", "some", "--workdir", "mine")
    for shard in (home / "some").glob("*.tfrecord"):
        shard.unlink()
    write_tiny_records(home / "some", train=9, validation=3, test=2)
    message = refusal(capsys, "--workdir", "mine", "--resume")
    assert message.startswith("some holds other records than the run mine began with")


def test_weights_of_another_split_of_the_catalogue_are_warned_of(home, begins, capsys):
    write_tiny_records(home / "some", train=6, validation=3, test=2)
    info = dataclasses.replace(DatasetInfo.load("some"), source={"fingerprint": "0" * 64})
    info.save("some")
    begin("--data", "some", "--workdir", "first")
    Path("first/best.keras").write_bytes(b"not looked at yet")
    begin("--data", "some", "--workdir", "second", "--weights", "first")
    assert "warning" not in capsys.readouterr().err
    dataclasses.replace(info, split={"strategy": "grouped"}).save("some")
    begin("--data", "some", "--workdir", "third", "--weights", "first")
    assert "warning: the weights first were trained on another split" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("weights", "more", "arch"),
    [
        ("first", (), "resnet18"),
        ("fashion", (), "efficientnetlite0"),
        ("first", ("--arch", "efficientnetb0"), "efficientnetb0"),
        ("first", ("--recipe", "efficientnetlite0"), "efficientnetlite0"),
        ("first", ("--set", "model.arch=efficientnetb0"), "efficientnetb0"),
    ],
)
def test_a_run_as_weights_brings_its_arch_unless_another_is_asked_for(
    home, begins, weights, more, arch
):
    write_tiny_records(home / "some", train=6, validation=3, test=2)
    labels = ("--data", "some", "--set", "data.auxiliary_labels={}")
    begin(*labels, "--workdir", "first", "--arch", "resnet18")
    Path("first/best.keras").write_bytes(b"not looked at yet")
    begin(*labels, "--workdir", "second", "--weights", weights, *more)
    assert load_config("second/config.yaml").model.arch == arch


def test_resume_with_a_damaged_config_is_refused(run, capsys):
    (run / "config.yaml").write_text("training: [\n")
    assert "config.yaml is not what the run wrote" in refusal(capsys, "--workdir", run, "--resume")


def test_a_folder_without_a_run_cannot_be_resumed(home, capsys):
    (home / "mine").mkdir()
    (home / "mine" / "notes.txt").write_text("keep me")
    message = refusal(capsys, "--workdir", "mine", "--resume")
    assert message == "nothing to resume at mine: it has no config.yaml"
    assert tree(home) == {"mine/notes.txt": b"keep me"}


def test_the_module_runs_as_a_program(home):
    repository = Path(__file__).resolve().parents[1]
    ended = subprocess.run(
        [sys.executable, "-m", "fashion_keras.train", "--workdir", home / "none", "--resume"],
        capture_output=True,
        text=True,
        cwd=repository,
        timeout=120,
    )
    assert ended.returncode == 2 and ended.stdout == ""
    assert ended.stderr == f"error: nothing to resume at {home}/none: it has no config.yaml\n"


def test_a_finished_run_finished_again_keeps_the_decision_that_calibrate_fitted(tmp_path):
    from evaluation.fake_run import write_records, write_run

    from fashion_keras.decision.parameters import Decision
    from fashion_keras.provenance import changing
    from fashion_keras.run import save_decision
    from fashion_keras.serving.layout import versions

    records, run = write_records(tmp_path / "plain"), write_run(tmp_path / "run")
    trained = SimpleNamespace(best_epoch=1, history=[{}], board=MagicMock())
    train._finish(trained, records, run, Reporter(bars=False))
    assert Decision.load(run / "decision.json").temperature, "the config asks for temperatures"
    own = Decision("subCategory", flip=True)
    save_decision(run, own, "best.keras")
    train._finish(trained, records, run, Reporter(bars=False))
    assert Decision.load(run / "decision.json") == own
    assert versions(run / "model") == [1]
    with changing(run, "best.keras"):  # as training that goes on does
        write_run(tmp_path / "other", bias=1.0)
        shutil.copy(tmp_path / "other" / "best.keras", run)
    train._finish(trained, records, run, Reporter(bars=False))
    assert Decision.load(run / "decision.json") != own
    assert versions(run / "model") == [1, 2]
