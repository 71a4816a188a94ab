"""Parts of a table: each once, kept over a kill at any step, poured into the table in order."""

import pytest

from fashion_keras.errors import UserError
from fashion_keras.predict import main
from fashion_keras.tagging.by_cluster import opened_parts, part_path, parts_folder, write_part
from fashion_keras.tagging.row_formats import Columns, CsvRows, Row
from fashion_keras.tagging.row_table import codec_of, open_table

COLUMNS = Columns(["kind"])
PLAN = {"photos": "abc", "labels": ["kind"]}
ROWS = [Row(str(i), f"{i}.jpg", ("Hat", 0.5, None, None, None)) for i in range(8)]


@pytest.fixture
def output(tmp_path):
    return tmp_path / "tags.csv"


def make(output, number):
    """Write a part of two rows, as a machine does."""
    rows = [codec_of(output, COLUMNS).encode(row) for row in ROWS[2 * number : 2 * number + 2]]
    return write_part(parts_folder(output), number, rows, [])


def run(output, *numbers, resume=False, kept=0, dies=None):
    """Do parts, those that are not there yet; return which had to be done."""
    done = []
    with (
        opened_parts(output, resume=resume) as parts,
        open_table(output, COLUMNS, resume=resume) as table,
    ):
        assert table.rows == kept
        parts.begin(table, PLAN)
        for number in numbers:
            if number not in parts.done:
                parts.add(make(output, number))
                done.append(number)
        if dies == "before":
            raise KeyboardInterrupt
        parts.pour(table)
        if dies == "after":
            raise KeyboardInterrupt
    return done


def expected():
    codec = CsvRows(COLUMNS)
    return b"".join([codec.header, *map(codec.encode, ROWS)])


def test_parts_become_the_table_in_order(output):
    assert run(output, 2, 0, 3, 1) == [2, 0, 3, 1]
    assert output.read_bytes() == expected()
    assert [path.name for path in output.parent.iterdir()] == ["tags.csv"]


@pytest.mark.parametrize("dies", ["before", "after"])
def test_what_is_done_is_kept_and_nothing_is_doubled(output, dies):
    with pytest.raises(KeyboardInterrupt):
        run(output, 2, 0, dies=dies)
    with open(parts_folder(output) / "manifest.jsonl", "ab") as file:
        file.write(b'{"number": 1, "rows"')  # as one that is killed leaves it
    assert run(output, 2, 0, 3, 1, resume=True) == [3, 1]
    assert output.read_bytes() == expected()
    assert [path.name for path in output.parent.iterdir()] == ["tags.csv"]


def test_rows_of_a_finished_table_are_kept_before_the_parts(output):
    run(output, 0)
    with pytest.raises(KeyboardInterrupt):
        run(output, 1, resume=True, kept=2, dies="after")
    assert run(output, 1, 2, 3, resume=True, kept=2) == [2, 3]
    assert output.read_bytes() == expected()


def test_a_part_that_is_gone_is_done_again_and_a_changed_one_is_told(output):
    with pytest.raises(KeyboardInterrupt):
        run(output, 0, 1, dies="before")
    part_path(parts_folder(output), 1).unlink()
    changed = part_path(parts_folder(output), 0)
    changed.write_bytes(changed.read_bytes().replace(b"Hat", b"Cap"))
    with pytest.raises(UserError, match="part-000000 is damaged"):
        run(output, 0, 1, resume=True)
    changed.unlink()
    assert run(output, 0, 1, 2, 3, resume=True) == [0, 2, 3]
    assert output.read_bytes() == expected()


def test_parts_of_something_else_are_not_mixed_in(output, monkeypatch):
    with pytest.raises(KeyboardInterrupt):
        run(output, 0, dies="before")
    monkeypatch.setitem(PLAN, "labels", ["colour"])
    with pytest.raises(UserError, match="begun with other photos, labels"):
        run(output, 1, resume=True)


def test_parts_are_neither_overwritten_nor_forgotten(output, tmp_path, capsys):
    with pytest.raises(KeyboardInterrupt):
        run(output, 0, dies="before")
    with pytest.raises(UserError, match="--cluster and --resume"):
        run(output, 0)
    for more in ([], ["--resume"]):  # by one machine
        assert main([str(tmp_path), "--output", str(output), *more]) == 2
        assert "--cluster and --resume" in capsys.readouterr().err


def test_two_runs_do_not_write_the_same_parts(output):
    parts_folder(output).mkdir()
    with (
        opened_parts(output, resume=True),
        pytest.raises(UserError, match="another process"),
        opened_parts(output, resume=True),
    ):
        pass


@pytest.mark.parametrize("more", [[], ["--output", "x.csv", "--server", "http://a:1"]])
def test_a_cluster_writes_a_table_with_a_model_of_its_own(tmp_path, capsys, more):
    command = [str(tmp_path), "--cluster", "local[2]", "--name", "a", *more]
    assert main(command) == 2
    assert "give --output FILE, and no --server" in capsys.readouterr().err
