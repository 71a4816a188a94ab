"""A product's text, or a split of records, in; the numbers of words, pairs and characters out.

The same numbers come from TensorFlow, for training and the exported graph (`TitleTerms`), and from
Python alone, for who feeds a small model (`title_ids`). So the text is normalised by what both can
do to the letter: a few regular expressions, and a table from one character to its replacement.
That is NFKD and case folding a character at a time, without the accents. Full NFKC would need
ICU's composition, which plain TensorFlow does not have; that composed and decomposed letters
become the same, which is what it is for, the table does as well.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import os
import re
import sys
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from fashion_keras.data.schema import DatasetInfo
from fashion_keras.data.tfrecord import read_records

if TYPE_CHECKING:
    import tensorflow as tf

BUCKETS = 1 << 15  # numbers that the terms of a family are hashed to
MOST_CHARACTERS = 4_000  # of a text; the rest is cut
WORDS = 48
CHARACTERS = 96  # of the normalised text, for the n-grams
GRAMS = (3, 4)  # characters
# What each column of text becomes: so many words, pairs, and n-grams of each length.
COUNTS = (WORDS, WORDS - 1, *(CHARACTERS - n + 1 for n in GRAMS))
# Of these, words with pairs, and characters: the latter are many, and each family counts alike.
FAMILIES = (sum(COUNTS[:2]), sum(COUNTS[2:]))
TERMS = 1 + BUCKETS * len(FAMILIES)  # numbers in all; 0 is "no term"
TITLE_IDS = "title_ids"  # what batches and models call the numbers; a shop's label may be title
BETWEEN = "\x1f"  # ASCII's unit separator: between the columns where several come as one text

# Both regular expression engines, Python's and RE2, read these alike. &amp; comes first, since
# texts are often escaped twice.
REPLACED = (
    (r"&(amp|#38|AMP);", "&"),
    (r"&(lt|#60|LT);", "<"),
    (r"&(gt|#62|GT);", ">"),
    (r"</?[A-Za-z!][^<>]*>", " "),
    (r"&(apos|#39|#x27|rsquo|lsquo|#8217|#x2019);", "'"),
    (r"&([A-Za-z])(acute|grave|circ|uml|tilde|cedil|ring|caron|slash);", r"\1"),
    (r"&szlig;", "ss"),
    (r"&(ae|AE|oe|OE)lig;", r"\1"),
    (r"&(#[0-9]{1,7}|#[xX][0-9A-Fa-f]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});", " "),
)
_APOSTROPHES = "'’‘ʼ＇`´"
_ACCENTS = range(0x300, 0x370)
_HANGUL = range(0xAC00, 0xD7A4)  # its syllables stay whole
_ASIDE = ("Cn", "Co", "Cs")  # not assigned, private, half a character
_DROPPED = ("Cf", "Me", "Sk")  # without width; enclosing; skin tones
_SPACES = ("Cc", "Zs", "Zl", "Zp", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc")


@functools.cache
def character_table() -> dict[str, str]:
    """Return the replacement of each character that has one, by this Python's Unicode."""
    found = {}
    for code in range(sys.maxunicode + 1):
        character = chr(code)
        if code in _HANGUL or unicodedata.category(character) in _ASIDE:
            continue
        new = _replacement(character)
        if new != character:
            found[character] = new
    return found


def _replacement(character: str) -> str:
    if character in _APOSTROPHES:  # women's, womens
        return ""
    if character == "\ufffd":  # for bytes that are no text
        return " "
    folded = unicodedata.normalize("NFKD", character).casefold()
    return "".join(map(_plain, unicodedata.normalize("NFKD", folded)))


def _plain(character: str) -> str:
    category = unicodedata.category(character)
    if ord(character) in _ACCENTS or category in _DROPPED or "\ufe00" <= character <= "\ufe0f":
        return ""
    return " " if category in _SPACES else character


def normalised(text: str) -> str:
    """Return a text as the terms are made of it: its words in lower case, a space between.

    >>> normalised("<b>Röd</b> T-Shirt &amp; Women&#39;s ＪＥＡＮＳ")
    'rod t shirt womens jeans'
    """
    text = text.encode("utf-8", "replace").decode()[:MOST_CHARACTERS]
    for pattern, replacement in REPLACED:
        text = re.sub(pattern, replacement, text)
    table = character_table()
    return " ".join("".join(table.get(character, character) for character in text).split())


def as_title(columns: Sequence[str]) -> str:
    """Return columns of text as one title, as the models take it: `BETWEEN` stands between them.

    It is "", no title, where there is neither a letter nor a digit: a model finds no word there.
    Example:

        >>> as_title(["Red shirt"]), as_title([" - "])
        ('Red shirt', '')
    """
    return BETWEEN.join(columns) if any(map(str.isalnum, "".join(columns))) else ""


def title_ids(text: str, columns: int = 1) -> list[int]:
    """Return the numbers of a text's terms, as the models take them: int, `columns * sum(COUNTS)`.

    `text` holds the columns with `BETWEEN` between them; those that it lacks are empty. Where
    there are fewer terms than room, zeros follow. Example:

        >>> title_ids("")[:3], len(title_ids(""))
        ([0, 0, 0], 282)
    """
    parts = text.split(BETWEEN, columns - 1) + [""] * columns
    result = []
    for column, part in enumerate(parts[:columns]):
        words = normalised(part).split()[:WORDS]
        pairs = [f"{first} {second}" for first, second in itertools.pairwise(words)]
        spaced = f" {' '.join(words)} "[:CHARACTERS]
        grams = [[spaced[i : i + n] for i in range(len(spaced) - n + 1)] for n in GRAMS]
        for kind, (terms, count) in enumerate(zip((words, pairs, *grams), COUNTS, strict=True)):
            first = _first(kind)
            ids = [first + siphash(term.encode(), (kind, column)) % BUCKETS for term in terms]
            result += ids + [0] * (count - len(ids))
    return result


def _first(kind: int) -> int:
    """Return the first number of a kind of terms: each family has numbers of its own."""
    return 1 + BUCKETS * (kind > 1)


def of_families(ids, columns: int) -> list[list]:
    """Return what of `[N, columns * sum(COUNTS)]` numbers each of `FAMILIES` has, a part a column.

    `ids` are an array, or a tensor of any kind that can be sliced.
    """
    found, start = [], 0
    for count in FAMILIES:
        starts = [start + column * sum(COUNTS) for column in range(columns)]
        found.append([ids[:, at : at + count] for at in starts])
        start += count
    return found


def siphash(data: bytes, key: tuple[int, int]) -> int:
    """Return SipHash-2-4 (Aumasson and Bernstein, 2012), which `to_hash_bucket_strong` computes."""
    full = 2**64 - 1
    a, b = key[0] ^ 0x736F6D6570736575, key[1] ^ 0x646F72616E646F6D
    c, d = key[0] ^ 0x6C7967656E657261, key[1] ^ 0x7465646279746573

    def turn(value: int, bits: int) -> int:
        return (value << bits | value >> 64 - bits) & full

    def rounds(count: int) -> None:
        nonlocal a, b, c, d
        for _ in range(count):
            a, c = (a + b) & full, (c + d) & full
            b, d = turn(b, 13) ^ a, turn(d, 16) ^ c
            a = turn(a, 32)
            c, a = (c + b) & full, (a + d) & full
            b, d = turn(b, 17) ^ c, turn(d, 21) ^ a
            c = turn(c, 32)

    padded = data + bytes(7 - len(data) % 8) + bytes([len(data) % 256])
    for start in range(0, len(padded), 8):
        word = int.from_bytes(padded[start : start + 8], "little")
        d ^= word
        rounds(2)
        a ^= word
    c ^= 0xFF
    rounds(4)
    return a ^ b ^ c ^ d


def tensorflow_terms(columns: int = 1):
    """Return the same as plain TensorFlow operations: a `tf.Module` that takes texts.

    It maps string `[N, columns]`, or `[N]` with `BETWEEN` between the columns, to int32
    `[N, columns * sum(COUNTS)]`. It holds a table, so keep it as long as what it is used in.
    """
    import tensorflow as tf

    class TitleTerms(tf.Module):
        def __init__(self):
            super().__init__(name="title_terms")
            table = character_table()
            self.table = tf.lookup.StaticHashTable(
                tf.lookup.KeyValueTensorInitializer(
                    tf.constant(list(table)), tf.constant(list(table.values()))
                ),
                default_value=_SAME,
            )

        def __call__(self, texts: tf.Tensor) -> tf.Tensor:
            if texts.shape.rank == 1:
                texts = _columns(texts, columns)
            parts = [_column_ids(texts[:, at], self.table, at) for at in range(columns)]
            return tf.concat(parts, axis=1)

    return TitleTerms()


_SAME = "\0same"  # no replacement: not a text of the table's, since NUL is none


def _columns(texts, count: int):
    import tensorflow as tf

    if count == 1:
        return texts[:, None]
    return tf.strings.split(texts, BETWEEN, maxsplit=count - 1).to_tensor("", shape=[None, count])


def tensorflow_normalised(texts: tf.Tensor, table) -> tf.Tensor:
    """Return what `normalised` does to each text of a string `[N]`, as plain TensorFlow."""
    import tensorflow as tf

    texts = tf.strings.unicode_transcode(texts, "UTF-8", "UTF-8", errors="replace")
    texts = tf.strings.substr(texts, 0, MOST_CHARACTERS, unit="UTF8_CHAR")
    for pattern, replacement in REPLACED:
        texts = tf.strings.regex_replace(texts, pattern, replacement)
    characters = tf.strings.unicode_split(texts, "UTF-8")
    found = table.lookup(characters.values)
    plain = tf.where(found == _SAME, characters.values, found)
    joined = tf.strings.unsorted_segment_join(plain, characters.value_rowids(), characters.nrows())
    return tf.strings.strip(tf.strings.regex_replace(joined, " +", " "))


def _column_ids(texts: tf.Tensor, table, column: int) -> tf.Tensor:
    import tensorflow as tf

    words = tf.strings.split(tensorflow_normalised(texts, table))[:, :WORDS]
    joined = tf.strings.unsorted_segment_join(
        words.values, words.value_rowids(), words.nrows(), separator=" "
    )
    spaced = tf.strings.substr(tf.strings.join([" ", joined, " "]), 0, CHARACTERS, unit="UTF8_CHAR")
    characters = tf.strings.unicode_split(spaced, "UTF-8")
    terms = [words, tf.strings.ngrams(words, 2, separator=" ")]
    terms += [tf.strings.ngrams(characters, n, separator="") for n in GRAMS]
    return tf.concat(
        [
            _hashed(some, (kind, column)).to_tensor(0, shape=[None, count])
            for kind, (some, count) in enumerate(zip(terms, COUNTS, strict=True))
        ],
        axis=1,
    )


def _hashed(terms: tf.RaggedTensor, key: Sequence[int]) -> tf.RaggedTensor:
    import tensorflow as tf

    numbers = tf.strings.to_hash_bucket_strong(terms.values, BUCKETS, list(key))
    return terms.with_values(_first(key[0]) + tf.cast(numbers, tf.int32))


_BATCH = 1024


@dataclasses.dataclass(frozen=True)
class Terms:
    """What is written of a split's products, in the records' order.

    `product_ids` are their ids; `ids` int32 `[N, columns * sum(COUNTS)]` as `title_ids`
    makes them; `truth` maps each label to class indices, int64 `[N]`, -1 where there is none.
    """

    product_ids: list[str]
    ids: np.ndarray
    truth: dict[str, np.ndarray]

    @property
    def empty(self) -> np.ndarray:
        """Whether a product has no term, bool `[N]`."""
        return np.logical_not((self.ids > 0).any(axis=1))


def read_texts(records: str | os.PathLike, info: DatasetInfo, split: str) -> dict[str, list[str]]:
    """Return each product's text of every column by its id, in the records' order.

    Raises `UserError` as `read_terms` does.
    """
    products = read_records(records, info, split, [], titles=True, parallel_reads=1)
    return {
        product["id"].decode(): [text.decode("utf-8", "replace") for text in product["title"]]
        for product in products.map(
            lambda product: {key: product[key] for key in ("id", "title")}
        ).as_numpy_iterator()
    }


def read_terms(
    records: str | os.PathLike, info: DatasetInfo, split: str, labels: Sequence[str]
) -> Terms:
    """Read the terms of a split's products; no photo is decoded.

    Raises `UserError` for records that are missing, damaged or without text.
    """
    import tensorflow as tf

    terms = tensorflow_terms(len(info.texts))
    products = read_records(records, info, split, labels, titles=True, parallel_reads=1)
    batches = products.map(
        lambda product: {key: product[key] for key in ("id", "index", "title")},
        num_parallel_calls=tf.data.AUTOTUNE,
    ).batch(_BATCH)
    ids, index, product_ids = [], [], []
    for batch in batches:
        ids.append(terms(batch["title"]).numpy())
        index.append(batch["index"].numpy())
        product_ids += [identifier.decode() for identifier in batch["id"].numpy()]
    truth = np.concatenate(index).astype(np.int64)
    return Terms(
        product_ids,
        np.concatenate(ids),
        {label: truth[:, column] for column, label in enumerate(labels)},
    )
