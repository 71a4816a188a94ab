"""Records with text in; a model of the title alone, fitted to their training split, out.

A linear support vector machine a label on the terms' TF-IDF weights (Joachims, "Text categorization
with support vector machines", 1998), which takes seconds where a network takes minutes and knows
rare classes better. Its distances are no probabilities: `decision` makes them some.
"""

from __future__ import annotations

import dataclasses
import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

import keras
import numpy as np

from fashion_keras.data.schema import DatasetInfo
from fashion_keras.data.title_terms import TERMS, of_families, read_terms
from fashion_keras.models.title_model import build_title_model
from fashion_keras.run import Run, check_run, save_title

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

_NEVER = -10.0  # the logit of a class without a training title; of others they are around -1


def fit_titles(
    records: str | os.PathLike,
    labels: Mapping[str, Sequence[str]],
    *,
    progress: Callable[[str, int, int], object] | None = None,
) -> keras.Model:
    """Fit a linear model a label to the titles of the training split; return them as one model.

    `labels` maps labels to class names. Products without text, or without a label, teach nothing.
    Raises `UserError` for records without text.
    """
    info = DatasetInfo.load(records)
    terms = read_terms(records, info, "train", list(labels))
    families = [
        _counts(np.concatenate(parts, axis=1)) for parts in of_families(terms.ids, len(info.texts))
    ]
    rarity = _rarity(sum(families))
    rows = sum(_weighted(counts, rarity) for counts in families)
    said = ~terms.empty
    kernels = []
    for number, (label, names) in enumerate(labels.items()):
        truth = terms.truth[label]
        known = said & (truth >= 0)
        kernels.append(_linear(rows[known], truth[known], len(names)))
        if progress is not None:
            progress("title", number + 1, len(labels))
    return build_title_model(len(info.texts), labels, rarity, np.concatenate(kernels, axis=1))


def add_title(
    run: Run, records: str | os.PathLike, progress: Callable[[str, int, int], object] | None = None
) -> Run:
    """Fit a model of the title, write it into the run's folder and return the run with it.

    Its decisions that were fitted to another one are gone. Raises `UserError` as `fit_titles` does.
    """
    model = fit_titles(records, run.labels, progress=progress)
    save_title(check_run(run.path).parent, model)
    return dataclasses.replace(run, title=model, title_decisions={})


def _counts(ids: np.ndarray) -> csr_matrix:
    """Return how often each product has each term, float32 `[N, TERMS]`."""
    from scipy.sparse import csr_matrix

    there = ids > 0
    ends = np.concatenate([[0], there.sum(axis=1).cumsum()])
    found = csr_matrix((np.ones(ends[-1], np.float32), ids[there], ends), (len(ids), TERMS))
    found.sum_duplicates()
    return found


def _rarity(counts: csr_matrix) -> np.ndarray:
    """Return the inverse document frequencies, smoothed as scikit-learn does."""
    products = np.bincount(counts.indices, minlength=TERMS)
    found = np.log((1 + counts.shape[0]) / (1 + products)) + 1
    found[0] = 0
    return found.astype(np.float32)


def _weighted(counts: csr_matrix, rarity: np.ndarray) -> csr_matrix:
    """Return each product's TF-IDF weights, divided as `build_title_model` does."""
    lengths = np.sqrt(np.maximum(counts @ rarity**2, 1e-12))
    rows = counts.multiply(rarity).tocsr()
    rows.data /= np.repeat(lengths, np.diff(rows.indptr))
    return rows.astype(np.float32)


def _linear(rows: csr_matrix, truth: np.ndarray, classes: int) -> np.ndarray:
    """Return one label's weights, float32 `[TERMS + 1, classes]`, the bias last."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.svm import LinearSVC

    kernel = np.zeros((TERMS + 1, classes), np.float32)
    present = np.unique(truth)
    kernel[-1] = _NEVER
    kernel[-1, present] = 0
    if len(present) > 1:
        with warnings.catch_warnings():
            # So near the best that no answer changes.
            warnings.simplefilter("ignore", ConvergenceWarning)
            fitted = LinearSVC(C=1.0, random_state=0).fit(rows, truth)
        weights = np.concatenate([fitted.coef_.T, fitted.intercept_[None]])
        if len(present) == 2:  # scikit-learn fits one plane, the second class's
            weights = np.concatenate([-weights, weights], axis=1)
        kernel[:, present] = weights
    return kernel
