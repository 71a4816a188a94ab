"""Near-duplicates: what a person would take for the same photo, against SciPy and by hand."""

import io

import imagehash
import numpy as np
import pytest
from drawn_catalogue import encode, pixels
from drawn_products import product
from PIL import Image
from scipy.spatial.distance import braycurtis

from fashion_keras.data.near_duplicates import (
    Pairs,
    PhotoHashes,
    describe_groups,
    find_pairs,
    group_numbers,
    hash_photos,
    near_duplicate_groups,
    pixel_differences,
)


def hashed(arrays):
    return hash_photos([(str(i), encode(array)) for i, array in enumerate(arrays)])


def found(photos, **options):
    pairs = find_pairs(photos, **options)
    return set(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


def random_hashes(count, seed=0):
    rng = np.random.default_rng(seed)
    hashes = rng.integers(0, 2**63, (count, 4), dtype=np.uint64)
    # Some of them near to others: a few bits turned.
    for row in range(0, count, 3):
        bits = rng.choice(256, int(rng.integers(0, 20)), replace=False)
        hashes[row] = hashes[(row + 1) % count]
        for bit in bits:
            hashes[row, bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return photos_of(hashes)


def photos_of(hashes, digests=None):
    """Return photos of hashes that all look alike; no two are the same file unless `digests`."""
    ids = tuple(map(str, range(len(hashes))))
    digests = tuple(map(str.encode, ids)) if digests is None else digests
    thumbnails = np.full((len(hashes), 24, 24, 3), 200, np.uint8)
    return PhotoHashes(ids, hashes, thumbnails, digests, digests)


def all_against_all(hashes, most):
    """Return the distance of each pair within `most` bits, by bits as numbers 0 and 1."""
    bits = np.unpackbits(hashes.view(np.uint8), axis=1).astype(np.int32)
    distance = bits @ (1 - bits).T
    distance += distance.T
    near = np.argwhere(np.triu(distance <= most, 1)).tolist()
    return {(a, b): int(distance[a, b]) for a, b in near}


def distances(pairs):
    ends = zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    return dict(zip(ends, pairs.distance.tolist(), strict=True))


def flipped(hashes, bits):
    """Return a copy of one hash with bits turned."""
    hashes = hashes.copy()
    for bit in bits:
        hashes[bit // 64] ^= np.uint64(1) << np.uint64(bit % 64)
    return hashes


def test_the_hash_is_imagehashs(tmp_path):
    photo = encode(pixels(1))
    expected = imagehash.phash(Image.open(io.BytesIO(photo)).convert("RGB"), hash_size=16)
    bits = np.unpackbits(hash_photos([("1", photo)]).hashes.view(np.uint8)[0])
    assert np.array_equal(bits.astype(bool), expected.hash.flatten())


@pytest.mark.parametrize("most", [0, 1, 5, 6, 7, 12, 20, 21, 40])
def test_every_pair_within_the_distance_is_found_once_with_its_distance(most):
    photos = random_hashes(700)  # more than one block
    expected = all_against_all(photos.hashes, most)
    pairs = find_pairs(photos, max_distance=most)
    assert distances(pairs) == expected
    assert len(pairs) == len(expected) >= (most > 0) * 10
    assert list(expected) == list(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True))


@pytest.mark.parametrize("most", [3, 12, 20])
def test_pairs_whose_bits_differ_in_as_many_places_as_can_be_are_found(most):
    rng = np.random.default_rng(most)
    middle = rng.integers(0, 2**63, 4, dtype=np.uint64)
    near = [
        flipped(middle, bits)
        for size in (most, most + 1)
        for start in range(60)
        # Next to each other, spread evenly, and anywhere.
        for bits in (
            [(start * 4 + i) % 256 for i in range(size)],
            [(start + i * (256 // size)) % 256 for i in range(size)],
            rng.choice(256, size, replace=False).tolist(),
        )
    ]
    hashes = np.array([middle, *near])
    expected = all_against_all(hashes, most)
    assert sum(a == 0 for a, _ in expected) == 180
    assert distances(find_pairs(photos_of(hashes), max_distance=most)) == expected


def test_hashes_that_have_most_bits_in_common_and_are_no_pairs_are_none():
    rng = np.random.default_rng(0)
    hashes = np.zeros((600, 4), np.uint64)
    hashes[:, 1] = rng.integers(0, 2**63, 600, dtype=np.uint64)  # 192 of 256 bits are alike
    expected = all_against_all(hashes, 20)
    assert 0 < len(expected) < 2000
    assert distances(find_pairs(photos_of(hashes), max_distance=20)) == expected


def test_hashes_that_are_the_same_are_pairs_where_their_pixels_are_alike():
    hashes = np.zeros((50, 4), np.uint64)
    photos = photos_of(hashes)
    photos.thumbnails[::2] = 0
    expected = {(a, b): 0 for a in range(50) for b in range(a + 1, 50) if (a - b) % 2 == 0}
    assert distances(find_pairs(photos)) == expected


def test_a_placeholder_of_many_products_is_not_listed_with_each_other_one():
    hashes = random_hashes(600).hashes
    hashes[5:505] = hashes[5]  # one photo, 500 times
    digests = tuple(b"placeholder" if 5 <= i < 505 else str(i).encode() for i in range(600))
    kinds = np.where(np.arange(600) % 300 == 299, "test", "train")
    photos = photos_of(hashes, digests)
    expected = np.array(list(all_against_all(hashes, 12)))
    pairs = find_pairs(photos, kinds=kinds)
    assert set(distances(pairs)) < set(map(tuple, expected.tolist()))
    assert len(pairs) < 110 * 500 < 500 * 499 / 2 < len(expected)
    for kind in ("train", "test"):
        assert _with_one_in(pairs.first, pairs.second, kinds, kind) == _with_one_in(
            expected[:, 0], expected[:, 1], kinds, kind
        )
    every = Pairs(expected[:, 0], expected[:, 1], None, None)
    assert np.array_equal(group_numbers(600, pairs), group_numbers(600, every))
    groups = near_duplicate_groups(photos)
    assert groups == near_duplicate_groups(photos_of(hashes))
    assert set(groups) == {str(i) for i in np.unique(expected)}


def _with_one_in(first, second, kinds, kind):
    ends, others = np.concatenate([first, second]), np.concatenate([second, first])
    return set(ends[kinds[others] == kind].tolist())


def test_up_to_a_hundred_copies_are_all_listed():
    photos = photos_of(np.zeros((100, 4), np.uint64), (b"one",) * 100)
    assert len(find_pairs(photos)) == 100 * 99 / 2
    photos = photos_of(np.zeros((101, 4), np.uint64), (b"one",) * 101)
    assert len(find_pairs(photos)) == 101 * 100 / 2, "each but the last is among the first"
    photos = photos_of(np.zeros((200, 4), np.uint64), (b"one",) * 200)
    assert len(find_pairs(photos)) == 100 * 99 / 2 + 100 * 100


def test_the_pixel_difference_is_bray_curtis_of_the_ink():
    rng = np.random.default_rng(0)
    thumbnails = rng.integers(0, 256, (5, 24, 24, 3), dtype=np.uint8)
    first, second = np.array([0, 1, 3]), np.array([4, 2, 3])
    expected = [
        braycurtis(255.0 - thumbnails[a].ravel(), 255.0 - thumbnails[b].ravel())
        for a, b in zip(first, second, strict=True)
    ]
    assert pixel_differences(thumbnails, first, second) == pytest.approx(expected)


def test_two_white_photos_do_not_differ():
    white = np.full((2, 24, 24, 3), 255, np.uint8)
    assert pixel_differences(white, np.array([0]), np.array([1])).tolist() == [0.0]


def test_another_compression_and_size_is_the_same_photo():
    array = product(1)
    larger = np.asarray(Image.fromarray(array).resize((120, 160), Image.Resampling.BICUBIC))
    photos = hash_photos(
        [("a", encode(array)), ("b", encode(array, quality=70)), ("c", encode(larger))]
    )
    assert found(photos) == {(0, 1), (0, 2), (1, 2)}
    assert len(set(photos.byte_digests)) == len(set(photos.pixel_digests)) == 3


def test_other_products_on_white_are_not_the_same_photo():
    assert found(hashed([product(seed) for seed in range(30)])) == set()


def test_another_colour_is_the_same_shape_but_not_the_same_photo():
    photos = hashed([product(1, (180, 40, 40)), product(1, (40, 40, 180))])
    assert found(photos) == set()
    assert found(photos, max_difference=1.0) == {(0, 1)}


def test_the_same_pixels_in_another_file_have_one_digest():
    array = product(2)
    photos = hash_photos(
        [("jpg", encode(array, "PNG")), ("png", encode(array, "PNG", compress_level=1))]
    )
    assert len(set(photos.byte_digests)) == 2
    assert len(set(photos.pixel_digests)) == 1


def test_a_transparent_photo_is_laid_on_white():
    array = product(3)
    alpha = np.where((array == 255).all(axis=2), 0, 255).astype(np.uint8)
    cut_out = np.dstack([np.where(alpha[..., None] == 0, 0, array), alpha])
    file = io.BytesIO()
    Image.fromarray(cut_out.astype(np.uint8)).save(file, "PNG")
    assert found(hash_photos([("a", encode(array, "PNG")), ("b", file.getvalue())])) == {(0, 1)}


def test_photos_linked_in_steps_are_one_group():
    hashes = np.zeros((5, 4), np.uint64)
    hashes[1, 0] = (1 << 10) - 1  # 10 bits from the first
    hashes[2, 0] = (1 << 20) - 1  # 10 bits from the second, 20 from the first
    hashes[3:] = ~np.uint64(0)
    hashes[4, 1] = 0
    photos = photos_of(hashes)
    pairs = find_pairs(photos)
    numbers = group_numbers(5, pairs)
    assert len(pairs) == 2
    assert numbers[0] == numbers[1] == numbers[2] and len(set(numbers[2:].tolist())) == 3
    groups = near_duplicate_groups(photos)
    assert set(groups) == {"0", "1", "2"}
    described = describe_groups(groups)
    assert (described["groups"], described["products"], described["largest"]) == (1, 3, 3)


def test_no_photos_have_no_pairs():
    assert len(find_pairs(hash_photos([]))) == 0


def test_a_photo_that_does_not_decode_spares_the_others():
    found = hash_photos([("1", encode(pixels(1))), ("17", b"no photo"), ("2", encode(pixels(2)))])
    assert found.ids == ("1", "2") and len(found.hashes) == len(found.pixel_digests) == 2
    assert list(found.unreadable) == ["17"] and "not a photo" in found.unreadable["17"]


def test_progress_counts_photos():
    counts = []
    hash_photos([(str(i), encode(pixels(i))) for i in range(70)], progress=counts.append)
    assert counts == [64, 70]
