"""From catalogue to records: complete, repeatable, resumable, and nobody's files are lost."""

import dataclasses
import fcntl
import json
import os
import shutil
import subprocess
import sys

import pytest
import wire
from drawn_catalogue import draw_catalogue, encode, pixels, with_long_comment

from fashion_keras.data import conversion, schema, shard_writer, tfrecord
from fashion_keras.data.conversion import Request, convert
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.data.shard_writer import plan_shards
from fashion_keras.data.verification import verify
from fashion_keras.data.work_folder import DONE_FILE, REPORT_FILE
from fashion_keras.errors import UserError


def run(source, output, overwrite=False, **options):
    said = []
    request = Request(str(source), **{"shards": 3, **options})
    info = convert(request, output, overwrite=overwrite, workers=2, say=said.append)
    return info, "\n".join(said)


def contents(folder):
    return {p.name: p.read_bytes() if p.is_file() else b"" for p in sorted(folder.iterdir())}


def test_the_info_counts_what_is_stored(records):
    info = DatasetInfo.load(records)
    assert [split.num_examples for split in info.splits.values()] == [42, 9, 9]
    assert [len(split.shards) for split in info.splits.values()] == [3, 1, 1]
    for name, split in info.splits.items():
        stored = wire.examples(records, info, name)
        for label, words in info.labels.items():
            texts = [example[f"label/{label}/text"].decode() for example in stored]
            assert split.class_counts[label] == tuple(texts.count(word) for word in words)
    assert info.image_sizes == {
        "min_height": 80,
        "max_height": 320,
        "min_width": 53,
        "max_width": 213,
    }


def test_small_photos_are_stored_with_their_own_bytes(records, catalogue):
    info = DatasetInfo.load(records)
    photos = {path.stem: path.read_bytes() for path in (catalogue / "images").iterdir()}
    same = [
        example["image/encoded"] == photos[example["id"].decode()]
        for split in schema.SPLITS
        for example in wire.examples(records, info, split)
    ]
    assert same.count(False) == 1  # the one of 600×400


def test_nothing_is_left_beside_the_records(records):
    names = {path.name for path in records.iterdir()}
    shards = {shard.file for s in DatasetInfo.load(records).splits.values() for shard in s.shards}
    assert names == shards | {schema.INFO_FILE, REPORT_FILE}
    assert [path.name for path in records.parent.iterdir()] == [records.name]


def test_the_parent_of_the_output_is_made_and_the_bytes_are_the_same(records, catalogue, tmp_path):
    output = tmp_path / "a" / "b" / "small"
    run(catalogue, output)
    assert contents(output) == contents(records)


def test_rows_left_out_are_in_the_report(catalogue, tmp_path):
    source = shutil.copytree(catalogue, tmp_path / "shop")
    (source / "images/1001.jpg").unlink()
    photo = source / "images/1002.jpg"
    photo.write_bytes(photo.read_bytes()[:100])
    info, said = run(source, tmp_path / "out")
    assert info.left_out == {"no photo": 1, "unreadable photo": 1}
    report = json.loads((tmp_path / "out" / REPORT_FILE).read_text())
    assert [row["id"] for row in report["left_out"]["no photo"]] == ["1001"]
    assert [row["id"] for row in report["left_out"]["unreadable photo"]] == ["1002"]
    assert "1002" in said
    assert verify(tmp_path / "out") == 58


# ---- a photo that passes the check and fails when it is written ----


@pytest.fixture
def failing(monkeypatch):
    """Names photos which convert can check, and then not store."""
    failing = set()
    stored_photo = shard_writer.stored_photo

    def stored(data, info, max_size):
        if data in failing:
            raise UserError("damaged (at its end)")
        return stored_photo(data, info, max_size)

    monkeypatch.setattr(shard_writer, "stored_photo", stored)
    return failing


def photo_of(catalogue, id):
    (path,) = (catalogue / "images").glob(f"{id}.*")
    return path.read_bytes()


def test_a_photo_that_fails_when_it_is_written_is_a_row_of_the_report(
    catalogue, records, tmp_path, failing
):
    before, after = DatasetInfo.load(records), tmp_path / "small"
    ids = {s: [e["id"].decode() for e in wire.examples(records, before, s)] for s in schema.SPLITS}
    lost = ids["train"][0]
    failing.add(photo_of(catalogue, lost))
    info, said = run(catalogue, after)
    assert f"left out while writing: 1 × unreadable photo ({lost}: images/{lost}" in said
    report = json.loads((after / REPORT_FILE).read_text())
    [row] = report["left_out"]["unreadable photo"]
    assert row["id"] == lost and row["detail"].endswith(": damaged (at its end)")
    assert report["products"] == 59 and report["splits"]["train"] == 41
    assert report["labels"]["subCategory"]["photos"] == 59
    assert info.left_out == {"unreadable photo": 1} and verify(after) == 59
    for split in schema.SPLITS:
        stayed = [example["id"].decode() for example in wire.examples(after, info, split)]
        assert stayed == [id for id in ids[split] if id != lost]


def test_a_split_whose_photos_all_fail_is_empty(catalogue, records, tmp_path, failing):
    info = DatasetInfo.load(records)
    lost = [example["id"].decode() for example in wire.examples(records, info, "validation")]
    failing.update(photo_of(catalogue, id) for id in lost)
    info, _ = run(catalogue, tmp_path / "small")
    assert info.splits["validation"].shards == ()
    assert verify(tmp_path / "small") == 51


def test_without_a_training_photo_that_can_be_written_there_are_no_records(
    catalogue, tmp_path, failing
):
    failing.update(path.read_bytes() for path in (catalogue / "images").iterdir())
    with pytest.raises(UserError, match="none of the training photos can be converted"):
        run(catalogue, tmp_path / "small")
    assert not (tmp_path / "small").exists()


def test_a_stopped_conversion_remembers_what_it_could_not_write(
    catalogue, tmp_path, failing, monkeypatch
):
    failing.update(photo_of(catalogue, id) for id in (1001, 1002, 1003, 1004))
    run(catalogue, tmp_path / "whole")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(
            conversion, "put_in_place", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        run(catalogue, tmp_path / "cut")
    failing.clear()
    run(catalogue, tmp_path / "cut")
    assert contents(tmp_path / "cut") == contents(tmp_path / "whole")


# ---- stopped and taken up again ----


@pytest.fixture
def stopped(catalogue, tmp_path, monkeypatch):
    """A conversion that dies half-way through its third shard."""
    write_shard = tfrecord.write_shard

    def dying(path, examples):
        if path.name.startswith("train-00002"):
            scratch = path.with_name(f".{path.name}.partial-killed")
            scratch.mkdir()
            (scratch / path.name).write_bytes(next(examples))
            (path.parent / f".{DONE_FILE}.partial-killed").mkdir()
            raise KeyboardInterrupt
        return write_shard(path, examples)

    output = tmp_path / "small"
    monkeypatch.setattr(tfrecord, "write_shard", dying)
    with pytest.raises(KeyboardInterrupt):
        run(catalogue, output)
    monkeypatch.undo()
    assert not output.exists()
    return output


def test_a_stopped_conversion_goes_on_to_the_same_bytes(stopped, catalogue, records, monkeypatch):
    written = []
    write_shard = tfrecord.write_shard
    monkeypatch.setattr(
        tfrecord, "write_shard", lambda p, e: (written.append(p.name), write_shard(p, e))[1]
    )
    _, said = run(catalogue, stopped)
    assert "going on" in said
    assert contents(stopped) == contents(records)
    assert [name.split("-of-")[0] for name in written] == [
        "train-00002",
        "validation-00000",
        "test-00000",
    ]
    assert not stopped.with_name("small.partial").exists()


def test_a_shard_that_was_damaged_meanwhile_is_written_again(stopped, catalogue, records):
    shard = next(stopped.with_name("small.partial").glob("train-00000*"))
    shard.write_bytes(b"")
    run(catalogue, stopped)
    assert contents(stopped) == contents(records)


def test_other_options_start_afresh(stopped, catalogue):
    info, said = run(catalogue, stopped, seed=1)
    assert "starting afresh" in said
    assert info.split["seed"] == 1
    assert verify(stopped) == 60


def test_a_folder_that_another_process_works_in_is_left_alone(stopped, catalogue):
    partial = stopped.with_name("small.partial")
    before = contents(partial)
    descriptor = os.open(partial, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with pytest.raises(UserError, match="another conversion"):
            run(catalogue, stopped, seed=1)
    finally:
        os.close(descriptor)
    assert contents(partial) == before


def test_a_strange_folder_in_the_way_is_left_alone(catalogue, tmp_path):
    strange = tmp_path / "small.partial"
    strange.mkdir()
    (strange / "thesis.txt").write_text("dear")
    with pytest.raises(UserError, match=r"small\.partial is in the way"):
        run(catalogue, tmp_path / "small")
    assert contents(strange) == {"thesis.txt": b"dear"}


def test_what_a_stopped_conversion_noted_wrongly_is_written_again(stopped, catalogue, records):
    noted = stopped.with_name("small.partial") / DONE_FILE
    noted.write_text(noted.read_text().replace('"num_examples": 14', '"num_examples": 13'))
    run(catalogue, stopped)
    assert contents(stopped) == contents(records)


# ---- what is at the output already ----


@pytest.fixture
def done(records, tmp_path):
    return shutil.copytree(records, tmp_path / "small")


def test_the_same_conversion_again_does_nothing(done, catalogue, monkeypatch):
    monkeypatch.setattr(conversion, "check_photos", None)
    _, said = run(catalogue, done)
    assert "nothing to do" in said


@pytest.mark.parametrize("change", ["options", "damage"])
def test_other_records_are_kept_unless_overwritten(done, catalogue, change):
    options = {"seed": 1} if change == "options" else {}
    if change == "damage":
        next(done.glob("train-00001*")).unlink()
    before = contents(done)
    with pytest.raises(UserError, match="--overwrite"):
        run(catalogue, done, **options)
    assert contents(done) == before
    run(catalogue, done, overwrite=True, **options)
    assert verify(done) == 60
    assert [path.name for path in done.parent.iterdir()] == ["small"]


@pytest.fixture
def set_aside(done, catalogue, monkeypatch):
    """What a kill leaves between the two renames that put new records in the place of old ones."""
    before = contents(done)
    with monkeypatch.context() as patched:
        patched.setattr(conversion, "put_in_place", lambda *_: (_ for _ in ()).throw(SystemExit))
        with pytest.raises(SystemExit):
            run(catalogue, done, overwrite=True, seed=1)
    done.rename(done.with_name("small.partial.previous"))
    return before


def test_records_that_a_killed_conversion_set_aside_are_put_back(set_aside, done, catalogue):
    with pytest.raises(UserError, match="--overwrite"):
        run(catalogue, done, seed=1)
    assert contents(done) == set_aside


def test_a_conversion_killed_between_the_renames_is_finished(set_aside, done, catalogue):
    info, said = run(catalogue, done, overwrite=True, seed=1)
    assert "going on" in said and info.split["seed"] == 1
    assert [path.name for path in done.parent.iterdir()] == ["small"]


@pytest.mark.parametrize("name", ["small.partial.previous", "small.replaced-k3x_9"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_what_was_replaced_before_a_kill_is_removed_later(done, catalogue, name, overwrite):
    shutil.copytree(done, done.with_name(name))
    shutil.copytree(done, done.with_name("small.replaced-by-hand"))
    (done.with_name("small.replaced-by-hand") / "mine.txt").write_text("kept")
    (done / DONE_FILE).write_text("{}")
    run(catalogue, done, overwrite=overwrite)
    assert sorted(p.name for p in done.parent.iterdir()) == ["small", "small.replaced-by-hand"]
    assert not (done / DONE_FILE).exists()


def test_records_that_another_conversion_made_meanwhile_are_not_replaced(
    records, catalogue, tmp_path
):
    output = tmp_path / "small"

    def another_ends(line):
        if line.startswith("split:"):
            shutil.copytree(records, output)

    with pytest.raises(UserError, match="--overwrite"):
        convert(Request(str(catalogue), shards=3, seed=1), output, workers=1, say=another_ends)
    assert contents(output) == contents(records)


@pytest.mark.parametrize("overwrite", [False, True])
@pytest.mark.parametrize("name", ["README.md", "flowers.tfrecord"])
def test_a_folder_with_other_files_is_never_replaced(done, catalogue, name, overwrite):
    (done / name).write_text("mine")
    before = contents(done)
    with pytest.raises(UserError, match=name):
        run(catalogue, done, overwrite=overwrite, seed=1)
    assert contents(done) == before


def test_an_empty_folder_is_a_fine_output(catalogue, tmp_path):
    (tmp_path / "small").mkdir()
    run(catalogue, tmp_path / "small")
    assert DatasetInfo.load(tmp_path / "small").splits["train"].num_examples == 42


# ---- options ----


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fractions": (0.5, 0.1, 0.1)}, "sum to 0.7"),
        ({"split_label": "subcategory"}, "did you mean 'subCategory'"),
        ({"split": "published"}, "is not the published catalogue"),
        ({"split": "published", "seed": 3}, "--seed"),
        ({"label_columns": ("colour",)}, "no column 'colour'"),
    ],
)
def test_a_wrong_option_is_named_before_photos_are_read(
    catalogue, tmp_path, monkeypatch, options, message
):
    monkeypatch.setattr(conversion, "check_photos", None)
    with pytest.raises(UserError, match=message):
        run(catalogue, tmp_path / "small", **options)
    assert list(tmp_path.iterdir()) == []


def test_an_empty_split_has_no_shards(catalogue, tmp_path):
    info, _ = run(catalogue, tmp_path / "small", fractions=(0.8, 0.0, 0.2))
    assert info.splits["validation"] == schema.SplitInfo(
        0, (), info.splits["validation"].class_counts
    )
    assert verify(tmp_path / "small") == 60


def test_shards_are_even_and_hold_every_photo_once():
    ids = [str(number) for number in range(1003)]
    parts = plan_shards("train", ids, len(ids), 4)
    assert [len(part) for _, part in parts] == [250, 251, 251, 251]
    assert [id for _, part in parts for id in part] == ids
    assert len(plan_shards("test", ids[:500], len(ids), 4)) == 2
    assert plan_shards("test", [], len(ids), 4) == []


@pytest.mark.slow
@pytest.mark.archive
def test_the_real_archive_converts(archive_path, tmp_path):
    info = convert(Request(str(archive_path)), tmp_path / "small", say=lambda line: None)
    assert [split.num_examples for split in info.splits.values()] == [31_093, 6_662, 6_664]
    assert dataclasses.asdict(info)["left_out"] == {"no photo": 5, "not in the published split": 22}
    assert verify(tmp_path / "small") == 44_419


@pytest.mark.parametrize("cut", [1, 4, 12, 20])
def test_a_png_with_a_cut_end_is_left_out_and_stops_no_training(tmp_path, cut):
    """Pillow reads it and TensorFlow does not."""
    source = draw_catalogue(tmp_path / "shop")
    (source / "images" / "1007.jpg").unlink()
    (source / "images" / "1007.png").write_bytes(encode(pixels(7), "PNG")[:-cut])
    info, _ = run(source, tmp_path / "records")
    assert sum(split.num_examples for split in info.splits.values()) == 59
    assert info.left_out == {"unreadable photo": 1}
    verify(tmp_path / "records")


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF"])
def test_a_photo_with_a_long_comment_is_converted(tmp_path, format):
    source = draw_catalogue(tmp_path / "shop")
    (source / "images" / "1007.jpg").write_bytes(with_long_comment(format))
    info, _ = run(source, tmp_path / "records")
    assert sum(split.num_examples for split in info.splits.values()) == 60


def test_an_output_in_the_source_is_no_part_of_it(tmp_path):
    source = draw_catalogue(tmp_path / "shop")
    info, _ = run(source, source / "records")
    before = contents(source / "records")
    again, said = run(source, source / "records")
    assert "nothing to do" in said and again == info
    assert contents(source / "records") == before


def test_an_output_that_is_a_link_to_a_folder_is_filled(catalogue, records, tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    run(catalogue, tmp_path / "link")
    assert contents(tmp_path / "disk") == contents(records)
    assert (tmp_path / "link").is_symlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["disk", "link"]


def test_records_that_are_mounted_are_taken_as_they_are(done, catalogue, monkeypatch):
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) == f"{done}")
    assert "nothing to do" in run(catalogue, done)[1]
    with pytest.raises(UserError, match="mount point"):
        run(catalogue, done, overwrite=True)


def test_a_mount_point_is_refused_before_any_work(catalogue, tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    monkeypatch.setattr(os.path, "ismount", lambda path: str(path) == f"{tmp_path}/disk")
    monkeypatch.setattr(conversion, "check_photos", None)
    with pytest.raises(UserError, match=r"mount point.*such as .*/disk/records"):
        run(catalogue, tmp_path / "disk")


def test_jpegs_are_converted_without_tensorflow(catalogue, tmp_path):
    shop = shutil.copytree(catalogue, tmp_path / "shop", ignore=shutil.ignore_patterns("*.png"))
    program = (
        "import sys\n"
        "from fashion_keras.data.conversion import Request, convert\n"
        "convert(Request(sys.argv[1]), sys.argv[2])\n"
        "assert 'tensorflow' not in sys.modules\n"
    )
    output = tmp_path / "records"
    subprocess.run([sys.executable, "-c", program, shop, output], check=True, timeout=300)
    assert len(wire.examples(output, DatasetInfo.load(output), "train")) > 10


def test_names_that_are_not_utf8_stop_nothing(catalogue, tmp_path):
    shop = tmp_path / os.fsdecode(b"gr\xfcn")
    shutil.copytree(catalogue, shop, ignore=shutil.ignore_patterns("*.png"))
    (shop / os.fsdecode(b"images/gr\xfcn.jpg")).write_bytes(b"")
    output = tmp_path / os.fsdecode(b"r\xf6t")
    command = [sys.executable, "-m", "fashion_keras.convert", "--source", shop, "--output", output]
    ended = subprocess.run(command, capture_output=True, timeout=300)
    assert (ended.returncode, ended.stderr) == (0, b"")
    assert rb"gr\udcfcn: 60 rows" in ended.stdout
    readable = str(shop).encode("utf-8", "backslashreplace").decode()
    assert DatasetInfo.load(output).source["path"] == readable
    assert json.loads((output / REPORT_FILE).read_text("utf-8"))["source"] == readable
    again = subprocess.run(command, capture_output=True, timeout=300)
    assert again.returncode == 0 and b"nothing to do" in again.stdout
