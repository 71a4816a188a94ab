"""Devices and processes in; how they share each batch of a training, out.

However many they are, a step computes what one device would compute of the whole batch: the loss,
the statistics of batch normalisation, dropout's mask, the norm that gradients are clipped to. JAX
does so by itself, since its arrays are those of the whole batch. Under TensorFlow's strategies a
replica sees its part alone, and Keras clips and drops by the part. What stands in for that here
changes methods of layer and optimizer objects, so saved models stay plain Keras.

Imports no TensorFlow: only the first process may touch the run's folder, and is told at once.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import re
import types
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, NamedTuple

from fashion_keras.config import Config
from fashion_keras.data.sharing import Share
from fashion_keras.errors import UserError

if TYPE_CHECKING:
    import keras
    import tensorflow as tf


_KERAS = "KERAS_DISTRIBUTION_"
_LOST = re.compile("Gloo|NCCL|[Cc]ollective|coordination|heartbeat|UNAVAILABLE|ABORTED")


@dataclasses.dataclass(frozen=True)
class Processes:
    """The processes of one training, alone by default.

    `addresses` are their `host:port` by number, or the first's alone; `index` is this one's number.
    """

    count: int = 1
    index: int = 0
    addresses: tuple[str, ...] = ()

    @property
    def is_writer(self) -> bool:
        """Whether this is the one process that writes the run."""
        return self.index == 0


ALONE = Processes()


def read_processes(environment: Mapping[str, str] = os.environ) -> Processes:
    """Return the processes that `TF_CONFIG`, or else Keras's own variables, speak of.

    `TF_CONFIG` is TensorFlow's JSON of `cluster` and `task`, as Kubeflow, Vertex AI and Ray Train
    set it. Keras's are `KERAS_DISTRIBUTION_JOB_ADDRESSES`, `…_NUM_PROCESSES` and `…_PROCESS_ID`
    (`keras.distribution.initialize`). Raises `UserError` where they are no such thing.

    Example:

        read_processes({"KERAS_DISTRIBUTION_JOB_ADDRESSES": "10.0.0.1:1234",
                        "KERAS_DISTRIBUTION_NUM_PROCESSES": "4",
                        "KERAS_DISTRIBUTION_PROCESS_ID": "0"})
    """
    if text := environment.get("TF_CONFIG"):
        return _of_tensorflow(text)
    names = [f"{_KERAS}{name}" for name in ("JOB_ADDRESSES", "NUM_PROCESSES", "PROCESS_ID")]
    found = [environment.get(name, "") for name in names]
    if not any(found):
        return Processes()
    addresses = tuple(part.strip() for part in found[0].split(",") if part.strip())
    try:
        count, index = int(found[1] or len(addresses)), int(found[2])
    except ValueError:
        count = index = -1
    if not addresses or not 0 <= index < count or len(addresses) not in (1, count):
        said = ", ".join(f"{name}={value}" for name, value in zip(names, found, strict=True))
        raise UserError(
            f"{said[:300]}: expected the address host:port of process 0, or of all of them,\n"
            "how many processes there are, and the number of this one, from 0"
        )
    return Processes(count, index, addresses)


def _of_tensorflow(text: str) -> Processes:
    try:
        config = json.loads(text)
        cluster, task = config.get("cluster") or {}, config.get("task") or {}
        first = [*cluster.get("chief", []), *cluster.get("master", [])]
        workers = [str(address) for address in (*first, *cluster.get("worker", []))]
        kind, number = str(task.get("type", "worker")), int(task.get("index", 0))
    except (ValueError, TypeError, AttributeError) as error:
        raise UserError(
            f"TF_CONFIG cannot be read ({str(error)[:120]}): expected TensorFlow's JSON\n"
            '{"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}'
        ) from None
    if cluster.get("ps") or kind not in ("chief", "master", "worker"):
        raise UserError(
            f"TF_CONFIG has this process be {kind!r} of {', '.join(cluster)}: parameter servers "
            "and evaluators\nare not used here: expected chief or worker alone"
        )
    index = number + (len(first) if kind == "worker" else 0)
    if workers and not 0 <= index < len(workers):
        raise UserError(
            f"TF_CONFIG has {len(workers)} processes, and this is none: {kind} {number}"
        )
    return Processes(max(1, len(workers)), index if workers else 0, tuple(workers))


class Asked(NamedTuple):
    """What `--devices` says: how many devices, None for all, and whether of the CPU."""

    number: int | None = None
    of_cpu: bool = False


def parse_devices(devices: int | str | None) -> Asked:
    """Read `--devices`: a number, `all`, or `cpu:N` for N virtual devices of the CPU.

    Raises `UserError` for anything else.
    """
    if devices is None or devices == "all":
        return Asked()
    found = re.fullmatch(r"(cpu:)?([1-9]\d{0,3})", str(devices))
    if not found:
        raise UserError(f"--devices {devices}: expected a number from 1, all, or cpu:N")
    return Asked(int(found[2]), of_cpu=found[1] is not None)


class Distribution:
    """One device, as long as a subclass does not say otherwise: nothing is shared.

    Attributes:
        replicas: the devices that share a batch, those of all processes together.
        processes: which processes train together, and which this one is.
    """

    def __init__(self, replicas: int = 1, processes: Processes = ALONE, what: str = ""):
        self.replicas = replicas
        self.processes = processes
        self.what = what

    @property
    def share(self) -> Share:
        """What this process reads of each batch."""
        return Share(self.processes.index, self.processes.count, self.replicas)

    def check(self, config: Config, num_examples: int) -> None:
        """Raise `UserError` where the replicas cannot share a batch evenly."""
        n, batch_size = self.replicas, config.training.batch_size
        if batch_size % n:
            below = batch_size // n * n
            near = f"{below} or {below + n}" if below else n
            raise UserError(
                f"training.batch_size = {batch_size} does not divide by {n} devices: set it to "
                f"{near},\nor train on another number of --devices"
            )
        if n > 1 and num_examples < batch_size:
            raise UserError(
                f"training.batch_size = {batch_size} is more than the {num_examples} training "
                f"photos: {n} devices need one whole batch"
            )

    def describe(self, batch_size: int) -> str:
        """Say what shares a batch, for a line to the user."""
        n, count = self.replicas, self.processes.count
        of = f" of {count} processes" if count > 1 else ""
        return (
            f"devices: {n} × {self.what}{of}, {batch_size // n} photos each of a batch of "
            f"{batch_size}; batch normalisation over the whole batch"
        )

    def running(self) -> AbstractContextManager:
        """Return what holds while the whole training runs."""
        return contextlib.nullcontext()

    def scope(self) -> AbstractContextManager:
        """Return what holds while model, optimizer and losses are made."""
        return contextlib.nullcontext()

    def adapt_model(self, model: keras.Model) -> None:
        """Let a model that was just built see the whole batch."""

    def adapt_optimizer(self, model: keras.Model) -> None:
        """Let the optimizer of a model that was just compiled see the whole gradient."""

    def spread(self, dataset: tf.data.Dataset) -> Any:
        """Return the batches of this process as `fit` takes them."""
        return dataset

    def end(self) -> None:
        """Leave the other processes, once all have trained."""


class _UnderTensorFlow(Distribution):
    """`MirroredStrategy` over devices of one host, `MultiWorkerMirroredStrategy` over several."""

    def __init__(self, strategy, processes: Processes, what: str):
        super().__init__(strategy.num_replicas_in_sync, processes, what)
        self._strategy = strategy

    def check(self, config, num_examples):
        super().check(config, num_examples)
        if config.training.gradient_accumulation > 1:
            # Keras takes the update in a branch of the graph, where no strategy may be asked.
            raise UserError(
                "training.gradient_accumulation goes with one device of TensorFlow's alone: set it "
                "to 1,\nor train with KERAS_BACKEND=jax"
            )

    def running(self):
        import tensorflow as tf

        errors = tf.errors
        return _lost_processes_explained(
            self.processes,
            (errors.UnavailableError, errors.AbortedError, errors.CancelledError),
        )

    def scope(self):
        return self._strategy.scope()

    def adapt_model(self, model):
        _see_the_whole_batch(model)
        # Everything is built. And Keras would take a batch to see its shapes, and fill the cache
        # for it; over several hosts it fails there (keras-team/keras#20585).
        model._maybe_symbolic_build = lambda **_: None
        if self.processes.count > 1:
            model.compute_metrics = _with_an_axis(model.compute_metrics)

    def adapt_optimizer(self, model):
        _sum_before_clipping(model.optimizer)

    def spread(self, dataset):
        import tensorflow as tf

        here = self.replicas // self.processes.count

        def divided(whole):
            rows = whole.shape[0]  # not known of validation, whose last batch is smaller
            return tf.reshape(whole, [here, rows // here if rows else -1, *whole.shape[1:]])

        # Element after element goes to replica after replica.
        split = dataset.map(lambda *batch: tf.nest.map_structure(divided, batch)).unbatch()
        return self._strategy.distribute_datasets_from_function(lambda context: split)


class _UnderJax(Distribution):
    """`keras.distribution.DataParallel` over the devices of one host or several."""

    def __init__(self, layout, processes: Processes, what: str):
        super().__init__(layout.num_model_replicas, processes, what)
        self._layout = layout

    @contextlib.contextmanager
    def running(self):
        import jax

        # Gloo's failures come as a ValueError.
        errors = (jax.errors.JaxRuntimeError, ValueError)
        with self._layout.scope(), _lost_processes_explained(self.processes, errors):
            yield

    def end(self):
        if self.processes.count > 1:
            import jax

            jax.distributed.shutdown()


@contextlib.contextmanager
def _lost_processes_explained(processes: Processes, errors) -> Iterator[None]:
    """Turn what a step raises when another process is gone into a `UserError`."""
    try:
        yield
    except errors as error:
        reason = (str(error).splitlines() or [""])[0][:160]
        if processes.count == 1 or not _LOST.search(str(error)):
            raise
        raise UserError(
            f"another process of this training is lost ({reason}).\n"
            "Start them all again, with --resume; they may be more or fewer"
        ) from error


def start(asked: Asked, processes: Processes = ALONE) -> Distribution:
    """Take devices, and join the other processes; before the backend computes anything.

    Raises `UserError` where there are not so many devices, or the backend has begun already.
    """
    import keras

    under_jax = keras.backend.backend() == "jax"
    try:
        return (_start_jax if under_jax else _start_tensorflow)(asked, processes)
    except RuntimeError as error:
        reason = (str(error).splitlines() or [""])[0][:160]
        if processes.count > 1:
            names = ", ".join(processes.addresses)[:160]
            raise UserError(
                f"the {processes.count} processes ({names}) do not come together: {reason}"
            ) from error
        raise UserError(
            f"the devices cannot be divided any more: {reason}\nTrain in a new process"
        ) from error


def _start_tensorflow(asked, processes) -> Distribution:
    import tensorflow as tf

    gpus = [] if asked.of_cpu else tf.config.list_physical_devices("GPU")
    names = [f"GPU:{number}" for number in range(_number(asked, len(gpus)))] if gpus else []
    if asked.of_cpu:
        tf.config.set_visible_devices([], "GPU")
        names = _virtual_cpus(tf, asked.number)
    elif not gpus:
        _number(asked, 0)
    if processes.count > 1:
        if asked.of_cpu and asked.number != 1:
            raise UserError(
                f"--devices cpu:{asked.number}: several processes of TensorFlow have one "
                "CPU device each.\nSet KERAS_BACKEND=jax, or leave it out"
            )
        tf.config.set_visible_devices(gpus[: len(names)], "GPU")
        _tell_tensorflow(processes)
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    elif len(names) > 1:
        strategy = tf.distribute.MirroredStrategy(names)
    else:
        return Distribution()
    return _UnderTensorFlow(strategy, processes, "CPU" if not gpus else "GPU")


def _virtual_cpus(tf, count) -> list[str]:
    """Divide the CPU into devices; again the same where that was done before."""
    try:
        tf.config.set_logical_device_configuration(
            tf.config.list_physical_devices("CPU")[0],
            [tf.config.LogicalDeviceConfiguration() for _ in range(count)],
        )
    except RuntimeError:
        if len(tf.config.list_logical_devices("CPU")) != count:
            raise
    return [f"CPU:{number}" for number in range(count)]


def _tell_tensorflow(processes: Processes) -> None:
    """Set `TF_CONFIG`, which TensorFlow reads itself, where Keras's variables said it."""
    if os.environ.get("TF_CONFIG"):
        return
    if len(processes.addresses) < processes.count:
        raise UserError(
            "TensorFlow's processes need the address of each of them: set TF_CONFIG, or all of "
            "them in\nKERAS_DISTRIBUTION_JOB_ADDRESSES, host:port,host:port,…"
        )
    task = {"type": "worker", "index": processes.index}
    cluster = {"worker": list(processes.addresses)}
    os.environ["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": task})


def _start_jax(asked, processes) -> Distribution:
    import jax
    import keras

    if asked.of_cpu and jax.config.jax_num_cpu_devices != asked.number:
        jax.config.update("jax_platforms", "cpu")
        jax.config.update("jax_num_cpu_devices", asked.number)
    if processes.count > 1:
        keras.distribution.initialize(
            processes.addresses[0], num_processes=processes.count, process_id=processes.index
        )
    devices = jax.devices()
    on_cpu = devices[0].platform == "cpu"
    here = [device for device in devices if device.process_index == processes.index]
    # Without a GPU one device of the CPU is all of it, unless more of them were asked for.
    wanted = len(here) if asked.of_cpu else _number(asked, 0 if on_cpu else len(here))
    chosen = [
        device
        for process in range(processes.count)
        for device in [d for d in devices if d.process_index == process][:wanted]
    ]
    if len(chosen) == 1:
        return Distribution()
    names = [f"{device.platform}:{device.id}" for device in chosen]
    # The pipeline gives each process its part, and decodes no other.
    layout = keras.distribution.DataParallel(devices=names, auto_shard_dataset=False)
    return _UnderJax(layout, processes, "CPU" if on_cpu else devices[0].device_kind)


def _number(asked: Asked, gpus: int) -> int:
    """Return how many devices of this host are taken; without a GPU it is the CPU, as one."""
    if asked.number is None:
        return max(1, gpus)
    if asked.number > max(1, gpus):
        has = f"{gpus} GPUs" if gpus > 1 else "one GPU" if gpus else "no GPU"
        raise UserError(
            f"--devices {asked.number}: this host has {has}. To try it out on the CPU: "
            f"--devices cpu:{asked.number}"
        )
    return asked.number


def sum_over_replicas(values):
    """Return the sum of a tensor over TensorFlow's replicas; elsewhere the tensor as it is."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return values
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return values
    return context.all_reduce(tf.distribute.ReduceOp.SUM, values)


def _see_the_whole_batch(model) -> None:
    """Normalise by the statistics of the whole batch, and drop by a mask of the whole batch."""
    import keras

    from fashion_keras.models.classifier import layers_of

    for layer in layers_of(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            # Not models/accelerate's: its kernel has the replica's statistics.
            layer.call = types.MethodType(type(layer).call, layer)
            layer.synchronized = True
            layer.get_config = types.MethodType(_config_for_one_device, layer)
        elif type(layer) is keras.layers.Dropout:
            layer.call = types.MethodType(_drop_as_one_device, layer)


def _config_for_one_device(layer) -> dict:
    # Other backends refuse to load a layer that is synchronised.
    return {**type(layer).get_config(layer), "synchronized": False}


def _drop_as_one_device(layer, inputs, training=False):
    """Stand in for `Dropout.call`, by which all replicas would drop the same of their parts."""
    import keras
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    if not training or layer.rate == 0 or context is None:
        return type(layer).call(layer, inputs, training=training)
    rows, replicas = tf.shape(inputs)[0], context.num_replicas_in_sync
    # Of the whole batch, as its part cannot be drawn alone; a noise shape makes it small.
    shape = layer.noise_shape or (None,) * len(inputs.shape)
    whole = [size if size is not None else tf.shape(inputs)[i] for i, size in enumerate(shape)]
    ones = tf.ones([rows * replicas, *whole[1:]], inputs.dtype)
    kept = keras.random.dropout(ones, layer.rate, seed=layer.seed_generator)
    first = rows * context.replica_id_in_sync_group
    return inputs * kept[first : first + rows]


def _sum_before_clipping(optimizer) -> None:
    """Sum the gradients over the replicas before they are clipped, and not after, as Keras does."""
    import tensorflow as tf

    apply = optimizer.apply

    def apply_sums(grads, trainable_variables=None):
        context = tf.distribute.get_replica_context()
        sums = context.all_reduce(tf.distribute.ReduceOp.SUM, list(grads))
        return apply(sums, trainable_variables)

    optimizer.apply = apply_sums
    inner = getattr(optimizer, "inner_optimizer", optimizer)
    if not hasattr(inner, "_all_reduce_sum_gradients"):
        raise RuntimeError("Keras sums gradients in another place: they would be summed twice")
    inner._all_reduce_sum_gradients = list


def _with_an_axis(compute_metrics):
    """Give each step's figures an axis: over several hosts Keras takes their mean over it."""

    def compute(x=None, y=None, y_pred=None, sample_weight=None):
        logs = compute_metrics(x, y, y_pred, sample_weight)
        return {name: value[None] for name, value in logs.items()}

    return compute
