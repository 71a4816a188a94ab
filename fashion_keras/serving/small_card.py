"""A run and the files of its small model in; the card that lies beside them, Markdown, out."""

from __future__ import annotations

from collections.abc import Sequence

import fashion_keras
from fashion_keras.data.title_terms import BUCKETS, COUNTS, TITLE_IDS
from fashion_keras.models.title_model import title_columns
from fashion_keras.run import LABELS_FILE, Run
from fashion_keras.serving.layout import ASSETS, INFO_ASSET, LITERT_TITLE_FILE, ONNX_TITLE_FILE
from fashion_keras.serving.model_card import table
from fashion_keras.serving.small_formats import INPUT
from fashion_keras.text import as_markdown

_WITH_TITLE = (LITERT_TITLE_FILE, ONNX_TITLE_FILE)


def small_card(run: Run, files: Sequence[str]) -> str:
    """Return the card of a run's small models; `files` are their names."""
    titled = [file for file in files if file in _WITH_TITLE]
    columns = title_columns(run.title) if titled else 0
    height, width = run.image_size
    photo = f"`{INPUT}` uint8 [N, {height}, {width}, 3]"
    title = f", `{TITLE_IDS}` int32 [N, {columns * sum(COUNTS)}]"
    rows = [(f"`{file}`", photo + title * (file in titled)) for file in files]
    parts = [
        f"# {as_markdown(run.model.name)}, a small model\n\n"
        f"Sorts product photos of a fashion shop; written by fashion_keras "
        f"{fashion_keras.__version__}.",
        table(("file", "takes"), rows),
        f"Of any N. Each gives the logits of each label by its name, float32 [N, C]: "
        f"{', '.join(map(as_markdown, run.labels))}. Their softmax is the probability, with the "
        f"decision of `fashion-keras calibrate` in it. `{ASSETS}/{LABELS_FILE}` has the class "
        f"names in index order, `{ASSETS}/{INFO_ASSET}` the thresholds.\n\n"
        f"A photo is decoded and brought to {height}×{width} ({run.resize}) by the caller, "
        "bilinear with antialiasing.",
    ]
    if titled:
        parts.append(_titles(columns, titled[0]))
    return "\n\n".join(parts) + "\n"


def _titles(columns: int, file: str) -> str:
    several = (
        f"The {columns} columns of text come as one string with U+001F between them, in the order "
        "of `--text-column`. "
        if columns > 1
        else ""
    )
    count = f", {columns}" if columns > 1 else ""
    return f"""## {TITLE_IDS}

The numbers of the terms of a product's title, made in plain Python without TensorFlow:

```python
import numpy as np
from fashion_keras.data.title_terms import title_ids

ids = np.array([title_ids(title{count}) for title in titles], np.int32)
```

{several}The text is normalised: HTML goes, letters lose case and accents, signs become spaces. Its
words, word pairs and groups of 3 and 4 characters are hashed by SipHash-2-4, words and pairs to
1 … {BUCKETS:,}, groups to the {BUCKETS:,} numbers after them; 0 is no term. A product whose
numbers are all 0 has no title: `{file}` answers by its photo."""
