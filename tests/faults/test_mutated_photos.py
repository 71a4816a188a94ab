"""Hundreds of damaged photos through convert, predict and the demo: one verdict, true pixels."""

import csv
import io
import json
from collections import Counter

import numpy as np
import pytest
from faults.children import run_child
from faults.photo_faults import mutated_photos
from faults.shop import predict_argv
from PIL import Image, ImageFile, PngImagePlugin

pytestmark = pytest.mark.faults

DOORS = ("convert", "predict", "demo")
MOST_PIXELS = 64_000_000
LARGEST = 320  # pixels, of what convert keeps
_TURNED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}  # fmt: skip


@pytest.fixture(scope="module")
def photos():
    return mutated_photos()


@pytest.fixture(scope="module")
def looked_at(shop, photos, tmp_path_factory):
    """Each door's verdicts by photo, and the pixels of those that it took."""
    folder = tmp_path_factory.mktemp("photos")
    (folder / "images").mkdir()
    for name, data in photos.items():
        (folder / "images" / name).write_bytes(data)
    with open(folder / "products.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "path", "category"])
        for number, name in enumerate(photos):
            writer.writerow([number, f"images/{name}", ("Bags", "Shoes")[number % 2]])
    converted = _convert(folder, photos)
    out = folder / "looked"
    ended = run_child("faults.doors:look", [folder / "images", shop.bundle, out], folder / "said")
    assert ended.code == 0, ended.err
    verdicts = json.loads((out / "verdicts.json").read_text())
    found = {door: (verdicts[door], np.load(out / f"{door}.npz")) for door in ("demo", "predict")}
    return found | {"convert": converted, "folder": folder}


def _convert(folder, photos):
    argv = ["--source", folder, "--output", folder / "records", "--csv", "products.csv",
            "--id-column", "id", "--image-column", "path", "--label-column", "category",
            "--max-size", LARGEST]  # fmt: skip
    ended = run_child("fashion_keras.convert", argv, folder / "said")
    if ended.code:
        return {name: ended.err for name in photos}, {}
    report = json.loads((folder / "records" / "report.json").read_text("utf-8"))
    names = list(photos)
    verdicts = dict.fromkeys(photos, "")
    for rows in report["left_out"].values():
        verdicts |= {names[int(row["id"])]: row["detail"] or "no reason" for row in rows}
    out = folder / "stored.npz"
    ended = run_child("faults.doors:stored", [folder / "records", out], folder / "said")
    assert ended.code == 0, ended.err
    pixels = np.load(out)
    return verdicts, {names[int(id)]: pixels[id] for id in pixels.files}


def decoded(data: bytes) -> Image.Image | None:
    """Decode a photo fully by Pillow alone, upright, on white; None where Pillow cannot."""
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    # Long texts and profiles are no damage to the pixels.
    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 2**28
    formats = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
    try:
        with Image.open(io.BytesIO(data), formats=formats) as image:
            if image.width * image.height > MOST_PIXELS:
                return None
            image.load()
            orientation = 1
            if image.format != "TIFF":  # Pillow turns those itself
                try:
                    orientation = image.getexif().get(0x0112, 1)
                except Exception:  # junk for EXIF: upright
                    orientation = 1
            if image.mode.startswith("I"):
                grey = np.asarray(image, np.int64) / 256
                image = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
            if image.has_transparency_data:
                image = image.convert("RGBA")
                white = Image.new("RGBA", image.size, "white")
                white.alpha_composite(image)
                image = white
            image = image.convert("RGB")
            return image.transpose(_TURNED[orientation]) if orientation in _TURNED else image
    except Exception:  # whatever a decoder raises
        return None


def test_no_photo_raises_anything_but_its_reason(looked_at, photos, figures):
    raised = [
        f"{door}: {name}: {verdict.strip().splitlines()[-1][:200]}"
        for door in DOORS
        for name, verdict in looked_at[door][0].items()
        if "Traceback" in verdict
    ]
    figures(f"photos: {len(photos)} through {len(DOORS)} doors, {len(raised)} tracebacks")
    assert len(photos) >= 300
    assert not raised, "\n".join([f"{len(raised)} tracebacks", *raised[:30]])


def test_convert_predict_and_demo_take_the_same_photos(looked_at, photos, figures):
    verdicts = {name: [looked_at[door][0][name] for door in DOORS] for name in photos}
    differ = [
        f"{name}: {dict(zip(DOORS, (v[:60] or 'taken' for v in found), strict=True))}"
        for name, found in verdicts.items()
        if len({not verdict for verdict in found}) > 1
    ]
    taken = sum(not any(found) for found in verdicts.values())
    figures(f"photos: {taken} taken by all, {len(differ)} disagreements")
    assert not differ, "\n".join([f"{len(differ)} disagreements", *differ[:40]])


def test_predict_gives_every_photo_a_class_or_a_reason(shop, looked_at, photos):
    folder, verdicts = looked_at["folder"], looked_at["predict"][0]
    argv = predict_argv(shop.bundle, folder / "tags.csv", folder / "products.csv")
    ended = run_child("fashion_keras.predict", argv, folder / "said")
    assert ended.code == 0, ended.last()
    with open(folder / "tags.csv", encoding="utf-8", newline="") as file:
        rows = {row["path"].removeprefix("images/"): row for row in csv.DictReader(file)}
    assert rows.keys() == photos.keys()
    for name, row in rows.items():
        assert bool(row["subCategory"]) != bool(row["error"]), name
        assert bool(row["error"]) == bool(verdicts[name]), (name, row["error"], verdicts[name])


@pytest.mark.parametrize("door", DOORS)
def test_the_pixels_of_what_is_taken_are_those_of_a_full_decode(looked_at, photos, figures, door):
    verdicts, pixels = looked_at[door]
    wrong, compared = [], 0
    for name, verdict in verdicts.items():
        if verdict:
            continue
        compared += 1
        truth = decoded(photos[name])
        if truth is None:
            wrong.append(f"{name}: taken, and Pillow cannot decode it")
        elif name not in pixels:
            wrong.append(f"{name}: taken, and not kept")
        elif far := _far_apart(pixels[name], truth):
            wrong.append(f"{name}: {far}")
    figures(f"photos: {door}: {compared} compared with a full decode, {len(wrong)} differ")
    assert compared, "nothing was taken"
    assert not wrong, "\n".join([f"{len(wrong)} differ", *wrong[:40]])


def _far_apart(kept: np.ndarray, truth: Image.Image) -> str:
    """Say in what a kept photo differs from the truth, beyond what one more JPEG costs."""
    height, width = kept.shape[:2]
    if abs(height / width - truth.height / truth.width) > 0.05 * height / width + 1 / width:
        return f"{width}×{height} of {truth.width}×{truth.height}"
    if (width, height) != truth.size:
        truth = truth.resize((width, height), Image.Resampling.LANCZOS, reducing_gap=3)
    difference = np.abs(kept.astype(int) - np.asarray(truth, int)).mean()
    return f"its pixels differ by {difference:.1f} of 255" if difference > 6 else ""


def test_what_is_refused_is_no_photo_that_pillow_reads_in_full(looked_at, photos, figures):
    """A damaged photo may be refused though Pillow forgives it; a sound one may not."""
    refused = Counter()
    wrong = []
    for name in photos:
        if verdict := looked_at["convert"][0][name]:
            forgiven = decoded(photos[name]) is not None
            refused["that Pillow forgives" if forgiven else "that Pillow refuses"] += 1
            if forgiven and any(word in name for word in ("sound", "called", "without-ending")):
                wrong.append(f"{name}: {verdict}")
    figures(f"photos: convert refuses {dict(refused)}")
    assert not wrong, "\n".join(wrong)
