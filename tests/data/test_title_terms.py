"""Titles become numbers: the same by Python, by TensorFlow and in an exported graph."""

import random
import unicodedata

import numpy as np
import pytest
import tensorflow as tf

from fashion_keras.data.title_terms import (
    BETWEEN,
    BUCKETS,
    CHARACTERS,
    COUNTS,
    GRAMS,
    TERMS,
    WORDS,
    as_title,
    character_table,
    normalised,
    siphash,
    tensorflow_normalised,
    tensorflow_terms,
    title_ids,
)

HOSTILE = [
    "",
    " ",
    "x" * 10_000,
    "word " * 3_000,
    "Röd skjorta 👗🏽 👨‍👩‍👧",
    "<b>Shirt</b> &amp; <script>alert('x')</script>",
    "</a <b <c>" * 500,
    "<" * 5_000,
    "&" * 5_000 + ";",
    "zero\0byte \0same",
    "قميص أحمر",
    "赤いシャツ ｓｈｉｒｔ",
    "हिन्दी कि",
    "한국어 한글",
    "İstanbul ΣΊΣΥΦΟΣ straße ﬁne ½ ① Ǆ",
    f"title{BETWEEN}description{BETWEEN}more",
    "\ufffd\ufeff\u200b a\u00adb \u2028 c\u3000d",
    "a&#8217;s &bogus; &#xfffffff; &#12; &eacute; &amp;eacute; &OELIG; &szlig;",
    "half \ud800 a character",
]


def drawn(count):
    """Texts of characters from everywhere."""
    draw = random.Random(0)
    ranges = [(1, 0x80), (1, 0x3000), (0xE000, 0x11000), (0x1F000, 0x20000), (0x20, 0x21)]
    for _ in range(count):
        letters = (chr(draw.randrange(*draw.choice(ranges))) for _ in range(draw.randrange(60)))
        yield "".join(letters)


TEXTS = [*HOSTILE, *drawn(300)]
BYTES = [text.encode("utf-8", "replace") for text in TEXTS]


def test_the_hash_is_the_published_one():
    """The vector in appendix A of Aumasson and Bernstein, 2012."""
    key = tuple(int.from_bytes(bytes(range(at, at + 8)), "little") for at in (0, 8))
    assert siphash(bytes(range(15)), key) == 0xA129CA6149BE45E5


@pytest.mark.parametrize("key", [(0, 0), (3, 1)])
def test_the_hash_is_tensorflows(key):
    terms = [b"", b"a", b"seven77", b"eight888", b"nine99999", "Größe 靴".encode(), b"x" * 1_000]
    expected = tf.strings.to_hash_bucket_strong(terms, 2**62, list(key)).numpy()
    assert [siphash(term, key) % 2**62 for term in terms] == expected.tolist()


def test_python_and_tensorflow_normalise_alike():
    terms = tensorflow_terms()
    found = tensorflow_normalised(tf.constant(BYTES), terms.table).numpy()
    for text, plain in zip(TEXTS, found, strict=True):
        assert normalised(text) == plain.decode()


@pytest.mark.parametrize("columns", [1, 2, 3])
def test_python_and_tensorflow_give_the_same_numbers(columns):
    found = tensorflow_terms(columns)(tf.constant(BYTES)).numpy()
    assert found.dtype == np.int32 and found.shape == (len(TEXTS), columns * sum(COUNTS))
    for text, ids in zip(TEXTS, found, strict=True):
        assert title_ids(text, columns) == ids.tolist()


def test_an_exported_graph_gives_the_same_numbers(tmp_path):
    module = tensorflow_terms(2)
    signature = tf.function(
        lambda title: {"ids": module(title)}, input_signature=[tf.TensorSpec([None], tf.string)]
    )
    tf.saved_model.save(module, str(tmp_path), signatures={"terms": signature})
    served = tf.saved_model.load(str(tmp_path)).signatures["terms"]
    found = served(title=tf.constant(BYTES))["ids"].numpy()
    assert found.tolist() == [title_ids(text, 2) for text in TEXTS]
    assert served(title=tf.constant([], tf.string))["ids"].shape == (0, 2 * sum(COUNTS))


def test_a_batch_of_columns_is_as_one_text_with_separators():
    columns = np.array([["Red Shirt", "of cotton"], ["", "Bag"]])
    module = tensorflow_terms(2)
    joined = tf.constant([BETWEEN.join(row) for row in columns])
    assert module(tf.constant(columns)).numpy().tolist() == module(joined).numpy().tolist()


def test_a_word_has_another_number_in_another_column():
    title, description = np.split(np.array(title_ids(f"shirt{BETWEEN}shirt", 2)), 2)
    assert (title > 0).sum() == (description > 0).sum()
    assert not set(title[title > 0]) & set(description[description > 0])


def test_bytes_that_are_no_text_are_spaces():
    broken = b"red\xff\xfe shirt \xc3"
    found = tensorflow_terms()(tf.constant([broken])).numpy()[0]
    assert found.tolist() == title_ids("red shirt")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("RED SHIRT", "red shirt"),
        ("Cafe\u0301 Ame\u0301lie", "Café Amélie"),
        ("Café", "Cafe"),
        ("ｓｈｉｒｔ", "shirt"),
        ("ﬁne", "fine"),
        ("red\u00a0shirt", " red \t shirt\n"),
        ("T-Shirt", "t shirt"),
        ("Women's", "women’s"),
        ("Women&#39;s &amp; Men", "womens men"),
        ("<p>Red<br/>Shirt</p>", "red shirt"),
        ("Größe", "grosse"),
        ("sho\u00ades\u200b", "shoes"),
        ("ΣΊΣΥΦΟΣ", "σισυφος"),
    ],
)
def test_texts_that_say_the_same_are_the_same(one, other):
    assert title_ids(one) == title_ids(other)


def test_sizes_and_signs_are_not_taken_for_markup():
    assert normalised("size < 40 and > 36, a<b") == "size 40 and 36 a b"


def test_every_letter_is_folded_as_nfkc_folds_it_but_for_accents():
    """Of all of Unicode's letters that NFKC and case folding turn into one plain ASCII letter."""
    for code in range(0x250):
        letter = chr(code)
        folded = unicodedata.normalize("NFKC", letter).casefold()
        if folded.isascii() and folded.isalnum():
            assert normalised(letter) == folded


def test_the_table_is_small_enough_for_a_graph():
    assert len(character_table()) < 10_000


def test_numbers_say_where_words_pairs_and_characters_are():
    ids = np.array(title_ids("Red Shirt"))
    words, pairs, *grams = np.split(ids, np.cumsum(COUNTS)[:-1])
    assert (words > 0).sum() == 2 and (pairs > 0).sum() == 1
    assert [(some > 0).sum() for some in grams] == [len(" red shirt ") - n + 1 for n in GRAMS]
    assert max(words.max(), pairs.max()) <= BUCKETS and ids.max() < TERMS
    assert all(some[some > 0].min() > BUCKETS for some in grams)
    assert words[0] == 1 + siphash(b"red", (0, 0)) % BUCKETS
    assert pairs[0] == 1 + siphash(b"red shirt", (1, 0)) % BUCKETS


def test_long_texts_are_cut():
    ids = title_ids("ab " * 2_000)
    assert len(ids) == sum(COUNTS) == WORDS + WORDS - 1 + sum(CHARACTERS - n + 1 for n in GRAMS)
    assert min(ids) > 0


def test_a_misspelt_word_shares_most_characters():
    right, wrong = (set(title_ids(text)) - {0} for text in ("Nike sneakers", "Nike sneekers"))
    assert len(right & wrong) / len(right) > 0.5


@pytest.mark.parametrize(
    ("columns", "title"),
    [
        (["Shirt"], "Shirt"),
        (["Bag", "of leather"], f"Bag{BETWEEN}of leather"),
        (["", "7"], f"{BETWEEN}7"),
        (["-", "👗 !"], ""),
        ([], ""),
    ],
)
def test_a_title_has_a_letter_or_a_digit(columns, title):
    assert as_title(columns) == title
