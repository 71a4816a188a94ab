import pytest

from fashion_keras.training import optimizer
from fashion_keras.training.optimizer import has_bfloat16, is_emulated, resolve_precision


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("processor\t: 0\nflags\t\t: fpu avx512f avx512_bf16 fsrm\n", True),
        ("flags\t\t: fpu amx_tile amx_bf16\n", True),
        ("flags\t\t: fpu avx2 avx512f avx512_vnni\n", False),
        ("model name\t: Model avx512_bf16\nflags\t\t: fpu\n", False),
        ("Features\t: fp asimd bf16\n", False),  # Arm: not measured
        ("", False),
    ],
)
def test_bfloat16_instructions_are_read_off_linuxs_flags(tmp_path, text, expected):
    (tmp_path / "cpuinfo").write_text(text)
    assert has_bfloat16(tmp_path / "cpuinfo") is expected


def test_no_description_is_no_bfloat16(tmp_path):
    assert has_bfloat16(tmp_path / "none") is False


@pytest.mark.parametrize(("has_it", "expected"), [(True, "mixed_bfloat16"), (False, "float32")])
def test_auto_is_bfloat16_where_the_processor_has_it(monkeypatch, has_it, expected):
    monkeypatch.setattr(optimizer, "has_bfloat16", lambda: has_it)
    assert resolve_precision("auto") == expected


@pytest.mark.parametrize("asked", ["float32", "mixed_bfloat16"])
def test_what_is_asked_for_is_taken_whatever_the_processor(monkeypatch, asked):
    monkeypatch.setattr(optimizer, "has_bfloat16", lambda: asked == "float32")
    assert resolve_precision(asked) == asked


@pytest.mark.parametrize(
    ("policy", "has_it", "gpus", "expected"),
    [
        ("float32", False, [], False),
        ("mixed_bfloat16", True, [], False),
        ("mixed_bfloat16", False, [], True),
        ("mixed_float16", True, [], True),
        ("mixed_float16", False, ["a GPU"], False),
        ("mixed_bfloat16", False, ["a GPU"], False),
    ],
)
def test_half_precision_is_emulated_without_a_gpu_and_instructions(
    monkeypatch, policy, has_it, gpus, expected
):
    monkeypatch.setattr(optimizer, "has_bfloat16", lambda: has_it)
    monkeypatch.setattr(optimizer, "gpus", lambda: gpus)
    assert is_emulated(policy) is expected
