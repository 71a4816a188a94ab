"""Teach a computer to sort a fashion shop's photos."""

import os

__version__ = "0.1.0"

# TensorFlow switches its oneDNN kernels on by itself only for CPUs with AVX-512 VNNI; on an
# AVX2 CPU they train ResNet18 2.2 times as fast (docs/performance.md). Whoever has set the
# variable keeps their choice. The log level hides TensorFlow's start-up notes, not its errors.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
