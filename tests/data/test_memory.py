"""Available memory: the kernel's estimate, or a container's limit if that is less."""

import pytest

from fashion_keras.data.shard_writer import available_memory

MEMINFO = "MemTotal:  8000000 kB\nMemFree:  100 kB\nMemAvailable:  4000000 kB\n"


@pytest.mark.parametrize(
    ("limit", "current", "expected"),
    [
        (None, None, 4_000_000 * 1024),
        ("max", "5", 4_000_000 * 1024),
        ("1000000000", "400000000", 600_000_000),
        ("1000", "2000", 0),
    ],
)
def test_the_least_counts(tmp_path, limit, current, expected):
    (tmp_path / "meminfo").write_text(MEMINFO)
    if limit:
        (tmp_path / "memory.max").write_text(limit)
        (tmp_path / "memory.current").write_text(current)
    assert available_memory(tmp_path, tmp_path / "meminfo") == expected


def test_it_can_be_told_on_this_machine():
    assert available_memory() > 0
