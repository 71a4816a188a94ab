"""Damaged zips and CSVs through convert and predict: refused, or every row accounted for."""

import hashlib
import io
import json
import zipfile

import pytest
from faults import archive_faults
from faults.archive_faults import COUNT, CSV, LABELS, PHOTOS, photo_name
from faults.children import run_child

pytestmark = pytest.mark.faults

TRUE = {id: hashlib.sha256(data).hexdigest() for id, data in PHOTOS.items()}


def through_both(sources, folder):
    """Put each archive through convert and predict; return both doors' accounts by name."""
    for name, data in sources.items():
        path = folder / "sources" / name.replace("/", "_")
        path.parent.mkdir(exist_ok=True)
        if name.startswith("csv "):
            (path / "images").mkdir(parents=True)
            (path / CSV).write_bytes(data)
            for id, photo in PHOTOS.items():
                (path / photo_name(id)).write_bytes(photo)
        else:
            path.with_name(f"{path.name}.zip").write_bytes(data)
    found = {}
    for door in ("convert", "list"):
        argv = [folder / "sources", folder / door]
        ended = run_child(f"faults.doors:{door}_each", argv, folder / "said", longest=600)
        working = folder / door / "working on"
        assert ended.code == 0, f"{working.read_text()}: {ended.last()}"
        raw = json.loads((folder / door / "found.json").read_text())
        found[door] = {name.removesuffix(".zip"): account for name, account in raw.items()}
    return found["convert"], found["list"]


@pytest.fixture(scope="module")
def zips():
    return {name.replace("/", "_"): data for name, data in archive_faults.mutated_zips().items()}


@pytest.fixture(scope="module")
def zips_read(zips, tmp_path_factory):
    return through_both(zips, tmp_path_factory.mktemp("zips"))


@pytest.fixture(scope="module")
def csvs():
    kinds = {"sound": archive_faults.sound_csvs(), "broken": archive_faults.broken_csvs()}
    return {
        f"csv {kind} {name}": data for kind, some in kinds.items() for name, data in some.items()
    }


@pytest.fixture(scope="module")
def csvs_read(csvs, tmp_path_factory):
    return through_both(csvs, tmp_path_factory.mktemp("csvs"))


def unexpected(account) -> str:
    """Say what ended a command but a line for the user."""
    if account["code"] not in (0, 2) or "Traceback" in account["err"]:
        last = (account["err"].strip().splitlines() or ["nothing said"])[-1]
        return f"code {account['code']}: {last[:200]}"
    if account["code"] == 2 and not account["err"].startswith("error: "):
        return f"refused with {account['err'][:100]!r}"
    if account.get("left"):
        return f"left {account['left']}"
    return ""


@pytest.mark.parametrize("kind", ["zips", "csvs"])
def test_what_cannot_be_read_is_answered_with_a_line(request, figures, kind):
    doors = request.getfixturevalue(f"{kind}_read")
    wrong = [
        f"{door}: {name}: {problem}"
        for door, found in zip(("convert", "predict"), doors, strict=True)
        for name, account in found.items()
        if (problem := unexpected(account))
    ]
    refused = sum(account["code"] == 2 for account in doors[0].values())
    figures(f"{kind}: {len(doors[0])} read, {refused} refused by convert, {len(wrong)} tracebacks")
    assert len(doors[0]) >= 75
    assert not wrong, "\n".join([f"{len(wrong)} tracebacks", *wrong[:40]])


def test_convert_accounts_for_every_row_of_a_damaged_zip(zips, zips_read, figures):
    accepted = {name: account for name, account in zips_read[0].items() if account["code"] == 0}
    wrong = [
        f"{name}: {problem}"
        for name, account in accepted.items()
        if (problem := lost_from_zip(account, zips[name]))
    ]
    figures(f"zips: {len(accepted)} accepted by convert, {len(wrong)} wrong in silence")
    assert "sound" in accepted and len(accepted) > 10
    assert not wrong, "\n".join([f"{len(wrong)} wrong", *wrong[:40]])


def lost_from_zip(account, data: bytes) -> str:
    if problem := unaccounted(account):
        return problem
    if account["report"]["rows"] != COUNT:
        return f"{account['report']['rows']} rows of {COUNT}"
    for id, (label, digest) in account["products"].items():
        if label != LABELS[id] or digest != TRUE[id]:
            return f"{id} has another photo or class"
    said = {
        row["id"]: reason for reason, rows in account["report"]["left_out"].items() for row in rows
    }
    for id in sorted(TRUE.keys() - account["products"].keys()):
        name = photo_name(id)
        if python_reads(data, name) or (said[id] == "no photo" and lies_in(data, name)):
            return f"the photo of {id} is in it, and counted as: {said[id]}"
    return ""


def python_reads(data: bytes, name: str) -> bool:
    """Say whether Python's own reader finds a file in the zip, with its checksum and its size."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            return len(file.read(name)) == file.getinfo(name).file_size
    except Exception:  # damaged zips raise nearly anything
        return False


def lies_in(data: bytes, name: str) -> bool:
    """Say whether a file lies in the zip as it was packed, whatever the directory says."""
    sound = archive_faults.sound_zip()
    start = sound.index(b"PK\3\4", max(0, sound.index(name.encode()) - 30))
    return sound[start : sound.index(b"PK", start + 4)] in data


def unaccounted(account) -> str:
    """Say where convert's counts do not add up."""
    report, products = account["report"], account["products"]
    left_out = sum(map(len, report["left_out"].values()))
    if report["rows"] != report["products"] + left_out:
        return f"{report['rows']} rows, {report['products']} products, {left_out} left out"
    if report["products"] != len(products):
        return f"{report['products']} products, {len(products)} stored"
    return ""


def test_predict_loses_no_photo_of_a_damaged_zip(zips, zips_read, figures):
    accepted = {name: account for name, account in zips_read[1].items() if account["code"] == 0}
    wrong = []
    for name, account in accepted.items():
        rows = {id: digest for id, error, digest in account["rows"] if not error}
        if false := [id for id, digest in rows.items() if id in TRUE and digest != TRUE[id]]:
            wrong.append(f"{name}: {false[0]} has another's bytes")
        known = {id for id, _, _ in account["rows"]}
        lost = [id for id in TRUE.keys() - known if lies_in(zips[name], photo_name(id))]
        if lost:
            wrong.append(f"{name}: {len(lost)} photos have no row ({sorted(lost)[0]})")
    figures(f"zips: {len(accepted)} accepted by predict, {len(wrong)} wrong in silence")
    assert "sound" in accepted
    assert not wrong, "\n".join([f"{len(wrong)} wrong", *wrong[:40]])


def test_the_catalogue_is_the_same_however_its_csv_is_written(csvs_read, figures):
    wrong, read = [], 0
    for name, account in csvs_read[0].items():
        if name.startswith("csv sound ") and account["code"] == 0:
            read += 1
            labels = {id: label for id, (label, _) in account["products"].items()}
            if labels != LABELS:
                wrong.append(f"{name}: {len(labels.items() & LABELS.items())} of {COUNT} right")
    figures(f"csvs: {read} of the sound ones read, {len(wrong)} otherwise than meant")
    assert read > 15
    assert not wrong, "\n".join(wrong)


def test_every_row_of_a_damaged_csv_is_accounted_for(csvs, csvs_read, figures):
    wrong, accepted = [], 0
    for name, account in csvs_read[0].items():
        if account["code"] == 0:
            accepted += 1
            problem = unaccounted(account)
            lines = [line for line in csvs[name].splitlines() if line.strip(b", \t")]
            if "broken" in name and b'"' not in csvs[name] and b"sep=" not in csvs[name]:
                rows, there = account["report"]["rows"], len(lines) - 1
                if not problem and b"\0" not in csvs[name] and rows != there:
                    problem = f"{rows} rows of {there} lines"
            if problem:
                wrong.append(f"{name}: {problem}")
    figures(f"csvs: {accepted} accepted by convert, {len(wrong)} with rows unaccounted for")
    assert not wrong, "\n".join(wrong)


def test_convert_and_predict_read_the_same_rows_of_a_csv(csvs_read, figures):
    converted, listed = csvs_read
    wrong = []
    for name, account in converted.items():
        if account["code"] == listed[name]["code"] == 0:
            rows, photos = account["report"]["rows"], len(listed[name]["rows"])
            if rows != photos:
                wrong.append(f"{name}: {rows} rows for convert, {photos} for predict")
        elif name.startswith("csv sound") and account["code"] != listed[name]["code"]:
            wrong.append(f"{name}: convert {account['code']}, predict {listed[name]['code']}")
    figures(f"csvs: {len(converted)} by both readers, {len(wrong)} disagreements")
    assert not wrong, "\n".join(wrong)
