"""The everyday flags of the verbs that take settings: what short names mean, and what `--help` lists.

Every other setting has a flag, too: its dotted path (`tutelage settings`).
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple


class Flag(NamedTuple):
    """A line of a help page: an argument of the verb's own, a setting, or a short name for settings."""

    name: str
    """As it is typed: `--epochs`; in capitals: an argument that has no name."""

    value: str
    """What stands for the value; empty: the choices, or a switch."""

    text: str
    """Its help; where it is a setting, the default follows."""

    sets: tuple[str, ...] = ()
    """Dotted paths of the settings that it is short for."""


class Page(NamedTuple):
    """What a verb takes, and how its help page shows it."""

    settings: Literal["job", "run", "data"]
    """Whose settings are flags by their dotted paths: of a whole job, of one run, or of data alone."""

    groups: Mapping[str, tuple[Flag, ...]]
    """The everyday flags, by heading."""

    examples: tuple[str, ...]
    """Commands to copy."""

    rest: str
    """Where the other flags are explained."""


def _both(name: str) -> tuple[str, str]:
    return f"teacher.{name}", f"student.{name}"


LOSS, TEMPERATURE = "--loss", "--temperature"
"""Short names whose meaning depends on each other (`cli.objective`)."""

DATA = Flag(
    "DATA", "", "A folder, CSV, zip or pack of images; `sample`; or a known dataset (cifar10, ...)"
)
RECIPE = Flag("--recipe", "NAME", "Settings to begin with (tutelage recipes), or a TOML file")
PLUGIN = Flag("--plugin", "FILE", "Python file with losses of your own; it is run")
OUT = Flag("--out", "FOLDER", "Folder of the results: new, or that of the same command [runs/...]")
TRACK = Flag("--track", "NAME ...", "Experiment trackers: tensorboard, mlflow, wandb, trackio")
RESUME = Flag("--resume", "", "Continue the same command where it was interrupted")
QUIET = Flag("--quiet", "", "Print the result only")

_IMAGES = (
    Flag("--image-size", "PIXELS", "Side of the stored images, or height and width", ("data.image_size",)),
    Flag("--fit", "", "What becomes of the part of an image that does not fit", ("data.fit",)),
    Flag("--split", "TRAIN VAL TEST", "Shares that sum to 1, or numbers of images", ("data.split",)),
    Flag("--splits", "", "Keep the splits of the data, or draw new ones", ("data.splits",)),
)  # fmt: skip
_TIMM = "timm network; a tag (.a1_in1k) loads pretrained weights"
_WEIGHTS = "Checkpoint, model folder, or `none` for random weights"
_TEACHER = (
    Flag("--teacher", "NAME", _TIMM, ("teacher.model",)),
    Flag("--teacher-weights", "FILE", _WEIGHTS, ("teacher.weights",)),
)  # fmt: skip
_STUDENT = (
    Flag("--student", "NAME", "timm network, as for the teacher", ("student.model",)),
    Flag("--student-weights", "FILE", "As for the teacher", ("student.weights",)),
    Flag("--epochs", "N", "Epochs of each student and control", ("student.epochs",)),
)
_DISTILLATION = (
    Flag(LOSS, "NAME+NAME", "Losses beside the label's: kd, kd+hint, dkd, ... [kd]", ("losses",)),
    Flag("--method", "NAME", "Who teaches: offline, dml, born-again, tf-kd, ..."),
    Flag(
        TEMPERATURE, "T", "Temperature of kd; without kd, of the only loss with one",
        ("losses.kd.temperature",),
    ),
    Flag("--alpha", "SHARE", "Weight of kd, 0 to 1; the label's is 1 - SHARE [0.7]"),
    PLUGIN,
)  # fmt: skip
_BOTH = (
    Flag("--lr", "RATE", "Peak learning rate of teacher and student", _both("lr")),
    Flag("--batch-size", "N", "Images a step of teacher and student", _both("batch_size")),
    Flag("--optimizer", "", "Optimizer of teacher and student", _both("optimizer")),
    Flag("--seeds", "N", "Students and controls, one of each a seed; 3 for a verdict"),
)
_NETWORK = (
    Flag("--model", "NAME", _TIMM),
    Flag("--weights", "FILE", _WEIGHTS),
)
_ONE = (
    Flag("--epochs", "N", "Passes over the training images"),
    Flag("--lr", "RATE", "Peak learning rate"),
    Flag("--schedule", "NAME", "Course of the learning rate: cosine, step, ..."),
    Flag("--batch-size", "N", "Images a step"),
    Flag("--optimizer", "", "Optimizer"),
    Flag("--weight-decay", "RATE", "L2 penalty, or decoupled decay with adamw"),
    Flag("--flip", "", "Mirror half of the images"),
    Flag("--seed", "N", "Seed of the initial weights and of the order of images"),
)
_MACHINE = (
    Flag("--device", "NAME", "auto, cpu, cuda, cuda:1"),
    Flag("--precision", "", "Number format of training"),
)
_FLAT = (
    "Every setting is a flag, without a prefix for the network's own: --clip-grad 1, --mixup 0.2,\n"
    "--losses.kd.direction reverse. tutelage settings [PREFIX] explains them: student, losses.kd, data."
)
_DOTTED = (
    "Every setting is a flag by its dotted path: --student.weight-decay 1e-4, --losses.kd.direction\n"
    "reverse. Dotted flags win over short ones, flags over the recipe. tutelage settings [PREFIX]\n"
    "explains them: teacher, student, data, losses.kd, methods.dml, ..."
)

PAGES = {
    "run": Page(
        "job",
        {
            "": (DATA, RECIPE),
            "Data": _IMAGES,
            "Teacher": (
                *_TEACHER,
                Flag(
                    "--teacher-epochs", "N", "Epochs of the teacher; 0 uses its weights as they are",
                    ("teacher.epochs",),
                ),
            ),
            "Student": _STUDENT,
            "Distillation": _DISTILLATION,
            "Training": (*_BOTH, *_MACHINE),
            "Output": (OUT, RESUME, TRACK, QUIET),
        },
        (
            "tutelage run sample --recipe demo",
            "tutelage run photos --teacher resnet50.a1_in1k --student resnet18 --epochs 60 --seeds 3",
            "tutelage run photos --loss kd+hint --temperature 2 --teacher.lr 1e-4 --student.flip",
        ),
        _DOTTED,
    ),
    "train": Page(
        "run",
        {
            "": (DATA, RECIPE),
            "Data": _IMAGES,
            "Network": _NETWORK,
            "Training": (*_ONE, *_MACHINE),
            "Output": (OUT, RESUME, TRACK, QUIET),
        },
        (
            "tutelage train photos --model resnet50.a1_in1k --epochs 10 --out runs/teacher",
            "tutelage train photos --model resnet18 --weights none --optimizer sgd --lr 0.1",
            "tutelage train cifar10 --model cifar_resnet20 --image-size 32 --epochs 240 --translate 4",
        ),
        _FLAT,
    ),
    "distill": Page(
        "run",
        {
            "": (DATA, RECIPE),
            "Data": _IMAGES,
            "Teacher": (
                Flag("--teacher", "RUN ...", "Run folder or model folder of a teacher, or several"),
                Flag("--teacher-outputs", "", "Computed before training, or at every step"),
            ),
            "Student": _NETWORK,
            "Distillation": _DISTILLATION,
            "Training": (*_ONE, *_MACHINE),
            "Output": (OUT, RESUME, TRACK, QUIET),
        },
        (
            "tutelage distill photos --teacher runs/teacher --model resnet18 --epochs 60",
            "tutelage distill photos --teacher runs/teacher --loss dkd --temperature 4",
            "tutelage distill photos --method dml --methods.dml.models resnet18 --model resnet18",
        ),
        _FLAT,
    ),
    "sweep": Page(
        "job",
        {
            "": (
                DATA,
                Flag("--compare", "NAME ...", "Recipes of losses or methods to compare; required"),
                Flag("--recipe", "NAME", "Settings of everything else (tutelage recipes), or a TOML file"),
            ),
            "Data": _IMAGES,
            "Teacher": (
                *_TEACHER,
                Flag("--teacher-epochs", "N ...", "Epochs of the teacher; one or more to compare"),
            ),
            "Student": _STUDENT,
            "Distillation": (PLUGIN,),
            "Training": (*_BOTH, *_MACHINE),
            "Output": (
                OUT,
                Flag("--cells", "FOLDER", "Results, one small file a run [OUT/cells]"),
                TRACK,
                QUIET,
            ),
        },
        (
            "tutelage sweep sample --recipe demo --compare kd dkd hint",
            "tutelage sweep photos --compare kd crd-kd --teacher resnet50.a1_in1k --seeds 3",
            "tutelage sweep photos --compare kd --teacher-epochs 5 20 80",
        ),
        _DOTTED,
    ),
    "check": Page(
        "data",
        {"": (DATA,), "Data": _IMAGES},
        ("tutelage check photos", "tutelage check labels.csv --split 0.7 0.1 0.2"),
        "The other settings of data are flags, too: tutelage settings data.",
    ),
    "pack": Page(
        "data",
        {
            "": (DATA,),
            "Data": _IMAGES,
            "Output": (Flag("--out", "FOLDER", "Folder of the pack; required"), QUIET),
        },
        (
            "tutelage pack photos --image-size 160 --out runs/photos.pack",
            "tutelage pack photos.zip --splits redraw --split 0.7 0.1 0.2 --out runs/photos.pack",
        ),
        "The other settings of data are flags, too: tutelage settings data.",
    ),
}  # fmt: skip
"""By verb. A short name is written once, and means the same for each verb that has it."""
