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
    thumbnails = np.full((count, 24, 24, 3), 200, np.uint8)
    return PhotoHashes(tuple(map(str, range(count))), hashes, thumbnails, (), ())


def test_the_hash_is_imagehashs(tmp_path):
    photo = encode(pixels(1))
    expected = imagehash.phash(Image.open(io.BytesIO(photo)).convert("RGB"), hash_size=16)
    bits = np.unpackbits(hash_photos([("1", photo)]).hashes.view(np.uint8)[0])
    assert np.array_equal(bits.astype(bool), expected.hash.flatten())


def test_every_pair_within_the_distance_is_found_with_its_distance():
    photos = random_hashes(700)  # more than one block
    bits = np.unpackbits(photos.hashes.view(np.uint8), axis=1).astype(int)
    expected = {
        (a, b): int(np.abs(bits[a] - bits[b]).sum()) for a in range(700) for b in range(a + 1, 700)
    }
    expected = {pair: distance for pair, distance in expected.items() if distance <= 12}
    pairs = find_pairs(photos)
    ends = zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)
    assert dict(zip(ends, pairs.distance.tolist(), strict=True)) == expected
    assert len(expected) > 50


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
    photos = random_hashes(5)
    hashes = np.zeros((5, 4), np.uint64)
    hashes[1, 0] = (1 << 10) - 1  # 10 bits from the first
    hashes[2, 0] = (1 << 20) - 1  # 10 bits from the second, 20 from the first
    hashes[3:] = ~np.uint64(0)
    hashes[4, 1] = 0
    photos = PhotoHashes(photos.ids, hashes, photos.thumbnails, (), ())
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
