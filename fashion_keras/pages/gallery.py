"""A bundle and records in; a folder of embeddings with thumbnails, to be searched, out."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from fashion_keras.data.photo import read_header, stored_photo
from fashion_keras.data.schema import DatasetInfo
from fashion_keras.errors import UserError
from fashion_keras.io import place, replacing_folder, write_sealed
from fashion_keras.provenance import fingerprints
from fashion_keras.reading import (
    STRICT,
    Whole,
    check_sha256,
    damaged,
    read_json,
    short,
    unsealed,
    validated,
)
from fashion_keras.serving.bundle import Bundle
from fashion_keras.text import command

INFO_FILE = "gallery.json"
EMBEDDINGS_FILE = "embeddings.npy"
PRODUCTS_FILE = "products.parquet"
EXAMPLES = "examples"
FORMAT = 1
_MEND = "build the index again"
_BATCH = 64
_THUMBNAIL_SIDE = 160  # pixels at most, of what is shown beside a photo
_NUM_EXAMPLES = 10
_EXAMPLES_AMONG = 1000  # photos of the validation split, from its start


@dataclasses.dataclass(frozen=True)
class Neighbour:
    """A product of the index: its id, name and class, its photo's bytes, and how alike it is.

    `similarity` is the cosine of the two embeddings; `label` is empty where the product has none.
    """

    id: str
    name: str
    label: str
    photo: bytes
    similarity: float


@dataclasses.dataclass(frozen=True)
class Gallery:
    """The products of an index, searched by brute force; `load` reads one.

    Attributes:
        embeddings: float32 `[N, D]`, of length 1.
        products: a row each.
        examples: photos of the validation split, for trying the model.
        weights_sha256: of the bundle whose embeddings these are.
    """

    embeddings: np.ndarray
    products: pa.Table
    examples: tuple[Path, ...]
    weights_sha256: str

    def __len__(self) -> int:
        return len(self.embeddings)

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Gallery:
        """Read an index; `UserError` where there is none, or it is damaged."""
        folder = Path(folder)
        if not (folder / INFO_FILE).is_file():
            build = ("--model", "BUNDLE", "--index", folder, "--build-index", "RECORDS")
            raise UserError(
                f"no index at {folder}: {INFO_FILE} is missing.\nMake it: "
                + command("demo", *build)
            )
        info = _read_about(folder)
        try:
            embeddings = np.load(folder / EMBEDDINGS_FILE).astype(np.float32)
            products = parquet.read_table(folder / PRODUCTS_FILE)
            if (
                embeddings.ndim != 2
                or not len(embeddings) == products.num_rows == info.num_products
            ):
                raise ValueError(f"{len(embeddings)} embeddings of {products.num_rows} products")
            if not np.isfinite(embeddings).all():
                raise ValueError("an embedding is not finite")
            if products.schema.names != ["id", "name", "label", "photo"]:
                raise ValueError(f"columns {', '.join(products.schema.names)}")
        except Exception as error:  # NumPy and Arrow raise a class a cause
            raise damaged(folder, error, _MEND) from error
        examples = tuple(sorted(folder.glob(f"{EXAMPLES}/*")))
        return cls(embeddings, products, examples, info.weights_sha256)

    def nearest(self, embedding: np.ndarray, count: int) -> list[Neighbour]:
        """Return the products most like `embedding`, float32 `[D]` of length 1, best first."""
        similarity = self.embeddings @ embedding
        best = np.argsort(-similarity, kind="stable")[:count]
        rows = self.products.take(best).to_pylist()
        return [
            Neighbour(**row, similarity=float(similarity[index]))
            for index, row in zip(best, rows, strict=True)
        ]


@dataclasses.dataclass(frozen=True)
class _About:
    """What `gallery.json` says; `files` holds the sha256 of the others (earlier versions: none)."""

    __pydantic_config__ = STRICT

    format: int
    label: str
    num_products: Whole
    weights_sha256: str
    source: dict[str, object]
    files: dict[str, str] = dataclasses.field(default_factory=dict)


def _read_about(folder: Path) -> _About:
    """Read an index's `gallery.json` and check its files by it."""
    path = folder / INFO_FILE
    raw = read_json(path, _MEND)
    if raw.get("format", FORMAT) != FORMAT:
        raise damaged(path, f"format {short(raw['format'])}, expected {FORMAT}", _MEND)
    try:
        about = validated(_About, unsealed(raw))
    except ValueError as error:
        raise damaged(path, error, _MEND) from None
    check_sha256(folder, about.files, _MEND)
    return about


def build_gallery(
    bundle: Bundle,
    records: str | os.PathLike,
    folder: str | os.PathLike,
    *,
    limit: int | None = None,
    progress: Callable[[int, int], object] | None = None,
) -> int:
    """Embed the training photos of `records` and write the index; return how many it holds.

    Written whole or not at all; an earlier index at `folder` is replaced. Of each product are
    kept the embedding (float16), id, name, class of the bundle's headline, and a photo of at most
    160 pixels; and of the validation split ten photos of different classes, as examples.

    Args:
        limit: the first so many training photos only.
        progress: called with the photos done so far and their number.

    Raises:
        UserError: there is something else at `folder`; the records or their label are missing; the
            bundle has no signature `embed`.
    """
    folder = place(folder)
    check_gallery_folder(folder)
    info = DatasetInfo.load(records)
    info.vocabulary(bundle.info.label)
    total = min(info.splits["train"].num_examples, limit or 2**62)
    with replacing_folder(folder) as partial:
        (partial / EXAMPLES).mkdir()
        count = _write_products(bundle, records, info, partial, total, progress)
        _write_examples(bundle, records, info, partial / EXAMPLES)
        about = {
            "format": FORMAT,
            "label": bundle.info.label,
            "num_products": count,
            "weights_sha256": bundle.weights_sha256(),
            "source": info.source,
        }
        made = [path for path in sorted(partial.rglob("*")) if path.is_file()]
        names = [path.relative_to(partial).as_posix() for path in made]
        about["files"] = fingerprints(partial, names)
        write_sealed(partial / INFO_FILE, about)
    return count


def check_gallery_folder(folder: str | os.PathLike) -> None:
    """Raise `UserError` unless `folder` is absent, empty or an index, which may be replaced."""
    folder = Path(folder)
    if folder.is_dir():
        if (folder / INFO_FILE).is_file() or not any(folder.iterdir()):
            return
        raise UserError(f"{folder} holds something else than an index: give another --index")
    if folder.exists():
        raise UserError(f"{folder} is a file: --index names a folder")


def _write_products(bundle, records, info, folder, total, progress):
    embeddings, rows, done = [], [], 0
    for products in _products(records, info, "train", bundle.info.label, total):
        vectors, valid = bundle.embed([product["encoded"] for product in products])
        embeddings.append(vectors[valid].astype(np.float16))
        for product, decoded in zip(products, valid, strict=True):
            if decoded:
                product["photo"] = _thumbnail(product.pop("encoded"))
                rows.append(product)
        done += len(products)
        if progress is not None:
            progress(done, total)
    np.save(folder / EMBEDDINGS_FILE, np.concatenate(embeddings))
    kinds = [("id", pa.string()), ("name", pa.string()), ("label", pa.string())]
    schema = pa.schema([*kinds, ("photo", pa.binary())])
    parquet.write_table(pa.Table.from_pylist(rows, schema), folder / PRODUCTS_FILE)
    return len(rows)


def _write_examples(bundle, records, info, folder):
    if "validation" not in info.splits or not info.splits["validation"].num_examples:
        return
    seen: set[str] = set()
    for products in _products(records, info, "validation", bundle.info.label, _EXAMPLES_AMONG):
        for product in products:
            if product["label"] in seen or len(seen) == _NUM_EXAMPLES:
                continue
            seen.add(product["label"])
            suffix = "png" if product["encoded"].startswith(b"\x89PNG") else "jpg"
            # A number, not the id: an id of somebody's catalogue may be no file name.
            name = f"validation-{len(seen):02d}.{suffix}"
            (folder / name).write_bytes(product["encoded"])


def _products(records, info, split, label, limit):
    """Yield batches of a split's products, as dicts of plain values."""
    from fashion_keras.data.tfrecord import read_records

    dataset = read_records(records, info, split, [label], texts=True, parallel_reads=1)
    for batch in dataset.take(limit).batch(_BATCH).prefetch(2).as_numpy_iterator():
        yield [
            {
                "id": batch["id"][row].decode(),
                "name": batch["name"][row].decode(),
                "label": batch["text"][row][0].decode(),
                "encoded": batch["encoded"][row],
            }
            for row in range(len(batch["id"]))
        ]


def _thumbnail(encoded: bytes) -> bytes:
    return stored_photo(encoded, read_header(encoded), _THUMBNAIL_SIDE)[0]
