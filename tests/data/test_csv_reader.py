"""CSVs as people give them: of Excel, of shops, of hands."""

import csv
import io
import random

import pandas as pd
import pytest

from fashion_keras.data.csv_reader import is_csv, parse_csv, read_csv
from fashion_keras.errors import UserError

ROWS = [["1", "Hat, straw"], ["2", 'the "best"; one'], ["3", "two\nlines"]]


def parse(text, where="a.csv"):
    return parse_csv(text.encode() if isinstance(text, str) else text, where)


def written(rows, delimiter=",", end="\r\n", quoting=csv.QUOTE_MINIMAL):
    file = io.StringIO()
    csv.writer(file, delimiter=delimiter, lineterminator=end, quoting=quoting).writerows(rows)
    return file.getvalue()


@pytest.mark.parametrize(
    ("end", "quoting"),
    [
        ("\n", csv.QUOTE_MINIMAL),
        ("\r\n", csv.QUOTE_MINIMAL),
        ("\n", csv.QUOTE_ALL),
        ("\r", csv.QUOTE_ALL),
    ],
)
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_every_delimiter_line_end_and_quoting_is_read(delimiter, end, quoting):
    table = parse(written([["id", "kind"], *ROWS], delimiter, end, quoting))
    assert (table.header, table.rows, table.note) == (["id", "kind"], ROWS, "")
    assert table.lines == [2, 3, 4]


@pytest.mark.parametrize("first", ["sep=;", "SEP=;", '"sep=;"', "sep=;;"])
def test_excels_line_says_the_delimiter(first):
    table = parse(f"{first}\r\nid;price, EUR\r\n1;2,50\r\n")
    assert (table.header, table.rows, table.lines) == (["id", "price, EUR"], [["1", "2,50"]], [3])


def test_a_delimiter_of_excels_line_may_be_any_sign():
    assert parse("sep=|\nid|kind\n1|a;b,c\n").rows == [["1", "a;b,c"]]


def test_a_header_with_two_delimiters_is_split_as_the_rows_are():
    assert parse("id;price, EUR\n1;5\n2;6\n").header == ["id", "price, EUR"]
    assert parse("id,colour;shade\n1,red\n2,blue\n").header == ["id", "colour;shade"]
    assert parse('"a;b;c",d\n1,2\n').header == ["a;b;c", "d"]


def test_blank_lines_are_passed_over_and_lines_still_count():
    table = parse("\n\nid,kind\n\n1,Hat\n,\n2,Cap\n")
    assert (table.rows, table.lines) == ([["1", "Hat"], ["2", "Cap"]], [5, 7])


def test_empty_cells_at_the_end_of_a_row_are_cut_and_others_are_not():
    table = parse('id;kind\n1;Hat;;\n2;Hat;x\n3\n4;"a\nb";\n')
    assert table.rows == [["1", "Hat"], ["2", "Hat", "x"], ["3"], ["4", "a\nb"]]


def test_a_stray_quote_spoils_its_own_row_alone():
    text = 'id,kind,note\n1,Hat,"two\nlines"\n2,"5 inch,x\n3,Cap,"a\nb"\n4,"y" z,x\n5,Hat,x\n'
    assert parse(text).rows == [
        ["1", "Hat", "two\nlines"],
        ["2", '"5 inch', "x"],
        ["3", "Cap", "a\nb"],
        ["4", '"y" z', "x"],
        ["5", "Hat", "x"],
    ]


def test_a_stray_quote_that_another_one_closes_swallows_no_row():
    text = 'id,kind,note\n1,"a,x\n2,b",x,y\n3,"c",x\n'
    assert parse(text).rows == [["1", '"a', "x"], ["2", 'b"', "x", "y"], ["3", "c", "x"]]


def test_many_stray_quotes_take_no_longer_than_their_lines():
    lines = "".join(f'{i},"open,x\n' for i in range(20_000))
    assert len(parse(f"id,kind,note\n{lines}").rows) == 20_000


@pytest.mark.parametrize("encoding", ["utf-8-sig", "cp1252", "utf-16"])
def test_encodings_of_excel_are_read(encoding):
    table = parse("id;Größe\r\n1;XL\r\n".encode(encoding))
    assert table.header == ["id", "Größe"]
    assert bool(table.note) == (encoding != "utf-8-sig")


def test_it_reads_what_pandas_reads():
    rng = random.Random(3)
    cells = ["", "a", "a b", 'say "x"', "x;y", "x,y", "two\nlines", "ä", "\t", "'", " a "]
    for _ in range(200):
        rows = [[rng.choice(cells) for _ in range(4)] for _ in range(rng.randint(1, 8))]
        rows = [["x", *row[1:]] for row in rows]
        text = written([["a", "b", "c", "d"], *rows], end="\n")
        frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
        assert parse(text).rows == frame.to_numpy().tolist()


# ---- columns ----


def test_a_column_is_found_by_its_name():
    assert parse("a, b ,c\n1,2,3\n").index("b") == 1


def test_a_column_that_stands_twice_is_an_error_where_it_is_used():
    table = parse("sku,category,price,category\n1,a,2,b\n")
    assert table.index("sku") == 0
    with pytest.raises(UserError, match=r"'category' 2 times \(columns 2 and 4\)"):
        table.index("category", "--label-column")


def test_a_column_that_is_not_there_names_the_others_and_the_option():
    with pytest.raises(UserError, match=r"'ski' \(did you mean 'sku'\?\).*\nName .* --id-column"):
        parse("sku,kind\n1,a\n").index("ski", "--id-column")


# ---- what is no table ----


@pytest.mark.parametrize("text", ["", "\n\n", "id,kind\n", "sep=;\nid;kind\n", "sep=;"])
def test_a_csv_without_rows_is_refused(text):
    with pytest.raises(UserError, match=r"a\.csv is empty: expected a header and at least one row"):
        parse(text)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match=r".*nowhere\.csv cannot be read: No such file"):
        read_csv(tmp_path / "nowhere.csv")
    with pytest.raises(UserError, match="cannot be read"):
        read_csv(tmp_path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1\n2\n", False),
        ("id\n1\n", True),
        ('"id"\r\n1\r\n', True),
        ("\nid;kind\n1;a\n", True),
        ("id\tkind\n", True),
        ("sep=;\nid\n", True),
        ("shirts/1\n", False),
        ("", False),
    ],
)
def test_a_csv_is_told_from_a_list(text, expected):
    assert is_csv(text, "id") == expected
