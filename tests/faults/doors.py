"""Photos through the demo's and predict's doors in a child; verdicts and pixels out.

run_child("faults.doors:look", [folder, bundle, out], scratch)
"""

import contextlib
import hashlib
import io
import json
import traceback
from pathlib import Path

import numpy as np

_JPEG = b"\xff\xd8\xff"


def look(argv) -> int:
    """Read every photo of `folder`; write `verdicts.json` and each door's pixels into `out`.

    A verdict is "" for a photo that was taken, or what it was refused with; what anything but
    `UserError` says begins with `Traceback`.
    """
    folder, bundle, out = map(Path, argv)
    out.mkdir(exist_ok=True)
    from fashion_keras.serving.bundle import Bundle

    bundle = Bundle(_version(bundle))
    verdicts, pixels = {"demo": {}, "predict": {}}, {"demo": {}, "predict": {}}
    for path in sorted(folder.iterdir()):
        for door, read in (("demo", _uploaded), ("predict", _tagged)):
            verdicts[door][path.name], found = _verdict(read, path, bundle)
            if found is not None:
                pixels[door][path.name] = found
    (out / "verdicts.json").write_text(json.dumps(verdicts))
    for door, arrays in pixels.items():
        np.savez(out / f"{door}.npz", **arrays)
    return 0


def stored(argv) -> int:
    """Decode the photos of `records` as training does; write them by id into `out`."""
    records, out = map(Path, argv)
    from fashion_keras.data.image import decode
    from fashion_keras.data.schema import DatasetInfo
    from fashion_keras.data.tfrecord import read_records

    info, found = DatasetInfo.load(records), {}
    for split in info.splits:
        if info.splits[split].num_examples:
            for product in read_records(records, info, split, [], parallel_reads=1):
                found[product["id"].numpy().decode()] = decode(product["encoded"]).numpy()
    np.savez(out, **found)
    return 0


def _version(bundle: Path) -> Path:
    from fashion_keras.serving.layout import find_version

    return find_version(bundle)


def _uploaded(path: Path) -> bytes:
    from fashion_keras.pages.answers import read_upload

    return read_upload(path.read_bytes())[0]


def _tagged(path: Path) -> bytes:
    from fashion_keras.errors import UserError
    from fashion_keras.tagging.sources import PhotoSource

    with PhotoSource([str(path)]) as source:
        (photo,) = source.photos()
    if photo.error:
        raise UserError(photo.error)
    return photo.encoded


def _verdict(read, path, bundle):
    from fashion_keras.data.image import decode
    from fashion_keras.errors import UserError
    from fashion_keras.serving.decoding import exif_orientation, turn_upright

    try:
        encoded = read(path)
        if bundle.classify(encoded) is None:
            return "refused by the model", None
        with contextlib.suppress(Exception):  # the graph has taken it: what it saw is of no use
            orientation = exif_orientation(encoded) if encoded[:3] == _JPEG else 1
            return "", turn_upright(decode(encoded), orientation).numpy()
        return "Traceback: the model takes what training's decoder refuses", None
    except UserError as error:
        return str(error) or "no reason", None
    except BaseException:
        return traceback.format_exc(), None


def convert_each(argv) -> int:
    """Convert each archive of `folder` (a zip or a folder); write what came of it into `out`."""
    folder, out = map(Path, argv)
    from fashion_keras.convert import main as convert_main

    _each(folder, out, lambda source: _converted(convert_main, source, out / source.name))
    return 0


def list_each(argv) -> int:
    """Read all photos of each input of predict in `folder`; write what came of it into `out`."""
    folder, out = map(Path, argv)
    _each(folder, out, _listed)
    return 0


def _each(folder: Path, out: Path, look) -> None:
    out.mkdir(exist_ok=True)
    found = {}
    for source in sorted(folder.iterdir()):
        (out / "working on").write_text(source.name)  # for whoever finds this process hung
        found[source.name] = look(source)
    (out / "found.json").write_text(json.dumps(found))


def _said(command) -> dict:
    """Run a command in this process; return its exit code and what it said."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = command()
        except SystemExit as end:
            code = end.code
        except BaseException:
            code = 1
            traceback.print_exc(file=err)
    return {"code": code, "out": out.getvalue(), "err": err.getvalue()}


def _converted(main, source: Path, output: Path) -> dict:
    from fashion_keras.data.schema import DatasetInfo
    from fashion_keras.data.tfrecord import read_records

    argv = ["--source", str(source), "--output", str(output), "--csv", "products.csv",
            "--id-column", "id", "--image-column", "photo", "--label-column", "category",
            "--split", "stratified"]  # fmt: skip
    found = _said(lambda: main(argv))
    if found["code"] == 0:
        found["report"] = json.loads((output / "report.json").read_text("utf-8"))
        info, products = DatasetInfo.load(output), {}
        for split in info.splits:
            if info.splits[split].num_examples:
                for product in read_records(output, info, split, ["category"], texts=True):
                    digest = hashlib.sha256(product["encoded"].numpy()).hexdigest()
                    label = product["text"].numpy()[0].decode()
                    products[product["id"].numpy().decode()] = [label, digest]
        found["products"] = products
    left = (f"{output.name}.", f".{output.name}.")
    found["left"] = [path.name for path in output.parent.iterdir() if path.name.startswith(left)]
    return found


def _listed(source: Path) -> dict:
    from fashion_keras.commands import run_command
    from fashion_keras.tagging.sources import PathColumns, PhotoSource

    if source.is_dir():
        source = source / "products.csv"
    rows = []

    def read(argv):
        with PhotoSource([str(source)], PathColumns("photo", "id")) as photos:
            for photo in photos.photos():
                digest = hashlib.sha256(photo.encoded).hexdigest()
                rows.append([photo.id, photo.error, digest])

    return _said(lambda: run_command(read, None)) | {"rows": rows}


def export_and_ask(argv) -> int:
    """Export a run, and write what the bundle says of the first photos of a folder."""
    run, models, photos, out = map(Path, argv)
    from fashion_keras.export import main

    if code := main(["--model", str(run), "--output", str(models)]):
        return code
    from fashion_keras.serving.bundle import Bundle

    version = _version(models)
    bundle = Bundle(version)
    heads = [bundle.classify(path.read_bytes()) for path in sorted(photos.iterdir())[:4]]
    about = json.loads((version / "assets" / "fashion_keras.json").read_text("utf-8"))
    out.write_text(json.dumps([about, heads]))
    return 0


def search_index(argv) -> int:
    """Load an index as the demo does, and write the products most like each axis."""
    folder, out = map(Path, argv)
    from fashion_keras.commands import run_command
    from fashion_keras.pages.gallery import Gallery

    def search(_):
        gallery = Gallery.load(folder)
        vectors = np.eye(64, gallery.embeddings.shape[1], dtype=np.float32)
        nearest = [gallery.nearest(vector, 3) for vector in vectors]
        found = [
            [vars(n) | {"photo": hashlib.sha256(n.photo).hexdigest()} for n in some]
            for some in nearest
        ]
        out.write_text(json.dumps([gallery.weights_sha256, len(gallery.examples), found]))

    return run_command(search, None)


def train_or_tidy(argv) -> int:
    """Train; where it is refused, take the damaged run away, which is no leftover of training."""
    import shutil

    from fashion_keras.train import main

    if code := main(list(argv)):
        shutil.rmtree(argv[argv.index("--workdir") + 1])
    return code
