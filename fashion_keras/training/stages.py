"""A `Config` in; the stages of its training, each with what is trained at which size, out.

Imports no TensorFlow: epochs that do not add up are answered at once.
"""

from __future__ import annotations

import dataclasses

from fashion_keras.config import Config
from fashion_keras.errors import UserError


@dataclasses.dataclass(frozen=True)
class Stage:
    """The epochs from `start` up to `end`.

    `trains` is `heads` (backbone frozen), `all`, or `headline` (only that label's head);
    `image_size` height and width in pixels; `sampling` as `data.sampling`. The learning rate
    runs over the `schedule` epochs (start, end) up to `peak`: stages that differ in size alone
    share one schedule, one optimizer state and one average.
    """

    start: int
    end: int
    trains: str
    image_size: tuple[int, int]
    sampling: str
    schedule: tuple[int, int]
    peak: float

    @property
    def title(self) -> str:
        """What the terminal says of the stage."""
        what = {
            "heads": "the heads alone, backbone frozen",
            "all": "all weights",
            "headline": "the headline's head alone, classes balanced",
        }[self.trains]
        return f"epochs {self.start + 1} to {self.end}: {what}, photos {_text(self.image_size)}"


def plan_stages(config: Config) -> list[Stage]:
    """Divide `training.epochs`: heads first, smaller photos, full size, the head re-trained.

    Progressive resizing is Howard's (fastai; Tan and Le, 2021, section 4); re-training the
    classifier on balanced data is cRT (Kang et al., 2020). Raises `UserError` where the parts
    take more epochs than there are, or leave none for the whole network at full size.
    """
    training, full = config.training, tuple(config.data.image_size)
    heads, last = training.head_epochs, training.epochs - training.retrain_epochs
    smaller = sum(part.epochs for part in training.progressive)
    if heads + smaller >= last and (smaller or training.retrain_epochs):
        raise UserError(
            f"training.epochs = {training.epochs}: head_epochs ({heads}), progressive ({smaller}) "
            f"and retrain_epochs ({training.retrain_epochs}) leave none for the whole network at "
            f"{_text(full)}.\nRaise training.epochs, or shorten them"
        )
    sizes = [(part.epochs, tuple(part.image_size)) for part in training.progressive]
    sizes.append((max(last - heads - smaller, 0), full))
    heads = min(heads, last)
    natural = config.data.sampling
    stages = [
        Stage(0, heads, "heads", sizes[0][1], natural, (0, heads), training.head_learning_rate)
    ]
    start = heads
    for epochs, size in sizes:
        end = start + epochs
        peak = config.optimizer.learning_rate
        stages.append(Stage(start, end, "all", size, natural, (heads, last), peak))
        start = end
    stages.append(
        Stage(
            last,
            training.epochs,
            "headline",
            full,
            "balanced",
            (last, training.epochs),
            training.head_learning_rate,
        )
    )
    return [stage for stage in stages if stage.end > stage.start]


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
