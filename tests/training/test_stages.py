import pytest

from fashion_keras.config import load_config
from fashion_keras.errors import UserError
from fashion_keras.training.stages import plan_stages


def plan(**training):
    overrides = {f"training.{name}": value for name, value in training.items()}
    return plan_stages(load_config(None, {"data.image_size": [80, 60], **overrides}))


def test_plain_run_is_one_stage():
    (stage,) = plan(epochs=7)
    assert (stage.start, stage.end, stage.trains, stage.image_size) == (0, 7, "all", (80, 60))
    assert stage.schedule == (0, 7)


def test_parts_follow_each_other_and_sizes_share_one_schedule():
    smaller = [{"epochs": 3, "image_size": [40, 32]}, {"epochs": 2, "image_size": [64, 48]}]
    found = plan(epochs=10, head_epochs=1, progressive=smaller)
    assert [(s.start, s.end, s.trains, s.image_size, s.schedule) for s in found] == [
        (0, 1, "heads", (40, 32), (0, 1)),
        (1, 4, "all", (40, 32), (1, 10)),
        (4, 6, "all", (64, 48), (1, 10)),
        (6, 10, "all", (80, 60), (1, 10)),
    ]


def test_heads_alone_may_take_all_epochs():
    (stage,) = plan(epochs=2, head_epochs=5)
    assert (stage.end, stage.trains) == (2, "heads")


@pytest.mark.parametrize(
    "training",
    [
        {
            "epochs": 4,
            "head_epochs": 2,
            "progressive": [{"epochs": 2, "image_size": [40, 32]}],
        },
        {"epochs": 4, "progressive": [{"epochs": 4, "image_size": [40, 32]}]},
    ],
)
def test_parts_that_leave_no_epoch_at_full_size_are_refused(training):
    with pytest.raises(UserError, match=r"training.epochs = 4: .* leave none .* 80×60.*\n"):
        plan(**training)
