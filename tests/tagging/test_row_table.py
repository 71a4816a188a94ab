"""A table in three formats: written as it goes, continued after any interruption, never lost."""

import contextlib
import csv
import json
import os
import re
import subprocess
import sys

import pandas
import pytest
from pyarrow import parquet

from fashion_keras.errors import UserError
from fashion_keras.tagging.row_formats import Columns, Row
from fashion_keras.tagging.row_table import check_table, open_table

COLUMNS = Columns(["kind", "season"])
NAMES = COLUMNS.names
NOTHING = (None,) * 8
SHOES = Row("1", "a.jpg", ("Shoes", 0.75, "accept", "Bags", 0.2, "Winter", 0.5, "review"))
BAD = Row("2", 'b, "2"\n.jpg', NOTHING, error="empty file")
ALONE = Row("3", "é.jpg", ("Écharpes", 1.0, "review", None, None, "Été", 0.25, None))
ROWS = [SHOES, BAD, ALONE]
HEADER = ",".join(NAMES).encode()
FORMATS = ["out.csv", "out.jsonl", "out.parquet"]


def write(path, rows, resume=False):
    with open_table(path, COLUMNS, resume=resume) as table:
        table.write(rows)
    return table


def interrupted(path, rows):
    with pytest.raises(KeyboardInterrupt), open_table(path, COLUMNS) as table:
        table.write(rows)
        raise KeyboardInterrupt
    return path.with_name(f"{path.name}.partial")


def read(path):
    """Read by pandas: what does not depend on us."""
    if path.suffix == ".csv":
        found = pandas.read_csv(path, dtype={"id": str}, keep_default_na=True)
    elif path.suffix == ".jsonl":
        found = pandas.read_json(path, lines=True, dtype={"id": str})
    else:
        found = pandas.read_parquet(path)
    assert tuple(found.columns) == NAMES
    objects = found.astype(object)
    rows = objects.where(objects.notna(), None).itertuples(index=False)
    return [Row(id, path, tuple(tags), error) for id, path, *tags, error in rows]


@pytest.mark.parametrize("name", FORMATS)
def test_rows_are_read_by_pandas_as_they_were_written(tmp_path, name):
    write(tmp_path / name, ROWS)
    assert read(tmp_path / name) == ROWS
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_csv_is_rfc_4180(tmp_path):
    write(tmp_path / "out.csv", [SHOES, ALONE])
    assert (tmp_path / "out.csv").read_bytes().decode("utf-8").split("\r\n") == [
        "id,path,kind,kind_score,kind_decision,kind_runner_up,kind_runner_up_score,"
        "season,season_score,season_decision,error",
        "1,a.jpg,Shoes,0.750000,accept,Bags,0.200000,Winter,0.500000,review,",
        "3,é.jpg,Écharpes,1.000000,review,,,Été,0.250000,,",
        "",
    ]


def test_no_cell_of_a_csv_is_a_formula_and_rows_are_known_again(tmp_path):
    formulas = [
        Row("=7", "@a.jpg", ("+Bags", -0.5, "accept", "-Ties", 0.25, "@Fall", 0.5, None)),
        Row("-8", "=b.jpg", NOTHING, error="=1+1"),
    ]
    write(tmp_path / "out.csv", formulas)
    with open(tmp_path / "out.csv", newline="") as file:
        cells = [cell for row in list(csv.reader(file))[1:] for cell in row]
    assert [cell for cell in cells if cell.startswith(("=", "+", "-", "@"))] == ["-0.500000", "-8"]
    with open_table(tmp_path / "out.csv", COLUMNS, resume=True) as table:
        assert table.take_done("=7", "@a.jpg") and table.take_done("-8", "=b.jpg")
        assert table.errors == 1


def test_parquet_is_written_in_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr("fashion_keras.tagging.row_formats.ROW_GROUP", 2)
    write(tmp_path / "out.parquet", ROWS)
    metadata = parquet.ParquetFile(tmp_path / "out.parquet").metadata
    assert [metadata.row_group(i).num_rows for i in range(metadata.num_row_groups)] == [2, 1]


@pytest.mark.parametrize("name", FORMATS)
def test_a_row_is_on_the_disk_once_it_is_written(tmp_path, name):
    # As a killed process leaves it: no clean-up, no flush at exit.
    program = (
        "import os, sys\n"
        "from fashion_keras.tagging.row_formats import Columns, Row\n"
        "from fashion_keras.tagging.row_table import open_table\n"
        "with open_table(sys.argv[1], Columns(['kind', 'season'])) as table:\n"
        "    table.write([Row('1', 'a.jpg', (None,) * 8)])\n"
        "    os._exit(9)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, tmp_path / name], cwd=None)
    assert ended.returncode == 9
    with open_table(tmp_path / name, COLUMNS, resume=True) as table:
        assert table.rows == 1
        assert table.take_done("1", "a.jpg")


@pytest.mark.parametrize("name", FORMATS)
def test_an_interruption_keeps_the_rows_and_what_was_there(tmp_path, name):
    path = tmp_path / name
    write(path, [BAD, SHOES])
    precious = path.read_bytes()
    partial = interrupted(path, ROWS)
    assert path.read_bytes() == precious
    assert partial.exists()


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("cut", [0, 9])
def test_rows_are_counted_that_reached_the_file_before_an_interruption(
    tmp_path, monkeypatch, name, cut
):
    write_bytes = os.write

    def write_and_stop(descriptor, data):
        write_bytes(descriptor, data[: len(data) - cut])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), open_table(tmp_path / name, COLUMNS) as table:
        table.write(ROWS[:1])
        monkeypatch.setattr(os, "write", write_and_stop)
        table.write(ROWS[1:])
    monkeypatch.undo()
    assert (table.rows, table.errors) == ((3, 1) if cut == 0 else (2, 1))
    with open_table(tmp_path / name, COLUMNS, resume=True) as again:
        assert again.rows == table.rows


@pytest.mark.parametrize("name", FORMATS)
def test_what_a_killed_run_left_beside_a_table_is_removed(tmp_path, name):
    write(tmp_path / name, ROWS)
    for left in (f"{name}.partial-4711", f"{name}.partial-by-hand"):
        (tmp_path / left).write_text("half")
    (tmp_path / f".{name}.partial-killed").mkdir()
    (tmp_path / f".{name}.partial.partial-killed").mkdir()
    write(tmp_path / name, ROWS)
    assert sorted(path.name for path in tmp_path.iterdir()) == [name, f"{name}.partial-by-hand"]


@pytest.mark.parametrize("name", FORMATS)
def test_nothing_is_left_of_an_interruption_before_the_first_row(tmp_path, name):
    interrupted(tmp_path / name, [])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", FORMATS)
def test_rows_of_an_interrupted_run_are_not_overwritten(tmp_path, name):
    partial = interrupted(tmp_path / name, ROWS)
    before = partial.read_bytes()
    with pytest.raises(UserError, match="--resume"), open_table(tmp_path / name, COLUMNS):
        pytest.fail("opened")
    assert partial.read_bytes() == before


@pytest.mark.parametrize("name", FORMATS)
def test_resume_goes_on_behind_the_rows_of_an_interrupted_run(tmp_path, name):
    interrupted(tmp_path / name, ROWS[:2])
    with open_table(tmp_path / name, COLUMNS, resume=True) as table:
        assert (table.rows, table.errors) == (2, 1)
        assert table.take_done("1", "a.jpg")
        assert table.take_done("2", 'b, "2"\n.jpg')
        assert not table.take_done("3", "é.jpg")
        table.write(ROWS[2:])
    assert read(tmp_path / name) == ROWS


@pytest.mark.parametrize("name", FORMATS)
def test_resume_goes_on_behind_a_finished_table(tmp_path, name):
    write(tmp_path / name, ROWS[:2])
    assert write(tmp_path / name, ROWS[2:], resume=True).rows == 3
    assert read(tmp_path / name) == ROWS


@pytest.mark.parametrize("name", FORMATS)
def test_resume_without_anything_to_resume_starts(tmp_path, name):
    write(tmp_path / name, ROWS, resume=True)
    assert read(tmp_path / name) == ROWS


@pytest.mark.parametrize("name", ["out.csv", "out.jsonl"])
def test_wherever_a_row_is_cut_it_is_done_again_and_no_other(tmp_path, name):
    path = tmp_path / name
    partial = interrupted(path, [SHOES, ALONE, SHOES._replace(id="4")])
    whole = partial.read_bytes()
    first_two = whole[: whole.rindex(b"\n", 0, -1) + 1]
    for length in range(len(first_two), len(whole)):
        partial.write_bytes(whole[:length])
        with open_table(path, COLUMNS, resume=True) as table:
            assert table.rows == 2
            assert not table.take_done("4", "a.jpg")
            table.write([SHOES._replace(id="4")])
        assert path.read_bytes() == whole
        path.rename(partial)


def test_a_table_cut_within_its_header_starts_anew(tmp_path):
    path = tmp_path / "out.csv"
    header = HEADER + b"\r\n"
    for length in range(len(header) + 1):
        (tmp_path / "out.csv.partial").write_bytes(header[:length])
        assert write(path, [SHOES], resume=True).rows == 1
        assert read(path) == [SHOES]
        path.unlink()


def test_a_finished_table_without_its_last_end_of_line_keeps_its_last_row(tmp_path):
    # Editors save it so.
    path = tmp_path / "out.csv"
    write(path, ROWS)
    path.write_bytes(path.read_bytes().rstrip())
    assert write(path, [SHOES], resume=True).rows == 4
    assert read(path) == [*ROWS, SHOES]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("out.csv", b"id,name\r\n1,shirt\r\n"),
        ("out.csv", b"path,class,score,runner_up,runner_up_score,error\r\n"),
        ("out.csv", HEADER + b"\r\n1,a.jpg,Shoes\r\n"),
        ("out.csv", HEADER + b"\r\n1,a.jpg,Shoes,many,,,,,,,\r\n"),
        ("out.csv", HEADER + b'\r\n1,"a.jpg,Shoes,,,,,,,,\r\n2,b,,,,,,,,,\r\n'),
        ("out.jsonl", b'{"id": 1}\n'),
        ("out.jsonl", b"[]\n"),
        ("out.jsonl", b"\x00\x00\x00\n"),
        ("out.parquet", b'{"id": 1}\n'),
    ],
)
@pytest.mark.parametrize("ending", ["", ".partial"])
def test_a_file_that_is_no_such_table_is_left_as_it_is(tmp_path, name, content, ending):
    there = tmp_path / f"{name}{ending}"
    there.write_bytes(content)
    with pytest.raises(UserError, match="cannot be continued"):
        write(tmp_path / name, ROWS, resume=True)
    assert there.read_bytes() == content
    assert list(tmp_path.iterdir()) == [there]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("out.csv", b"sku,path,price\r\n1,a.jpg,10\r\n"),
        ("out.csv", b"id,path"),
        ("out.jsonl", b'{"sku": 1}'),
        ("out.parquet", b"PAR1 and no more"),
    ],
)
def test_a_file_that_is_no_such_table_is_not_replaced(tmp_path, name, content):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(UserError, match="another --output"):
        write(path, ROWS)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("name", FORMATS)
def test_an_earlier_table_and_an_empty_file_are_replaced(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"")
    write(path, [SHOES])
    write(path, [BAD, ALONE])
    assert read(path) == [BAD, ALONE]


EARLIER = {"id": "1", "path": "a.jpg", "class": "Shoes", "score": 0.5, "runner_up": None}
EARLIER |= {"runner_up_score": None, "decision": None, "error": None}


def write_others(path, columns, partial):
    """Write a table of one row with other columns: of other labels, or as earlier versions did."""
    if columns == "earlier":
        frame = pandas.DataFrame([EARLIER])
        save = {".csv": frame.to_csv, ".jsonl": frame.to_json, ".parquet": frame.to_parquet}
        options = (
            {"orient": "records", "lines": True} if path.suffix == ".jsonl" else {"index": False}
        )
        save[path.suffix](path, **options)
        return path
    columns = Columns(columns)
    with contextlib.suppress(KeyboardInterrupt), open_table(path, columns) as table:
        table.write([columns.row(["1", "a.jpg", *[None] * (len(columns.names) - 3), "gone"])])
        if partial:
            raise KeyboardInterrupt
    return path.with_name(f"{path.name}.partial") if partial else path


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("partial", [False, True])
@pytest.mark.parametrize("labels", [["season", "kind"], ["kind"], ["kind", "season", "use"]])
def test_a_table_of_other_labels_is_not_continued(tmp_path, name, labels, partial):
    there = write_others(tmp_path / name, labels, partial)
    before = there.read_bytes()
    said = f"{there} cannot be continued with kind, season: it has the labels {', '.join(labels)}; "
    with pytest.raises(UserError, match=re.escape(said + "give --label")) as error:
        write(tmp_path / name, ROWS, resume=True)
    assert "\n" not in str(error.value)
    assert there.read_bytes() == before and list(tmp_path.iterdir()) == [there]


@pytest.mark.parametrize("name", FORMATS)
def test_a_table_of_an_earlier_version_is_replaced_and_not_continued(tmp_path, name):
    path = write_others(tmp_path / name, "earlier", False)
    with pytest.raises(UserError, match="columns of an earlier version; name another --output"):
        write(path, ROWS, resume=True)
    write(path, ROWS)
    assert read(path) == ROWS


def test_a_finished_table_of_other_labels_is_replaced(tmp_path):
    path = write_others(tmp_path / "out.csv", ["use"], False)
    write(path, ROWS)
    assert read(path) == ROWS


def test_photos_of_the_same_name_have_a_row_each(tmp_path):
    path = tmp_path / "out.csv"
    interrupted(path, [SHOES, SHOES])
    with open_table(path, COLUMNS, resume=True) as table:
        taken = [table.take_done("1", "a.jpg") for _ in range(3)]
        assert taken == [True, True, False]
        assert not table.take_done("2", "a.jpg")


def test_two_processes_do_not_write_one_table(tmp_path):
    with open_table(tmp_path / "out.csv", COLUMNS) as table:
        table.write([SHOES])
        with (
            pytest.raises(UserError, match="another process"),
            open_table(tmp_path / "out.csv", COLUMNS, resume=True),
        ):
            pytest.fail("opened")
    assert read(tmp_path / "out.csv") == [SHOES]


@pytest.mark.parametrize("name", FORMATS)
def test_names_that_are_no_unicode_are_written_and_found_again(tmp_path, name):
    from fashion_keras.tagging.prediction import Prediction, table_row

    odd = b"caf\xe9.jpg".decode("utf-8", "surrogateescape")
    bad = table_row(Prediction(odd, error="gone", id="1"), COLUMNS.labels)
    partial = interrupted(tmp_path / name, [bad])
    cells = (
        next(csv.reader([partial.read_text("utf-8").splitlines()[1]]))
        if name == "out.csv"
        else list(json.loads(partial.read_text("utf-8")).values())
    )
    assert cells[1] == r"caf\udce9.jpg"
    with open_table(tmp_path / name, COLUMNS, resume=True) as table:
        assert table.take_done("1", odd)


def test_an_unknown_ending_is_an_error(tmp_path):
    with pytest.raises(UserError, match=r"\.csv, \.jsonl, \.parquet"):
        check_table(tmp_path / "out.xlsx", "--output")
