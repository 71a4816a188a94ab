"""A run's folder: which records it knows, and what is said where it is damaged."""

import dataclasses

import pytest
from evaluation.fake_run import write_records, write_run

from fashion_keras.data.schema import DatasetInfo
from fashion_keras.errors import UserError
from fashion_keras.run import check_records, check_split, has_other_split, load_run, save_records

PUBLISHED = {"strategy": "published"}
GROUPED = {"strategy": "grouped", "seed": 0, "label": "subCategory"}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    folder = write_records(tmp_path_factory.mktemp("records") / "plain")
    return DatasetInfo.load(folder)


def info(written, catalogue="abc", split=PUBLISHED):
    source = {"fingerprint": catalogue} if catalogue else {"name": "ours"}
    return dataclasses.replace(written, source=source, split=split)


def test_another_split_of_its_catalogue_is_told_from_another_catalogue(written, tmp_path):
    save_records(tmp_path, info(written))
    assert has_other_split(tmp_path, info(written, split=GROUPED))
    assert has_other_split(tmp_path / "best.keras", info(written, split=GROUPED))
    assert not has_other_split(tmp_path, info(written))
    assert not has_other_split(tmp_path, info(written, catalogue="def", split=GROUPED))
    with pytest.raises(UserError, match="another split of the catalogue of rec, and knows"):
        check_split(tmp_path, info(written, split=GROUPED), "rec")
    check_split(tmp_path, info(written), "rec")


def test_a_run_or_records_that_do_not_say_where_they_are_from_are_taken(written, tmp_path):
    assert not has_other_split(tmp_path, info(written, split=GROUPED))
    save_records(tmp_path, info(written, catalogue=None))
    assert not has_other_split(tmp_path, info(written, catalogue=None, split=GROUPED))


@pytest.mark.parametrize("content", ["", "{", "[]"])
def test_a_damaged_file_of_a_run_is_named(written, tmp_path, content):
    run = write_run(tmp_path / "run")
    (run / "records.json").write_text(content)
    with pytest.raises(UserError, match=r"records\.json is damaged"):
        check_records(run, written, "rec")
    (run / "labels.json").write_text(content)
    with pytest.raises(UserError, match=r"labels\.json is damaged"):
        load_run(run)
