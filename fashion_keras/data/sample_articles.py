"""The articles of the drawn sample: Kaggle's names, how often, in which colours, drawn how."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from fashion_keras.data import sample_accessories as accessories
from fashion_keras.data import sample_clothing as clothing
from fashion_keras.data import sample_footwear as footwear
from fashion_keras.data import sample_goods as goods
from fashion_keras.data.sample_pen import COLOURS, PATTERNS, Pen

_ALL = tuple(c for c in COLOURS if c not in ("Silver", "Gold"))
_DENIM = ("Blue", "Blue", "Navy Blue", "Black", "Grey")
_CLOTH = ("Black", "Grey", "Charcoal", "Navy Blue", "Khaki", "Beige", "Brown", "Olive")
_LEATHER = ("Black", "Black", "Brown", "Brown", "Tan", "Maroon", "Grey", "White", "Red")
_METAL = ("Silver", "Silver", "Gold", "Gold", "Grey", "Tan")
_LIPS = ("Red", "Pink", "Maroon", "Peach", "Magenta", "Brown", "Orange", "Purple")
_PLAIN = ("plain",)
_QUIET = ("plain", "plain", "plain", "stripes")
_FABRIC = ("plain", "plain", "stripes", "bars", "checks", "dots")


@dataclasses.dataclass(frozen=True)
class Article:
    """One articleType and how to draw it.

    `weight` is its share of the photos that the tail leaves over, relative to the other weights;
    `tail`, where it is not 0, its number of photos however large the sample. `colours` and
    `patterns` repeat what is frequent. `tilt` is the largest rotation in degrees.
    """

    master_category: str
    sub_category: str
    article_type: str
    draw: Callable[[Pen], None]
    weight: float = 0
    tail: int = 0
    genders: tuple[str, ...] = ("Men", "Women")
    usages: tuple[str, ...] = ("Casual",)
    colours: tuple[str, ...] = _ALL
    patterns: tuple[str, ...] = _FABRIC
    tilt: float = 8


def _group(master: str, sub: str, *articles: tuple, **shared) -> list[Article]:
    return [Article(master, sub, name, draw, **shared | own) for name, draw, own in articles]


_WOMEN, _MEN = {"genders": ("Women",)}, {"genders": ("Men",)}
_SPORT, _FORMAL = {"usages": ("Sports",)}, {"usages": ("Formal",)}

ARTICLES: tuple[Article, ...] = (
    *_group(
        "Apparel",
        "Topwear",
        (
            "Tshirts",
            clothing.tshirt,
            {"weight": 270, "patterns": PATTERNS, "genders": ("Men", "Men", "Women", "Boys")},
        ),
        ("Shirts", clothing.shirt, {"weight": 130, "usages": ("Casual", "Formal"), **_MEN}),
        ("Tops", clothing.blouse, {"weight": 80, "genders": ("Women", "Women", "Girls")}),
        ("Kurtas", clothing.kurta, {"weight": 70, "usages": ("Ethnic",), **_WOMEN}),
        ("Sweaters", clothing.sweater, {"weight": 25, "patterns": _QUIET}),
        ("Jackets", clothing.jacket, {"weight": 25, "patterns": _PLAIN}),
        tilt=6,
    ),
    *_group(
        "Apparel",
        "Bottomwear",
        ("Jeans", clothing.jeans, {"weight": 55, "colours": _DENIM}),
        ("Trousers", clothing.trousers, {"weight": 40, "colours": _CLOTH, **_FORMAL}),
        ("Shorts", clothing.shorts, {"weight": 35, "patterns": ("plain", "plain", "checks")}),
        ("Skirts", clothing.skirt, {"weight": 15, "patterns": _FABRIC, **_WOMEN}),
        patterns=_PLAIN,
        tilt=5,
    ),
    *_group("Apparel", "Dress", ("Dresses", clothing.dress, {"weight": 50, "tilt": 6, **_WOMEN})),
    *_group(
        "Apparel",
        "Innerwear",
        ("Briefs", clothing.briefs, {"weight": 50}),
        ("Bra", clothing.bra, {"weight": 30, **_WOMEN}),
        ("Innerwear Vests", clothing.vest, {"weight": 20, "colours": ("White", *_ALL), **_MEN}),
        patterns=("plain", "plain", "stripes", "dots"),
    ),
    *_group("Accessories", "Socks", ("Socks", clothing.socks, {"weight": 40})),
    *_group(
        "Accessories",
        "Watches",
        (
            "Watches",
            accessories.watch,
            {"weight": 120, "colours": (*_LEATHER, *_METAL, "Blue"), "patterns": _PLAIN},
        ),
        tilt=14,
    ),
    *_group(
        "Accessories",
        "Bags",
        ("Handbags", accessories.handbag, {"weight": 80, **_WOMEN}),
        ("Backpacks", accessories.backpack, {"weight": 40, "genders": ("Unisex",)}),
        ("Clutches", accessories.clutch, {"weight": 20, "usages": ("Casual", "Party"), **_WOMEN}),
        patterns=("plain", "plain", "checks", "dots", "bars"),
    ),
    *_group(
        "Accessories",
        "Belts",
        (
            "Belts",
            accessories.belt,
            {"weight": 45, "colours": _LEATHER, "patterns": _PLAIN, **_MEN},
        ),
    ),
    *_group(
        "Accessories",
        "Eyewear",
        (
            "Sunglasses",
            accessories.sunglasses,
            {"weight": 55, "colours": ("Black", "Black", "Brown", *_ALL), "patterns": _PLAIN},
        ),
    ),
    *_group(
        "Accessories",
        "Wallets",
        ("Wallets", accessories.wallet, {"weight": 50, "colours": _LEATHER, "patterns": _QUIET}),
        tilt=15,
    ),
    *_group(
        "Accessories",
        "Ties",
        ("Ties", accessories.tie, {"weight": 25, "tilt": 14, **_MEN, **_FORMAL}),
    ),
    *_group(
        "Accessories",
        "Jewellery",
        ("Earrings", accessories.earrings, {"weight": 35}),
        ("Necklace and Chains", accessories.necklace, {"weight": 20}),
        ("Ring", accessories.ring, {"weight": 15}),
        colours=_METAL,
        patterns=_PLAIN,
        **_WOMEN,
    ),
    *_group("Accessories", "Headwear", ("Caps", accessories.cap, {"weight": 20, **_SPORT})),
    *_group(
        "Accessories", "Umbrellas", ("Umbrellas", accessories.umbrella, {"tail": 6, "tilt": 35})
    ),
    *_group(
        "Accessories", "Water Bottle", ("Water Bottle", accessories.bottle, {"tail": 4, **_SPORT})
    ),
    *_group(
        "Footwear",
        "Shoes",
        ("Casual Shoes", footwear.casual_shoe, {"weight": 100, "patterns": _FABRIC}),
        ("Sports Shoes", footwear.sports_shoe, {"weight": 75, **_SPORT}),
        ("Heels", footwear.heel, {"weight": 55, **_WOMEN}),
        (
            "Formal Shoes",
            footwear.formal_shoe,
            {"weight": 30, "colours": _LEATHER, **_MEN, **_FORMAL},
        ),
        patterns=_PLAIN,
        tilt=14,
    ),
    *_group(
        "Footwear",
        "Sandal",
        ("Sandals", footwear.sandal, {"weight": 45, "colours": _LEATHER}),
        ("Sports Sandals", footwear.sports_sandal, {"weight": 10, **_SPORT, **_MEN}),
        patterns=_PLAIN,
        tilt=14,
    ),
    *_group(
        "Footwear", "Flip Flops", ("Flip Flops", footwear.flip_flops, {"weight": 45, "tilt": 20})
    ),
    *_group(
        "Personal Care",
        "Fragrance",
        ("Perfume and Body Mist", goods.perfume, {"weight": 35}),
        ("Deodorant", goods.deodorant, {"weight": 20}),
        patterns=_PLAIN,
    ),
    *_group(
        "Personal Care",
        "Lips",
        ("Lipstick", goods.lipstick, {"weight": 25}),
        ("Lip Gloss", goods.lip_gloss, {"weight": 12}),
        colours=_LIPS,
        patterns=_PLAIN,
        tilt=12,
        **_WOMEN,
    ),
    *_group(
        "Personal Care",
        "Nails",
        ("Nail Polish", goods.nail_polish, {"weight": 25, "patterns": _PLAIN, **_WOMEN}),
        tilt=12,
    ),
    *_group(
        "Sporting Goods",
        "Sports Equipment",
        ("Footballs", goods.football, {"tail": 3, "colours": ("White", "Yellow", "Silver")}),
        ("Basketballs", goods.basketball, {"tail": 2, "colours": ("Orange", "Brown")}),
        patterns=_PLAIN,
        genders=("Unisex",),
        tilt=40,
        **_SPORT,
    ),
    *_group(
        "Home",
        "Home Furnishing",
        ("Cushion Covers", goods.cushion, {"tail": 1, "genders": ("Unisex",), "usages": ("Home",)}),
    ),
)
