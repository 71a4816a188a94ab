"""The config's `training.precision` in, a Keras dtype policy that the hardware is quick at out."""

from __future__ import annotations

from pathlib import Path

from fashion_keras.training.devices import gpus

_PROCESSOR = Path("/proc/cpuinfo")
_GPU_WITH_BFLOAT16 = (8, 0)
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


def resolve_precision(precision: str) -> str:
    """Return the Keras dtype policy that `auto` stands for: bfloat16 where the hardware has it.

    That is a GPU of compute capability 8.0 or more, or without a GPU a processor with bfloat16
    instructions; others emulate them in three times the time of float32.
    """
    if precision != "auto":
        return precision
    found = gpus()
    if any(gpu.compute_capability >= _GPU_WITH_BFLOAT16 for gpu in found):
        return "mixed_bfloat16"
    return "mixed_bfloat16" if not found and has_bfloat16() else "float32"


def is_emulated(policy: str) -> bool:
    """Return whether there is no GPU, and no bfloat16 instruction, for a policy of half precision.

    Processors with float16 instructions are not told apart: `mixed_float16` counts as emulated.
    """
    if policy == "float32" or gpus():
        return False
    return policy != "mixed_bfloat16" or not has_bfloat16()


def has_bfloat16(processor: Path = _PROCESSOR) -> bool:
    """Return whether Linux's description of the processor names bfloat16 instructions."""
    try:
        lines = processor.read_text(encoding="utf-8").splitlines()
    except OSError:  # not Linux
        return False
    for line in lines:
        name, _, flags = line.partition(":")
        if name.strip() == "flags":
            return not _BFLOAT16_FLAGS.isdisjoint(flags.split())
    return False
