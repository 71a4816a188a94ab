"""`fashion-keras demo`: a model in, a web page to drop photos on out.

fashion-keras demo [--model MODEL] [--index DIR] [--run RUN] [--examples DIR]
fashion-keras demo [--model MODEL] --index DIR --build-index RECORDS
"""

from __future__ import annotations

import argparse
import errno
import importlib.metadata
import itertools
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from fashion_keras.commands import positive_int, run_command
from fashion_keras.data.photo import START_BYTES, photo_format, readable_formats
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.errors import UserError
from fashion_keras.io import place
from fashion_keras.reading import read_start
from fashion_keras.released import DEFAULT
from fashion_keras.run import Run, check_run, load_run
from fashion_keras.serving.layout import find_model, info_of
from fashion_keras.text import command

_EXAMPLES = """\
examples:
  fashion-keras demo
      try the model that comes with the package: drop photos at http://127.0.0.1:7860 and see every
      label's best classes, whether the photo would be accepted or reviewed, and where the model
      looked
  fashion-keras demo --model runs/efficientnetb0-1
      the same with a run; where the model takes titles, the page has a field for one
  fashion-keras demo --model runs/efficientnetb0-1 --index shop-index --build-index tfrecords/small
      embed the training products once; then
  fashion-keras demo --model runs/efficientnetb0-1 --index shop-index
      shows the most similar of them beside each photo
  fashion-keras demo --model models/fashion --run runs/efficientnetb0-1
      an exported model, with heat maps by the run that it was exported from

The page needs Starlette and uvicorn (pip install "fashion-keras[demo]"), loads nothing from the
network, and listens on this machine alone unless --host says otherwise.
"""
_SHOWN = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "AVIF")  # by browsers: no TIFF
_MOST_EXAMPLES = 12
_BUILD = ("--build-index", "RECORDS")
_LOOPBACK = ("127.0.0.1", "localhost", "::1")  # hosts that are this machine alone


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    return run_command(_demo, argv)


def _demo(argv: Sequence[str] | None) -> None:
    parser = _parser()
    options = parser.parse_args(argv)
    if options.build_index and not options.index:
        parser.error("--build-index needs --index DIR, the folder to write")
    if options.limit and not options.build_index:
        parser.error("--limit is of --build-index: give that too")
    model = find_model(options.model)
    if options.build_index:
        _build_index(model, options)
    else:
        _serve(model, options)


def _build_index(model, options):
    DatasetInfo.load(options.build_index)
    from fashion_keras.quiet import load_tensorflow

    load_tensorflow()
    from fashion_keras.pages.gallery import build_gallery, check_gallery_folder
    from fashion_keras.progress import Terminal
    from fashion_keras.serving.bundle import Bundle

    check_gallery_folder(options.index)
    bundle = Bundle(model)
    with Terminal() as bar:
        count = build_gallery(
            bundle,
            options.build_index,
            options.index,
            limit=options.limit,
            progress=lambda done, total: bar.update("embedding", done, total),
        )
    print(f"{options.index}: {count:,} training products of {options.build_index}")
    print(f"See it: {command('demo', '--model', options.model, '--index', options.index)}")


def _serve(model, options):
    # Cheap questions first: a wrong argument is answered before TensorFlow is loaded.
    info = info_of(model)
    examples = _example_photos(options.examples) if options.examples else ()
    if options.run:
        check_run(options.run)
    _check_server_installed()
    listening = _listen(options.host, options.port)
    from fashion_keras.quiet import load_tensorflow

    load_tensorflow()
    from fashion_keras.pages.answers import answer_html, answer_photo
    from fashion_keras.pages.app import make_app, serve
    from fashion_keras.pages.gallery import Gallery
    from fashion_keras.serving.bundle import Bundle

    gallery = Gallery.load(options.index) if options.index else None
    bundle = Bundle(model)
    if gallery and gallery.weights_sha256 != bundle.weights_sha256():
        raise UserError(
            f"{options.index} was made with another model than {model}: build it again with\n"
            + command("demo", "--model", options.model, "--index", options.index, *_BUILD)
        )
    run = _run_of(options.run, info, model) if options.run else bundle.run
    look = _looker(run) if run else None

    def answer(name, data, title):
        found = answer_photo(bundle, name, data, title, gallery=gallery, look=look)
        return answer_html(bundle, found)

    app = make_app(
        answer,
        title=f"{info.label}: {Path(options.model).name}",
        introduction=_introduction(options.model, info, gallery),
        examples=examples or (gallery.examples if gallery else ()),
        titles="title" in info.takes,
        any_host=options.host not in _LOOPBACK,
    )
    with listening:
        port = listening.getsockname()[1]
        host = f"[{options.host}]" if ":" in options.host else options.host
        print(f"Open http://{host}:{port} (Ctrl-C ends it)", flush=True)
        if options.host not in _LOOPBACK:
            print("warning: anyone who reaches this machine can use the page", file=sys.stderr)
        serve(app, listening)


def _check_server_installed() -> None:
    for package in ("starlette", "uvicorn"):
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            raise UserError(
                f"the page needs {package}, which is not installed.\n"
                'Install it: pip install "fashion-keras[demo]"'
            ) from None


def _run_of(path, info, model) -> Run:
    """Load the run that an exported model was made from; `UserError` where it is another."""
    run = load_run(path)
    if run.labels != info.labels or run.image_size != info.image_size:
        raise UserError(
            f"{path} is another model than {model}: its heads, classes or photo size differ.\n"
            "Give the --run that the model was exported from"
        )
    return run


def _looker(run):
    """Return the function that draws heat maps, with the Keras model of a run."""
    import tensorflow as tf

    from fashion_keras.report.examples import occlusion_maps, thumbnail
    from fashion_keras.serving.decoding import decode_photos

    def look(encoded, asked):
        photos, _ = decode_photos(tf.constant([encoded]), run.image_size, run.resize)
        photos = photos.numpy()
        [heat] = occlusion_maps(run.model, run.label, photos, [asked])
        return thumbnail(photos[0], heat) if heat.any() else ""

    return look


def _introduction(model, info, gallery) -> str:
    from fashion_keras.pages.answers import percent

    heads = ", ".join(f"{label} ({len(classes)})" for label, classes in info.labels.items())
    what = "by its photo, its title or both" if "title" in info.takes else "by its photo"
    lines = [f"The model {Path(model).name} sorts a product, {what}, into {heads}."]
    threshold = info.thresholds().get(info.label)
    if "title" in info.takes:
        lines.append("Each answer says whether it is accepted, or a person should look.")
    elif threshold is not None:
        lines.append(f"From {percent(threshold)} on it accepts; below, a person should look.")
    if gallery:
        lines.append(f"Its answer is shown beside the most alike of {len(gallery):,} products.")
    return " ".join(lines)


def _example_photos(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        raise UserError(f"no folder of examples at {folder}")
    photos = tuple(itertools.islice(filter(_is_shown, sorted(folder.iterdir())), _MOST_EXAMPLES))
    if not photos:
        raise UserError(f"no photos in {folder}: expected {', '.join(_SHOWN)}")
    return photos


def _is_shown(path: Path) -> bool:
    try:
        format = photo_format(read_start(path, START_BYTES))
    except UserError:  # a folder, or one that may not be read
        return False
    return format in _SHOWN and format in readable_formats()


def _listen(host: str, port: int) -> socket.socket:
    """Return a listening socket; `UserError` where the port is taken."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family)
    except (OSError, OverflowError) as error:
        if getattr(error, "errno", None) == errno.EADDRINUSE:
            raise UserError(f"port {port} is in use: give another --port, or 0 for any") from None
        raise UserError(f"cannot listen on {host}, port {port}: {error}") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="fashion-keras demo",
        description="Show a web page that classifies the photos dropped on it.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--model",
        default=DEFAULT,
        type=place,
        help="a run, a SavedModel that fashion-keras export has written, or the name of a model "
        "that comes with the package (default: %(default)s)",
    )
    parser.add_argument(
        "--run",
        type=place,
        help="the run that an exported model is of: adds heat maps of where it looked",
    )
    parser.add_argument(
        "--index", type=place, metavar="DIR", help="an index: adds the most similar products"
    )
    parser.add_argument(
        "--build-index",
        type=place,
        metavar="RECORDS",
        help="write the index of these records' training products to --index, and end",
    )
    parser.add_argument(
        "--limit",
        type=positive_int,
        metavar="N",
        help="with --build-index: the first N training products only",
    )
    parser.add_argument(
        "--examples",
        type=place,
        metavar="DIR",
        help="a folder of photos to pick from (default: the index's, of the validation split)",
    )
    parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1, this machine only")
    parser.add_argument("--port", type=int, default=7860, help="default: 7860; 0 is any free one")
    return parser


if __name__ == "__main__":
    sys.exit(main())
