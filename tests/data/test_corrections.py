"""Excluding and relabelling: what a person has confirmed is done, and told."""

import json

import pytest
import wire
from drawn_catalogue import draw_catalogue

from fashion_keras.data.catalog import Catalog, Product
from fashion_keras.data.conversion import Request, convert
from fashion_keras.data.corrections import Corrections, apply_corrections, read_corrections
from fashion_keras.data.schema import SPLITS, DatasetInfo
from fashion_keras.errors import UserError

LABELS = ("kind", "colour")


@pytest.fixture
def catalog():
    kinds = ["Hat", "Shoe", "Hat", None]
    products = tuple(
        Product(str(i), "", {"kind": kind, "colour": "Blue"}, f"{i}.jpg", False)
        for i, kind in enumerate(kinds, start=1)
    )
    return Catalog("shop", "own", LABELS, products, (), 4, (), ())


def write(tmp_path, text, name="file.csv"):
    path = tmp_path / name
    path.write_text(text)
    return path


def kinds(catalog):
    return {product.id: product.labels["kind"] for product in catalog.products}


# ---- reading ----


@pytest.mark.parametrize("text", ["1\n\n 3 \n", "id\n1\n3\n", "rank,id,given\n1,1,Hat\n2,3,Hat\n"])
def test_ids_are_read_from_lines_and_from_a_csv(tmp_path, text):
    assert read_corrections(write(tmp_path, text), None, LABELS).exclude == {"1", "3"}


def test_labels_are_read_by_the_names_of_their_columns(tmp_path):
    text = 'id,given,colour,kind\n1,Hat,,"Hat, large"\n2,Shoe,Red,NA\n3,Hat,,\n'
    found = read_corrections(None, write(tmp_path, text), LABELS).relabel
    assert found == {"1": {"kind": "Hat, large"}, "2": {"colour": "Red", "kind": None}}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,shape\n1,Hat\n", "no column of new labels: expected some of kind, colour"),
        ("shape\nHat\n", "no column 'id': it has shape"),
        ("id,kind\n1\n", "line 2: 1 fields, expected 2"),
        ("id,kind\n,Hat\n", "line 2: no id"),
        ("id,kind\n1,Hat\n1,Shoe\n", "gives 1 two values of kind: 'Hat' and 'Shoe'"),
        ("id,kind\n", "is empty: expected a header and at least one row"),
        ("", "is empty: expected a header and at least one row"),
    ],
)
def test_a_file_that_is_no_relabelling_is_refused(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        read_corrections(None, write(tmp_path, text), LABELS)


def test_a_missing_or_empty_list_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.txt cannot be read: No such file"):
        read_corrections(tmp_path / "nowhere.txt", None, LABELS)
    with pytest.raises(UserError, match="names no product"):
        read_corrections(write(tmp_path, "\n"), None, LABELS)


@pytest.mark.parametrize(
    "data",
    [
        "sep=;\r\nid;kind\r\nä;Hüte\r\n".encode("cp1252"),
        "id;kind\r\nä;Hüte\r\n".encode("utf-8-sig"),
        "id\tkind\nä\tHüte\n".encode("utf-16"),
        'id,kind,note\nä,Hüte,"two\nlines"\n'.encode(),
    ],
)
def test_both_files_are_read_as_excel_saves_them(tmp_path, data):
    (tmp_path / "file.csv").write_bytes(data)
    found = read_corrections(tmp_path / "file.csv", tmp_path / "file.csv", LABELS, lambda line: 0)
    assert found == Corrections(frozenset("ä"), {"ä": {"kind": "Hüte"}})


@pytest.mark.parametrize("text", ["ä\r\nö\r\n", "id\r\nä\r\nö\r\n", "sep=;\nid;x\nä;\nö;\n"])
def test_an_encoding_that_is_not_utf8_is_told(tmp_path, text):
    said = []
    (tmp_path / "out.txt").write_bytes(text.encode("cp1252"))
    assert read_corrections(tmp_path / "out.txt", None, LABELS, said.append).exclude == {"ä", "ö"}
    assert len(said) == 1 and "out.txt is not UTF-8: read as Windows-1252" in said[0]


def test_a_header_that_stands_twice_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"'kind' 2 times \(columns 2 and 3\)"):
        read_corrections(None, write(tmp_path, "id,kind,kind\n1,Hat,Cap\n"), LABELS)
    with pytest.raises(UserError, match=r"'id' 2 times"):
        read_corrections(write(tmp_path, "id,id\n1,2\n"), None, LABELS)


def test_what_says_nothing_removes_a_label_whatever_the_case(tmp_path):
    text = "id,kind\n1,none\n2,NULL\n3,n/a\n4,Nan\n"
    found = read_corrections(None, write(tmp_path, text), LABELS).relabel
    assert {id: new["kind"] for id, new in found.items()} == {
        "1": None,
        "2": None,
        "3": None,
        "4": "Nan",
    }


# ---- applying ----


def test_products_are_left_out_and_relabelled(catalog):
    said = []
    corrections = Corrections(frozenset({"1"}), {"2": {"kind": "Hat"}, "4": {"kind": "Shoe"}})
    corrected, report = apply_corrections(catalog, corrections, said.append)
    assert kinds(corrected) == {"2": "Hat", "3": "Hat", "4": "Shoe"}
    assert [(row.id, row.reason) for row in corrected.left_out] == [("1", "excluded")]
    assert report["relabelled"] == [
        {"id": "2", "label": "kind", "from": "Shoe", "to": "Hat"},
        {"id": "4", "label": "kind", "from": None, "to": "Shoe"},
    ]
    assert said == ["excluded: 1 products", "relabelled: 2 products, 2 labels"]
    assert kinds(catalog)["2"] == "Shoe"  # the catalogue itself stays


def test_an_unknown_id_is_told_and_reported(catalog):
    said = []
    corrections = Corrections(frozenset({"1", "77"}))
    _, report = apply_corrections(catalog, corrections, said.append)
    assert report["unknown_ids"] == {"exclude": ["77"], "relabel": []}
    assert said[0] == "--exclude: 1 of its 2 ids are not among the products (77)"


def test_only_unknown_ids_are_a_mistake(catalog):
    with pytest.raises(UserError, match=r"none of its 1 ids is a product of shop \(77\)"):
        apply_corrections(catalog, Corrections(relabel={"77": {"kind": "Hat"}}), print)


def test_a_new_class_is_told_with_the_nearest_old_one(catalog):
    said = []
    apply_corrections(catalog, Corrections(relabel={"1": {"kind": "Shoes"}}), said.append)
    assert "'Shoes' of 1 is a new class of kind (did you mean 'Shoe'?)" in said[0]


def test_excluding_everything_is_refused(catalog):
    with pytest.raises(UserError, match="leaves no product"):
        apply_corrections(catalog, Corrections(frozenset("1234")), print)


# ---- in a conversion ----


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corrections")
    source = draw_catalogue(folder / "shop", count=30)
    convert(Request(str(source)), folder / "plain", say=lambda line: None)
    (folder / "exclude.txt").write_text("1003\n1004\n")
    (folder / "relabel.csv").write_text("id,subCategory\n1006,Shoes\n")
    return folder


def ids_by_split(records):
    info = DatasetInfo.load(records)
    return {s: [e["id"].decode() for e in wire.examples(records, info, s)] for s in SPLITS}


def test_what_stays_stays_in_its_split(shop, tmp_path):
    request = Request(
        str(shop / "shop"), exclude=f"{shop}/exclude.txt", relabel=f"{shop}/relabel.csv"
    )
    output = tmp_path / "out"
    info = convert(request, output, say=lambda line: None)
    expected = {
        split: [id for id in ids if id not in ("1003", "1004")]
        for split, ids in ids_by_split(shop / "plain").items()
    }
    assert ids_by_split(output) == expected
    assert info.left_out["excluded"] == 2
    assert info.source["request"]["corrections"]["exclude"] == 2
    assert info.source["request"]["corrections"]["relabel"] == 1
    stored = [e for s in SPLITS for e in wire.examples(output, info, s) if e["id"] == b"1006"]
    assert stored[0]["label/subCategory/text"] == b"Shoes"
    report = json.loads((output / "report.json").read_text())
    assert report["relabelled"] == [
        {"id": "1006", "label": "subCategory", "from": "Bags", "to": "Shoes"}
    ]
    assert sorted(row["id"] for row in report["left_out"]["excluded"]) == ["1003", "1004"]


def test_other_corrections_make_other_records(shop, tmp_path):
    output = tmp_path / "out"
    said = []
    exclude = tmp_path / "list.txt"
    exclude.write_text("1003\n1004\n")
    request = Request(str(shop / "shop"), exclude=str(exclude))
    convert(request, output, say=said.append)
    # The same list at another path, in another order, is the same.
    again = tmp_path / "again.txt"
    again.write_text("1004\n1003\n")
    convert(Request(str(shop / "shop"), exclude=str(again)), output, say=said.append)
    assert said[-1].endswith("nothing to do")
    again.write_text("1004\n")
    with pytest.raises(UserError, match="holds other records"):
        convert(Request(str(shop / "shop"), exclude=str(again)), output, say=said.append)


def test_a_plan_without_corrections_is_what_it_was(shop):
    # Records made before there were corrections are still these records.
    assert "corrections" not in DatasetInfo.load(shop / "plain").source["request"]
    assert "exclude" not in DatasetInfo.load(shop / "plain").source["request"]
