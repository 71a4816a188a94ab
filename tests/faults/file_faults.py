"""A file's bytes and a seed in; the same damaged in many ways, by what was done, out."""

import json
import random

NESTED = "[" * 100_000 + "]" * 100_000


def mutated(name: str, data: bytes, count: int, seed: int = 0) -> dict[str, bytes]:
    """Return at most `count` damaged versions of a file, chosen by the kind that its name says."""
    rng = random.Random(f"{name} {seed}")
    found = _bytes(data, rng)
    if name.endswith(".json"):
        found |= _json(data, rng)
    elif name.endswith((".yaml", ".csv")):
        found |= _lines(data, rng)
    chosen = rng.sample(sorted(found), min(count, len(found)))
    return {what: found[what] for what in chosen}


def _bytes(data, rng):
    def overwritten(new):
        at = rng.randrange(max(1, len(data) - len(new)))
        return data[:at] + new + data[at + len(new) :]

    def flipped():
        changed = bytearray(data)
        changed[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        return bytes(changed)

    found = {
        "empty": b"",
        "zeros": bytes(len(data)),
        "junk": rng.randbytes(len(data)),
        "cut in half": data[: len(data) // 2],
        "less its last byte": data[:-1],
        "a byte more": data + b"x",
        "twice": data + data,
        "not UTF-8": data[: len(data) // 3] + b"\xff\xfe" + data[len(data) // 3 :],
    }
    for number in range(8):
        found[f"a bit flipped {number}"] = flipped()
        found[f"16 bytes overwritten {number}"] = overwritten(rng.randbytes(16))
    return found


def _json(data, rng):
    whole = json.loads(data)
    values = {
        "null": None, "true": True, "a list": [1], "an object": {"a": 1}, "a text": "7", "seven": 7,
        "minus one": -1, "a half": 0.5, "a huge number": 10**400, "an empty text": "",
        "an empty list": [], "an empty object": {},
    }  # fmt: skip
    found = {f"{what} instead": json.dumps(value).encode() for what, value in values.items()}
    text = data.decode("utf-8")
    found["nested deeply"] = NESTED.encode()
    found["5,000 digits"] = f'{{"format": {"9" * 5000}}}'.encode()
    found["NaN"] = text.replace(": 1", ": NaN", 1).encode()
    found["a key twice"] = text.replace("{", '{"label": "x", "label": "y",', 1).encode()
    found["a byte-order mark"] = b"\xef\xbb\xbf" + data
    found["UTF-16"] = text.encode("utf-16")
    paths = list(_paths(whole))
    for path in rng.sample(paths, min(len(paths), 24)):
        where = ".".join(map(str, path))
        what, value = rng.choice(sorted(values.items(), key=lambda item: item[0]))
        found[f"{where} is {what}"] = json.dumps(_changed(whole, path, value)).encode()
        found[f"{where} is missing"] = json.dumps(_without(whole, path)).encode()
    for path in paths:  # what is in order, in another
        part = _at(whole, path)
        if isinstance(part, list) and len(part) > 1 and part[::-1] != part:
            where = ".".join(map(str, path))
            found[f"{where} reversed"] = json.dumps(_changed(whole, path, part[::-1])).encode()
    return found


def _lines(data, rng):
    lines = data.decode("utf-8").splitlines(keepends=True)
    found = {"lines reversed": "".join(lines[::-1]).encode(), "a tab": b"\t" + data}
    found["nested deeply"] = NESTED[:2000].encode()
    for number in range(12):
        at = rng.randrange(len(lines))
        name, colon, value = lines[at].partition(":")
        found[f"line {at} left out"] = "".join(lines[:at] + lines[at + 1 :]).encode()
        found[f"line {at} twice"] = "".join(lines[: at + 1] + lines[at:]).encode()
        if colon and value.strip():
            new = rng.choice(["null", "true", "[1]", "{a: 1}", "-1", "9" * 5000, ".nan", "x", "''"])
            changed = [*lines[:at], f"{name}: {new}\n", *lines[at + 1 :]]
            found[f"{name.strip()} is {new[:9]} {number}"] = "".join(changed).encode()
    return found


def _paths(value, path=()):
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, part in items:
        yield (*path, key)
        yield from _paths(part, (*path, key))


def _at(value, path):
    for key in path:
        value = value[key]
    return value


def _changed(value, path, new):
    if not path:
        return new
    copy = value.copy()
    copy[path[0]] = _changed(value[path[0]], path[1:], new)
    return copy


def _without(value, path):
    copy = value.copy()
    if len(path) == 1:
        del copy[path[0]]
    else:
        copy[path[0]] = _without(value[path[0]], path[1:])
    return copy
