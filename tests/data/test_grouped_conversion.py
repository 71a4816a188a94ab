"""convert --split grouped: twins end in one split, also where one is stored smaller."""

import shutil

import pytest
import wire
from drawn_catalogue import draw_catalogue, encode
from drawn_products import product
from PIL import Image

from fashion_keras.data.conversion import Request, convert
from fashion_keras.data.schema import SPLITS

TWINS = 24  # products 1000 … 1023 are photographed again as 1024 … 1047


@pytest.fixture(scope="module")
def converted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("grouped")
    source = draw_catalogue(folder / "shop", count=3 * TWINS)
    shutil.rmtree(source / "images")
    (source / "images").mkdir()
    for number in range(3 * TWINS):
        seed = number % TWINS if number < 2 * TWINS else number
        array = product(seed)
        quality = 92
        if TWINS < number <= TWINS + 4:  # as another shop might send it
            quality = 75
        elif number == TWINS:
            large = Image.fromarray(array).resize((480, 640), Image.Resampling.BICUBIC)
            large.save(source / f"images/{1000 + number}.jpg", quality=92)
            continue
        (source / f"images/{1000 + number}.jpg").write_bytes(encode(array, quality=quality))
    phases = []
    info = convert(
        Request(str(source), split="grouped", seed=1),
        folder / "records",
        say=lambda line: None,
        progress=lambda phase, done, total: phases.append(phase),
    )
    split_of = {
        example["id"].decode(): split
        for split in SPLITS
        for example in wire.examples(folder / "records", info, split)
    }
    return info, split_of, phases


def test_twins_are_in_one_split(converted):
    _, split_of, _ = converted
    assert len(split_of) == 3 * TWINS
    apart = [
        number
        for number in range(1000, 1000 + TWINS)
        if split_of[str(number)] != split_of[str(number + TWINS)]
    ]
    assert apart == []
    assert len({split_of[str(number)] for number in range(1000, 1000 + TWINS)}) == 3


def test_the_info_says_how_groups_were_found(converted):
    info, _, phases = converted
    assert info.split["strategy"] == "grouped"
    found = info.split["near_duplicates"]
    assert (found["groups"], found["products"], found["largest"]) == (TWINS, 2 * TWINS, 2)
    assert "hashing photos" in phases and "looking for near-duplicates" in phases
