"""Records in, batches of photos and one-hot or soft labels out.

Rare classes may be drawn more often: class-balanced and square-root sampling (Mahajan et al.,
2018; Kang et al., 2020, section 3). Labels may be mixed with what a teacher says of the photo
(Hinton et al., "Distilling the knowledge in a neural network", 2015, section 2): the
probabilities of a model that was trained before, which say what a photo resembles, too.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from fashion_keras.data import augment, image
from fashion_keras.data.schema import MISSING, DatasetInfo, check_known
from fashion_keras.data.shard_writer import available_memory
from fashion_keras.data.sharing import ALL_OF_IT, Share
from fashion_keras.data.tfrecord import read_records
from fashion_keras.io import replacing
from fashion_keras.places import local
from fashion_keras.reading import damaged

# The exponent q of Kang et al.: a class of n photos is drawn in proportion to n^q.
POWERS = {"natural": 1.0, "square-root": 0.5, "balanced": 0.0}


def drawn_counts(sampling: str, counts: ArrayLike) -> np.ndarray:
    """Return how often each class is drawn in an epoch that has as many photos, float64 `[C]`."""
    counts = np.asarray(counts, np.float64)
    wanted = np.where(counts > 0, np.maximum(counts, 1.0) ** POWERS[sampling], 0.0)
    return wanted * (counts.sum() / max(wanted.sum(), 1.0))


def draw_rates(sampling: str, counts: ArrayLike, num_examples: int) -> np.ndarray | None:
    """Compute how often a photo of each class is drawn an epoch; None where it is once each.

    `counts` are the labelled photos of each class, `num_examples` all of them. Returns float64
    `[C + 1]`, the last for photos without a label, which keep their share. The rates sum over
    the photos to one more than `num_examples`, so that rounding leaves no epoch short.
    """
    if sampling == "natural":
        return None
    counts = np.asarray(counts, np.float64)
    rates = np.append(drawn_counts(sampling, counts) / np.maximum(counts, 1.0), 1.0)
    return rates * (1.0 + 1.0 / num_examples)


def resample(dataset: tf.data.Dataset, rates: np.ndarray, seed: tf.Tensor) -> tf.data.Dataset:
    """Repeat or drop each product by its class's rate, by systematic sampling.

    `dataset` yields dicts with `index`, int64 `[L]`, whose first is the class or -1; `seed` is
    int32 `[2]`. Rates are added up along the stream from a random start, and a product is drawn
    as often as the sum passes a whole number: each class gets its share to the next whole
    number but for its place in the stream, which the caller has shuffled.
    """
    table = tf.constant(rates, tf.float64)
    start = tf.random.stateless_uniform([], seed, dtype=tf.float64)

    def count(total, product):
        index = product["index"][0]
        rate = table[tf.where(index < 0, tf.size(table, tf.int64) - 1, index)]
        copies = tf.floor(total + rate) - tf.floor(total)
        return total + rate, (product, tf.cast(copies, tf.int64))

    counted = dataset.scan(start, count).filter(lambda product, copies: copies > 0)
    return counted.flat_map(
        lambda product, copies: tf.data.Dataset.from_tensors(product).repeat(copies)
    )


_ID = "id"


@dataclasses.dataclass(frozen=True)
class SoftTargets:
    """A teacher's probabilities of the training photos.

    `ids` are the product ids; `probabilities` maps a label to float16 `[N, C]`, of the labels that
    the teacher has a head for; `weight` is their share in what the student learns from, in (0, 1).
    """

    ids: tuple[str, ...]
    probabilities: Mapping[str, np.ndarray]
    weight: float

    def save(self, path: str | os.PathLike) -> None:
        """Write ids and probabilities into an `.npz`, whole or not at all."""
        with replacing(path) as partial:
            arrays: dict[str, Any] = {_ID: np.asarray(self.ids), **self.probabilities}
            np.savez(partial, **arrays)

    @classmethod
    def load(
        cls, path: str | os.PathLike, weight: float, labels: Mapping[str, Sequence[str]]
    ) -> SoftTargets:
        """Read what `save` wrote; `labels` maps each label of the student to its class names.

        Raises `UserError` where it is damaged, or of other labels or classes.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                found = {name: stored[name] for name in stored.files}
            ids = found.pop(_ID)
            if ids.ndim != 1 or ids.dtype.kind != "U" or len(set(ids.tolist())) < len(ids):
                raise ValueError("its ids are no list of different texts")
            for name, values in found.items():
                expected = (len(ids), len(labels[name]))
                if values.dtype != np.float16 or values.shape != expected:
                    raise ValueError(f"{name} is {values.dtype} {values.shape}, not {expected}")
                if not (np.isfinite(values).all() and (values >= 0).all()):
                    raise ValueError(f"{name} holds what is no probability")
        except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error) as error:
            raise damaged(path, error, "remove it, and the teacher is asked anew") from None
        return cls(tuple(ids.tolist()), found, weight)

    def mixer(self) -> Callable[[tf.Tensor, dict], dict]:
        """Return what mixes a batch: `(ids [N], one-hot [N, C] a label) -> the same, soft`.

        (1 − weight) · label + weight · teacher. A product without the label keeps its row of
        zeros. Raises `tf.errors.InvalidArgumentError` for a photo that the teacher has not seen.
        """
        rows = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(
                tf.constant(self.ids), tf.range(len(self.ids), dtype=tf.int64)
            ),
            default_value=-1,
        )
        tables = {name: tf.constant(values) for name, values in self.probabilities.items()}

        def mix(ids, one_hot):
            row = rows.lookup(ids)
            tf.debugging.assert_non_negative(row, "a photo that the teacher was not asked about")

            def soft(name, hard):
                if name not in tables:
                    return hard
                known = tf.reduce_sum(hard, axis=1, keepdims=True)
                taught = tf.cast(tf.gather(tables[name], row), hard.dtype)
                return (1 - self.weight) * hard + self.weight * known * taught

            return {name: soft(name, hard) for name, hard in one_hot.items()}

        return mix


CACHES = ("none", "encoded", "decoded", "auto")
# One buffer for every kind of cache, so that the order does not depend on memory.
_SHUFFLE_BUFFER = 1 << 16


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How training photos are varied.

    The policy, the alphas of MixUp and CutMix, and the probability of random erasing (0: off).
    """

    policy: str = "none"
    mixup: float = 0.0
    cutmix: float = 0.0
    random_erasing: float = 0.0


def steps_per_epoch(num_examples: int, batch_size: int) -> int:
    """Return the batches of a training epoch: whole ones, or the only one there is."""
    return max(1, num_examples // batch_size)


def make_dataset(
    records: str | os.PathLike,
    split: str,
    label: str | Sequence[str],
    image_size: tuple[int, int],
    batch_size: int,
    *,
    training: bool = False,
    initial_epoch: int = 0,
    epochs: int | None = None,
    stream: bool = False,
    augmentation: Augmentation = Augmentation(),
    sampling: str = "natural",
    soft_targets: SoftTargets | None = None,
    resize: str = "stretch",
    cache: str = "auto",
    seed: int = 0,
    with_ids: bool = False,
    share: Share = ALL_OF_IT,
) -> tf.data.Dataset:
    """Make batches of a split, for `fit` or for evaluation.

    Args:
        records: folder of shards and `dataset_info.json`.
        split: `train`, `validation` or `test`.
        label: a label column, or several.
        image_size: height and width in pixels.
        training: shuffle, augment, drop the last incomplete batch; each pass is the next epoch of
            `steps_per_epoch` batches. Otherwise every photo once, in record order.
        initial_epoch: the number of the first pass's epoch, of which and of `seed` it depends.
        epochs: where passes begin anew at `initial_epoch`; None counts on.
        stream: put the epochs up to `epochs` into every pass, for `fit` with `steps_per_epoch`.
        augmentation: applied in training only.
        sampling: of the first label's classes: `natural`, `square-root` or `balanced`.
        soft_targets: in training, what a teacher says of the photos, mixed with the labels.
        resize: `stretch`, `pad` or `crop`.
        cache: in memory: `encoded` photos, `decoded` pixels, `auto` (what fits) or `none`.
        with_ids: yield the product ids too, for evaluation; refused in training.
        share: what this process takes of each batch. Together the processes have the batches of
            one; what varies whole batches, such as MixUp, does so within each one's part.

    Returns what yields `(images, labels)`: uint8 or float32 `[N, height, width, 3]` in [0, 255];
    a dict of float32 one-hot `[N, C]` a label, zeros where a product has none. `with_ids` adds ids,
    string `[N]`. Raises `UserError`: records missing, damaged or of another schema; label or split
    unknown.
    """
    _check_passes(training, with_ids, initial_epoch, epochs, stream)
    _check_choice("augmentation", augmentation.policy, augment.POLICIES)
    _check_choice("resize", resize, image.RESIZE_MODES)
    records = local(records)
    info = DatasetInfo.load(records)
    labels = [label] if isinstance(label, str) else list(label)
    cache = resolve_cache(cache, info, split, image_size)
    batches = _Batches(info, split, labels, image_size, batch_size, resize, cache, share)
    source = batches.source(records, training)
    if not training:
        return batches.for_evaluation(source, with_ids)
    augmenter = _Augmenter(augmentation, soft_targets, seed)
    return batches.for_training(source, augmenter, sampling, (initial_epoch, epochs), stream)


@dataclasses.dataclass(frozen=True)
class _Batches:
    """How products become batches; see `make_dataset`."""

    info: DatasetInfo
    split: str
    labels: Sequence[str]
    image_size: tuple[int, int]
    batch_size: int
    resize: str
    cache: str
    share: Share

    @property
    def count(self) -> int:
        """Products in the split."""
        return self.info.splits[self.split].num_examples

    def source(self, records, training: bool) -> tf.data.Dataset:
        """Read products, decoded where the cache holds pixels."""
        # Training shuffles anyway and reads several shards at a time; evaluation keeps their order.
        reads = 4 if training else 1
        dataset = read_records(
            records,
            self.info,
            self.split,
            self.labels,
            parallel_reads=reads,
        )
        if self.cache == "decoded":
            dataset = _parallel(dataset, self._decode)
        return dataset if self.cache == "none" else dataset.cache()

    def for_evaluation(self, source: tf.data.Dataset, with_ids: bool) -> tf.data.Dataset:
        """Batch every product once, in order."""

        def batch_of(batch):
            given = (batch["image"], self._one_hot(batch))
            return (*given, batch["id"]) if with_ids else given

        share = self.share
        if share.processes > 1:
            source = source.shard(share.processes, share.index)
        if self.cache != "decoded":
            source = _parallel(source, self._decode)
        filling = share.filling(self.count)
        if filling:
            source = source.concatenate(self._no_photos(filling))
        rows = self.batch_size // share.processes
        dataset = _parallel(source.batch(rows), batch_of).prefetch(tf.data.AUTOTUNE)
        # Keras warns at the end of a validation whose length it did not know.
        steps = -(-self.count // self.batch_size)
        return dataset.apply(tf.data.experimental.assert_cardinality(steps))

    def for_training(
        self,
        source: tf.data.Dataset,
        augmenter: _Augmenter,
        sampling: str,
        epochs: tuple[int, int | None],
        stream: bool,
    ) -> tf.data.Dataset:
        """Batch epoch after epoch, each shuffled and varied by its own number."""
        counts = self.info.splits[self.split].class_counts[self.labels[0]]
        rates = draw_rates(sampling, counts, self.count)
        steps = steps_per_epoch(self.count, self.batch_size)

        def epoch(number):
            def photo(position, product):
                product = product if self.cache == "decoded" else self._decode(product)
                return {**product, "image": augmenter.photo(product["image"], number, position)}

            def batch_of(position, batch):
                position = position * self.share.processes + self.share.index
                images, one_hot = augmenter.batch(batch, self._one_hot(batch), number, position)
                return images, one_hot

            photos = _drawn(source, rates, self.count, augmenter.seed, number)
            shared = self.share.processes > 1
            if augmenter.varies_photos or self.cache != "decoded" or shared:
                photos = _parallel(self._own(photos.enumerate()), photo)
            whole = self.count >= self.batch_size
            rows = self.batch_size // self.share.processes
            batches = photos.batch(rows, drop_remainder=whole)
            return _parallel(batches.take(steps).enumerate(), batch_of)

        numbers = tf.data.Dataset.range(*epochs) if stream else _next_number(*epochs)
        dataset = numbers.flat_map(epoch).prefetch(tf.data.AUTOTUNE).map(self._with_static_shapes)
        return dataset if stream else dataset.apply(tf.data.experimental.assert_cardinality(steps))

    def _decode(self, product):
        pixels = image.decode_and_resize(product["encoded"], self.image_size, self.resize)
        return {"id": product["id"], "image": pixels, "index": product["index"]}

    def _one_hot(self, batch):
        return {
            name: tf.one_hot(batch["index"][:, column], len(self.info.vocabulary(name)))
            for column, name in enumerate(self.labels)
        }

    def _own(self, numbered: tf.data.Dataset) -> tf.data.Dataset:
        """Leave out of photos that are numbered by their place in the epoch other processes'."""
        share, whole = self.share, self.batch_size
        if share.processes == 1:
            return numbered
        rows = whole // share.processes
        return numbered.filter(lambda position, _: position % whole // rows == share.index)

    def _no_photos(self, count: int) -> tf.data.Dataset:
        pixels = tf.zeros([*self.image_size, 3], tf.uint8)
        index = tf.fill([len(self.labels)], tf.constant(MISSING, tf.int64))
        nothing = {"id": tf.constant(""), "image": pixels, "index": index}
        return tf.data.Dataset.from_tensors(nothing).repeat(count)

    def _with_static_shapes(self, images, one_hot):
        rows = self.batch_size // self.share.processes
        size = rows if self.count >= self.batch_size else None
        images = tf.ensure_shape(images, [size, *self.image_size, 3])
        classes = {name: len(self.info.vocabulary(name)) for name in self.labels}
        return images, {k: tf.ensure_shape(one_hot[k], [size, classes[k]]) for k in self.labels}


class _Augmenter:
    """How training photos and their labels are varied, by seed, epoch and position alone."""

    def __init__(self, augmentation: Augmentation, soft_targets: SoftTargets | None, seed: int):
        self.seed = seed
        self._vary_photo = augment.photo_policy(augmentation.policy)
        self._vary_batch = augment.batch_policy(augmentation.policy)
        self._erase = augment.erasing_policy(augmentation.random_erasing)
        self._mix = augment.mixing_policy(augmentation.mixup, augmentation.cutmix)
        self._teach = soft_targets.mixer() if soft_targets else None

    @property
    def varies_photos(self) -> bool:
        """Whether single photos are varied, before they are batched."""
        return self._vary_photo is not None

    def photo(self, pixels, epoch, position):
        """Vary one photo."""
        if not self._vary_photo:
            return pixels
        return self._vary_photo(pixels, _fold(self.seed, epoch, 0, position))

    def batch(self, batch, one_hot, epoch, position):
        """Vary a batch's photos, and mix its labels; return both."""
        images = batch["image"]
        if self._teach:
            one_hot = self._teach(batch["id"], one_hot)
        if self._vary_batch:
            images = self._vary_batch(images, _fold(self.seed, epoch, 1, position))
        if self._erase:
            images = self._erase(images, _fold(self.seed, epoch, 4, position))
        if self._mix:
            images = tf.cast(images, tf.float32)
            images, one_hot = self._mix(images, one_hot, _fold(self.seed, epoch, 2, position))
        return images, one_hot


def _drawn(source, rates, count, seed, epoch) -> tf.data.Dataset:
    """Shuffle an epoch's products; where there are `rates`, draw them by these."""
    size = min(count, _SHUFFLE_BUFFER)
    shuffled = _shuffle(source, size, _fold(seed, epoch, 3, 0))
    if rates is None:
        return shuffled
    # Copies of a photo follow each other: shuffled again, they come apart.
    shuffled = resample(shuffled, rates, _fold(seed, epoch, 5, 0))
    return _shuffle(shuffled, size, _fold(seed, epoch, 6, 0))


def class_indices(one_hot: np.ndarray) -> np.ndarray:
    """Return the class of each row of one-hot labels `[N, C]`, int64 `[N]`, -1 for zeros alone."""
    return np.where(one_hot.any(axis=1), one_hot.argmax(axis=1), MISSING).astype(np.int64)


def resolve_cache(cache: str, info: DatasetInfo, split: str, image_size: tuple[int, int]) -> str:
    """Return the cache that `auto` stands for, by the split's size and the free memory."""
    _check_choice("cache", cache, CACHES)
    if cache != "auto" or split not in info.splits:
        return cache
    free = available_memory()
    this_split = info.splits[split]
    decoded = this_split.num_examples * image_size[0] * image_size[1] * 3
    encoded = sum(shard.num_bytes for shard in this_split.shards)
    for name, size in (("decoded", decoded), ("encoded", encoded)):
        if size <= free // 4:
            return name
    return "none"


def _check_passes(training, with_ids, initial_epoch, epochs, stream) -> None:
    if training and with_ids:
        raise ValueError("Invalid `with_ids`. Expected False in training. Received: True")
    if training and (epochs is None if stream else epochs is not None and epochs <= initial_epoch):
        raise ValueError(
            f"Invalid `epochs`. Expected more than initial_epoch={initial_epoch}. "
            f"Received: {epochs}"
        )


def _check_choice(name: str, value: str, known: Sequence[str]) -> None:
    check_known(value, known, f"unknown {name} {value!r}: expected one of")


def _next_number(first: int, end: int | None) -> tf.data.Dataset:
    """Hold one number, int64: `first` in the first pass, the next in each further one."""
    numbers = itertools.count(first) if end is None else itertools.cycle(range(first, end))
    return tf.data.Dataset.from_generator(
        lambda: iter([next(numbers)]), output_signature=tf.TensorSpec([], tf.int64)
    )


def _parallel(dataset, function):
    return dataset.map(function, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)


def _shuffle(dataset, buffer_size, seed):
    """Shuffle by a seed pair that is a tensor.

    `Dataset.shuffle` mixes TensorFlow's global seed into its own, and fails on a tensor where
    the global one is 0; the operation below it takes the pair as it is.
    """
    spec = dataset.element_spec
    flat = tf.nest.flatten(spec)
    variant = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(dataset),
        buffer_size=tf.constant(buffer_size, tf.int64),
        seed=tf.cast(seed[0], tf.int64),
        seed2=tf.cast(seed[1], tf.int64),
        output_types=[part.dtype for part in flat],
        output_shapes=[part.shape for part in flat],
        reshuffle_each_iteration=False,
    )
    return tf.data.experimental.from_variant(variant, spec)


def _fold(seed, epoch, purpose, position):
    """Make an int32 seed pair that is different for every argument."""
    pair = tf.constant([seed % 2**31, purpose], tf.int32)
    pair = tf.random.experimental.stateless_fold_in(pair, tf.cast(epoch, tf.int32))
    return tf.random.experimental.stateless_fold_in(pair, tf.cast(position, tf.int32))
