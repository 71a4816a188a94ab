"""A file that somebody may have changed in; what it holds, or one `UserError`, out.

Every file that is read back is read here. Imports pydantic only where it is needed, since it
takes longer than all that a wrong argument needs.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import reprlib
import stat
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, BinaryIO, TypeVar

import annotated_types
import yaml

from fashion_keras.errors import UserError

_T = TypeVar("_T")
# How a dataclass whose file we write ourselves is validated, as its `__pydantic_config__`.
STRICT = {"strict": True, "extra": "forbid", "allow_inf_nan": False}
Whole = Annotated[int, annotated_types.Interval(ge=0, le=2**53)]
Count = Annotated[int, annotated_types.Interval(ge=1, le=2**53)]
Positive = Annotated[float, annotated_types.Gt(0)]
NonNegative = Annotated[float, annotated_types.Ge(0)]
Share = Annotated[float, annotated_types.Interval(ge=0, le=1)]
LIMIT = 256 * 2**20  # bytes: a photo of 64 megapixels or a table of a million rows is smaller


def read_bytes(path: str | os.PathLike, limit: int = LIMIT, *, name: str | None = None) -> bytes:
    """Read a file of at most `limit` bytes; never waits for what is no file.

    Raises `UserError`, which begins with `name` (default: the path), where the file cannot be
    read, is larger, does not fit in memory, or is a folder, a pipe, a socket or a device.
    """
    name = os.fspath(path) if name is None else name
    with _regular_file(path, name) as file:
        size = os.fstat(file.fileno()).st_size
        # As much as is there: Python takes from memory what it is asked for, before it reads.
        data = file.read(min(size, limit) + 1)
        if size < len(data) <= limit:  # it grows, or it is one of the kernel's
            data += file.read(limit + 1 - len(data))
    if len(data) > limit:
        raise UserError(f"{name} is larger than {limit / 2**20:,.0f} MiB")
    return data


def read_start(path: str | os.PathLike, size: int) -> bytes:
    """Read a file's first `size` bytes, fewer where it has no more; raises as `read_bytes`."""
    with _regular_file(path, os.fspath(path)) as file:
        return file.read(size)


@contextlib.contextmanager
def _regular_file(path: str | os.PathLike, name: str) -> Iterator[BinaryIO]:
    try:
        with open(path, "rb", opener=_without_waiting) as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                raise UserError(f"{name} is a pipe, a socket or a device: expected a file")
            yield file
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{name} cannot be read: {reason}") from error
    except MemoryError as error:
        raise UserError(f"{name} does not fit in memory") from error


def _without_waiting(path: str, flags: int) -> int:
    # Opening a pipe that nobody writes to would never end.
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def read_text(path: str | os.PathLike, limit: int = LIMIT) -> str:
    """Read a file of UTF-8 text, with or without a byte-order mark; `UserError` for any other."""
    try:
        return _decoded(read_bytes(path, limit))
    except ValueError as error:
        raise UserError(f"{path}: {error}") from None


def read_json(path: str | os.PathLike, mend: str, limit: int = LIMIT) -> dict[str, Any]:
    """Read a file that holds a JSON object; `UserError`, which ends with `mend`, for any other."""
    data = read_bytes(path, limit)
    try:
        found = parse_json(_decoded(data))
        if not isinstance(found, dict):
            raise ValueError(f"expected an object, found {short(found)}")
    except ValueError as error:
        raise damaged(path, error, mend) from None
    return found


def parse_json(text: str) -> Any:
    """Return what JSON says; `ValueError` for whatever a strict reader refuses.

    Refused are keys that stand twice, numbers that are not finite or have thousands of digits,
    text that is no Unicode, and nesting too deep for Python.
    """
    try:
        found = json.loads(
            text, object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite
        )
        if "\\u" in text:
            json.dumps(found, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except UnicodeEncodeError:
        raise ValueError("it holds half a character") from None
    return found


def unsealed(raw: dict[str, Any]) -> dict[str, Any]:
    """Return what `io.write_sealed` was given; `ValueError` where it is not that any more.

    What has no seal is taken as it is: earlier versions wrote none.
    """
    body = {key: value for key, value in raw.items() if key != "sha256"}
    if raw.get("sha256", digest(body)) != digest(body):
        raise ValueError("it was changed after it was written")
    return body


def digest(value: Any) -> str:
    """Return the sha256 in hex of JSON's values, whatever their order in a mapping."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def read_yaml(path: str | os.PathLike, limit: int = 2**20) -> Any:
    """Read a YAML file of plain values; `UserError` that names the line where it is none."""
    try:
        return parse_yaml(read_text(path, limit))
    except ValueError as error:
        raise UserError(f"{path}{error}") from None


def parse_yaml(text: str) -> Any:
    """Return what YAML says; `ValueError` for what is not valid, and for keys that stand twice.

    The error's text begins with the line, if it has one, as in `, line 3: not valid YAML`.
    """
    try:
        return yaml.load(text, Loader=_UniqueKeys)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        reason = error.problem if isinstance(error, _KeyTwice) else "not valid YAML"
        raise ValueError(f"{line}: {reason}") from None
    except RecursionError:
        raise ValueError(": it is nested too deeply") from None
    except Exception as error:  # PyYAML lets through what its constructors of values raise
        raise ValueError(f": not valid YAML ({_reason(error)})") from None


def validated(kind: type[_T], raw: Any) -> _T:
    """Return JSON's values as a dataclass, checked; `ValueError` that names the wrong key.

    `kind` says in its annotations what is allowed, and in `__pydantic_config__` how strictly.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        # As JSON and not as Python's values, so that a list may be a tuple, and nothing else.
        return TypeAdapter(kind).validate_json(json.dumps(raw))
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        message = message[:1].lower() + message[1:]
        found = "" if first["type"] == "missing" else f", found {short(first['input'])}"
        raise ValueError(f"{key or 'as a whole'}: {message}{found}") from None


def damaged(path: str | os.PathLike, reason: Exception | str, mend: str) -> UserError:
    """Return the error of a file that does not hold what it should; `mend` says what to do."""
    return UserError(f"{path} is damaged ({_reason(reason)}): {mend}")


def sha256_of(path: str | os.PathLike) -> str:
    """Return a file's sha256 in hex."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(folder: str | os.PathLike, files: Mapping[str, str], mend: str) -> None:
    """Raise `UserError` unless each of a folder's files, by name, is there with its sha256."""
    for name, sha256 in files.items():
        path = os.path.join(folder, name)
        if not os.path.isfile(path):
            raise damaged(path, "it is missing", mend)
        if sha256_of(path) != sha256:
            raise damaged(path, "it was changed after it was written", mend)


def short(value: Any) -> str:
    """Return a value as Python writes it, cut where it is long."""
    return reprlib.repr(value)


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"byte {error.start:,} is no UTF-8 text") from None


def _reason(error: Exception | str) -> str:
    text = str(error) or type(error).__name__
    return text.splitlines()[0].split("; use sys.")[0][:200]


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"{short(twice)} stands there twice")
    return found


def _finite(text: str) -> float:
    if not math.isfinite(float(text)):
        raise ValueError(f"{text[:20]} is no finite number")
    return float(text)


class _KeyTwice(yaml.constructor.ConstructorError):
    """A key stands twice in one mapping."""


class _UniqueKeys(yaml.SafeLoader):
    """YAML's safe loader, but a key that stands twice is an error: PyYAML takes the last."""

    def construct_mapping(self, node, deep=False):
        """Build a dict as the parent does, once its keys have been looked at."""
        seen = set()
        for key, _ in node.value:
            if isinstance(key.value, str):  # not a list or a mapping, which YAML allows as keys
                if key.value in seen:
                    raise _KeyTwice(None, None, f"{key.value!r} stands here twice", key.start_mark)
                seen.add(key.value)
        return super().construct_mapping(node, deep)
