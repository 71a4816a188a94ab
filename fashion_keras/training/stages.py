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

    `trains` is `heads` (backbone frozen) or `all`; `image_size` height and width in pixels. The
    learning rate runs over the `schedule` epochs (start, end) up to `peak`: stages that differ in
    size alone share one schedule, one optimizer state and one average.
    """

    start: int
    end: int
    trains: str
    image_size: tuple[int, int]
    schedule: tuple[int, int]
    peak: float

    @property
    def title(self) -> str:
        """What the terminal says of the stage."""
        what = "all weights" if self.trains == "all" else "the heads alone, backbone frozen"
        return f"epochs {self.start + 1} to {self.end}: {what}, photos {_text(self.image_size)}"


def plan_stages(config: Config) -> list[Stage]:
    """Divide `training.epochs`: heads first, smaller photos, full size.

    Progressive resizing is Howard's (fastai; Tan and Le, 2021, section 4). Raises `UserError`
    where the parts leave no epoch for the whole network at full size.
    """
    training, full = config.training, config.data.image_size
    smaller = sum(part.epochs for part in training.progressive)
    if smaller and training.head_epochs + smaller >= training.epochs:
        raise UserError(
            f"training.epochs = {training.epochs}: head_epochs ({training.head_epochs}) and "
            f"progressive ({smaller}) leave none for the whole network at {_text(full)}.\n"
            "Raise training.epochs, or shorten them"
        )
    heads = min(training.head_epochs, training.epochs)
    sizes = [(part.epochs, part.image_size) for part in training.progressive]
    sizes.append((training.epochs - heads - smaller, full))
    stages = [Stage(0, heads, "heads", sizes[0][1], (0, heads), training.head_learning_rate)]
    start = heads
    for epochs, size in sizes:
        schedule = (heads, training.epochs)
        peak = config.optimizer.learning_rate
        stages.append(Stage(start, start + epochs, "all", size, schedule, peak))
        start += epochs
    return [stage for stage in stages if stage.end > stage.start]


def _text(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"
