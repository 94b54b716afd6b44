"""What is known to be wrong before any waiting: terms that do not fit the networks, batches too small."""

import contextlib
import io
from pathlib import Path

import pytest

from tutelage.commands.preflight import require_buildable, require_last_batch
from tutelage.commands.sweep import method_of
from tutelage.config.losses.feature import ATConfig, HintConfig
from tutelage.config.model import ModelConfig
from tutelage.config.objective import LossConfig, ObjectiveConfig
from tutelage.data.pack.pack import Pack
from tutelage.errors import UsageError

SMALL, LARGE, TOKENS = (
    ModelConfig(model=name) for name in ("cifar_resnet8", "cifar_resnet14", "test_vit")
)


def hint(student: tuple[str, ...], teacher: tuple[str, ...]) -> ObjectiveConfig:
    return ObjectiveConfig(
        losses=LossConfig(hint=HintConfig(student_points=student, teacher_points=teacher))
    )


@pytest.mark.parametrize("name", ["kd", "hint", "crd", "simkd", "review", "fsp", "hint-at-kd"])
def test_a_lesson_that_fits(name: str, small_pack: Pack) -> None:
    """Between networks of one kind nothing is refused."""
    require_buildable(method_of(name), SMALL, LARGE, small_pack)


@pytest.mark.parametrize(
    ("student", "teacher", "said"),
    [
        (("layer22",), ("layer2",), ["the student has no point layer22", "did you mean layer2?"]),
        (("layer2",), ("layr2",), ["losses.hint: the teacher has no point layr2", "did you mean layer2?"]),
        (("layer2.inptu",), ("layer2",), ["the student has no point", "did you mean layer2.input?"]),
        (("layer1", "layer2"), ("layer2",), ["losses.hint names a different number", "2 student_points, 1"]),
        (("layer2",), (), ["losses.hint names a different number of points", "the same number of both"]),
    ],
)  # fmt: skip
def test_a_wrong_point(
    student: tuple[str, ...], teacher: tuple[str, ...], said: list[str], small_pack: Pack
) -> None:
    """A point that is not there is refused with its term and the nearest point that is."""
    with pytest.raises(UsageError) as caught:
        require_buildable(hint(student, teacher), SMALL, LARGE, small_pack)
    for part in said:
        assert part in str(caught.value)


def test_the_wrong_one_of_two_terms_is_named(small_pack: Pack) -> None:
    """Where two terms look inside, the message is about the one that is wrong."""
    points = ATConfig(student_points=("layer1", "layer4"), teacher_points=("layer1", "layer2"))
    with pytest.raises(UsageError, match=r"losses\.at: the student has no point layer4"):
        require_buildable(
            ObjectiveConfig(losses=LossConfig(hint=HintConfig(), at=points)),
            SMALL,
            LARGE,
            small_pack,
        )


def test_an_idea_that_does_not_fit(small_pack: Pack) -> None:
    """A term that needs maps of equal size somewhere is refused where there are none, before any training."""
    with pytest.raises(UsageError, match="ofd"):
        require_buildable(method_of("ofd"), SMALL, TOKENS, small_pack)


@pytest.mark.parametrize(
    ("name", "batch", "images", "least"),
    [
        ("rkd", 99, 200, 3),
        ("rkd", 66, 200, 3),
        ("rkd", 199, 200, 3),
        ("dist", 199, 200, 2),
        ("dist", 1, 5, 2),
    ],
)
def test_a_rest_that_is_too_small(name: str, batch: int, images: int, least: int) -> None:
    """The last batch holds fewer images than a term compares; the batch that is told to be used works."""
    with pytest.raises(
        UsageError, match=rf"losses\.\w+ compares at least {least} images"
    ) as caught:
        require_last_batch(method_of(name), batch, images, flag="--student.")
    assert caught.value.fix is not None
    flag, better = caught.value.fix.split()
    assert flag == "--student.batch-size"
    assert batch < int(better) <= images
    require_last_batch(method_of(name), int(better), images)


@pytest.mark.parametrize(("batch", "images"), [(2, 2), (1, 2), (1, 1)])
def test_too_few_images_for_any_batch(batch: int, images: int) -> None:
    """Where no batch would do, more images are asked for."""
    with pytest.raises(UsageError, match="compares at least 3 images") as caught:
        require_last_batch(method_of("rkd"), batch, images)
    assert caught.value.fix == "more training images"


@pytest.mark.parametrize(
    ("name", "batch"), [("rkd", 50), ("rkd", 65), ("rkd", 200), ("hint", 199), ("kd", 1)]
)
def test_a_rest_that_is_enough(name: str, batch: int) -> None:
    """A last batch that is full, or large enough, or of a term that compares no images, is let through."""
    require_last_batch(method_of(name), batch, 200)


REFUSED = {
    "wrong point": (
        ["--losses.hint.student-points", "layer9", "--losses.hint.teacher-points", "layer2"],
        ["losses.hint: the student has no point layer9", "did you mean layer"],
    ),
    "points of one": (
        ["--losses.hint.student-points", "layer2"],
        ["losses.hint names a different number of points"],
    ),
    "small rest": (
        ["--losses.rkd-angle.weight", "1", "--student.batch-size", "66"],
        ["losses.rkd_angle compares at least 3 images", "--student.batch-size 67"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_refused_before_the_teacher_trains(case: str, sample_folder: Path, tmp_path: Path) -> None:
    """Through the command line: exit code 2, one message, no run begun and no folder left."""
    from tutelage.__main__ import main

    flags, said = REFUSED[case]
    words = ["run", str(sample_folder), "--out", str(tmp_path / "out"), "--image-size", "32"]
    for role, model in (("teacher", "cifar_resnet14"), ("student", "cifar_resnet8")):
        words += [f"--{role}.model", model, f"--{role}.weights", "none", f"--{role}.epochs", "1"]
    screen = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["tutelage", *words, *flags])
        with contextlib.redirect_stderr(screen):
            assert main() == 2, screen.getvalue()
    told = screen.getvalue()
    for part in said:
        assert part in told
    assert told.count("error: ") == 1
    assert "teacher:" not in told
    assert not (tmp_path / "out").exists()
