"""From words to settings: short names, dotted flags, recipes, and what wins."""

from pathlib import Path
from typing import Any

import pytest

from tutelage.cli.everyday import PAGES
from tutelage.cli.flags import flags_of, read_command
from tutelage.config.job import DistillConfig
from tutelage.config.loss_weights import loss_weights
from tutelage.config.recipes import recipe
from tutelage.config.schema import flatten, to_table
from tutelage.errors import UsageError


def read(command: str) -> Any:
    """The settings of a command."""
    return read_command(command.split()[0], command.split())[1]


def refused(command: str) -> str:
    with pytest.raises(UsageError) as caught:
        read(command)
    return str(caught.value)


@pytest.mark.parametrize(
    ("words", "changed"),
    [
        ("--teacher a.b --student c", {"teacher.model": "a.b", "student.model": "c"}),
        (
            "--teacher-weights none --student-weights f",
            {
                "teacher.weights": "none",
                "student.weights": "f",
                "student.normalization": "weights",
            },
        ),
        ("--epochs 3 --teacher-epochs 4", {"student.epochs": 3, "teacher.epochs": 4}),
        ("--lr 0.1", {"teacher.lr": 0.1, "student.lr": 0.1}),
        ("--batch-size 8", {"teacher.batch_size": 8, "student.batch_size": 8}),
        ("--optimizer sgd", {"teacher.optimizer": "sgd", "student.optimizer": "sgd"}),
        ("--image-size 64", {"data.image_size": 64}),
        ("--image-size 64 128", {"data.image_size": [64, 128]}),
        ("--image-size 64x128", {"data.image_size": [64, 128]}),
        ("--data.image-size=64x64", {"data.image_size": 64}),
        ("--student.input-size 32x48", {"student.input_size": [32, 48]}),
        ("--data.channels 1 --data.range 0 4095", {"data.channels": 1, "data.range": [0, 4095]}),
        (
            "--splits redraw --split 0.5 0.25 0.25",
            {"data.splits": "redraw", "data.split": [0.5, 0.25, 0.25]},
        ),
        ("--temperature 2", {"losses.kd.temperature": 2.0}),
        ("--alpha 0.5 --seeds 3 --device cpu", {"alpha": 0.5, "seeds": 3, "device": "cpu"}),
        ("--method dml", {"method": "dml"}),
        ("--teacher.epochs 8 --student.clip-grad 1", {"teacher.epochs": 8, "student.clip_grad": 1.0}),
        ("--student.batch_size=4", {"student.batch_size": 4}),
        ("--student.flip --teacher.flip=true", {"student.flip": True, "teacher.flip": True}),
        ("--student.milestones 0.5 0.75", {"student.milestones": [0.5, 0.75]}),
        ("--methods.dml.models a b", {"methods.dml.models": ["a", "b"]}),
        ("--custom.my_loss.weight 2", {"custom.my_loss.weight": 2.0}),
        ("--track tensorboard mlflow", {"track": ["tensorboard", "mlflow"]}),
    ],
)  # fmt: skip
def test_what_flags_set(words: str, changed: dict[str, object]) -> None:
    """Each flag sets what it is for, and nothing else."""
    before = flatten(to_table(DistillConfig()))
    found = flatten(to_table(read(f"run photos {words}")))
    assert {key: value for key, value in found.items() if before.get(key) != value} == changed


@pytest.mark.parametrize("words", ["--lr 0.1 --student.lr 0.2", "--student.lr 0.2 --lr 0.1"])
def test_dotted_beats_short_beats_recipe_beats_default(words: str, tmp_path: Path) -> None:
    """The order in which flags are typed does not matter."""
    (tmp_path / "a.toml").write_text("[teacher]\nlr = 0.5\nepochs = 7\n[student]\nlr = 0.6\n")
    found = read(f"run photos --recipe {tmp_path / 'a.toml'} {words}")
    assert (found.teacher.lr, found.student.lr, found.teacher.epochs) == (0.1, 0.2, 7)
    assert found.student.epochs == DistillConfig().student.epochs


def test_none_unsets(tmp_path: Path) -> None:
    """`none` takes back what a recipe has set, and stays a word where words are wanted."""
    (tmp_path / "a.toml").write_text('[student]\nclip_grad = 1\nweights = "none"\n')
    found = read(f"run photos --recipe {tmp_path / 'a.toml'} --student.clip-grad none")
    assert found.student.clip_grad is None
    assert found.student.weights == "none"
    assert "needs a whole number" in refused("run photos --student.epochs none")


@pytest.mark.parametrize(
    ("command", "left"),
    [
        ("run --seeds 3 photos --out x --lr 1 --quiet", "run photos --out x --quiet"),
        ("run --seeds 3 -- --photos", "run -- --photos"),
        ("run --student.flip photos", "run photos"),
        ("run --student.flip false photos", "run photos"),
        ("sweep p --compare a b --lr 1 --teacher-epochs 3 5", "sweep p --compare a b --teacher-epochs 3 5"),
    ],
)  # fmt: skip
def test_what_is_left_for_the_verb(command: str, left: str) -> None:
    """The verb's own words stay, wherever they stand; after -- all of them."""
    assert read_command(command.split()[0], command.split())[0] == left.split()


def test_settings_of_one_run_are_flat() -> None:
    """`train` and `distill` have the network's settings without a prefix."""
    found = read("distill photos --model vgg8 --epochs 3 --teacher a b --teacher c --temperature 2")
    assert (found.model, found.epochs, found.teacher) == ("vgg8", 3, ("a", "b", "c"))
    assert found.losses.kd.temperature == 2
    assert read("train photos --clip-grad 2").clip_grad == 2
    assert read("pack photos --image-size 64 --data.max-pixels 5").data.image_size == 64


WEIGHTS = {
    "--loss kd": {"label": 0.3, "kd": 0.7},
    "--loss kd+hint": {"label": 0.3, "kd": 0.7, "hint": 100},
    "--loss kd+hint --alpha 0.9": {"label": 0.1, "kd": 0.9, "hint": 100},
    "--loss hint": {"label": 1, "hint": 100},
    "--loss hint --alpha 0.9": {"label": 0.1, "hint": 100},
    "--loss hint --losses.hint.weight 2": {"label": 1, "hint": 2},
    "--loss dkd+rkd-angle+rkd_distance": {
        "label": 1,
        "dkd": 1,
        "rkd_distance": 25,
        "rkd_angle": 50,
    },
    "--loss label": {"label": 1},
    "--loss crd-kd": {"label": 1, "kd": 1, "crd": 0.8},
    "--loss crd --recipe demo+hint": {"label": 1, "crd": 0.8},
    "--recipe demo+hint": {"label": 1, "hint": 100},
}


@pytest.mark.parametrize("words", WEIGHTS)
def test_loss(words: str) -> None:
    """`--loss` chooses losses by name, each with its defaults, and the rest has no weight."""
    assert loss_weights(read(f"run photos {words}")) == pytest.approx(WEIGHTS[words])


def test_loss_replaces_that_of_the_recipe_only() -> None:
    """Everything else of the recipe stays."""
    found = read("run photos --recipe demo --loss dkd")
    assert (found.student, found.data) == (recipe("demo").student, recipe("demo").data)


def test_loss_of_ones_own() -> None:
    """With --plugin any name may be one that the file offers."""
    found = read("run photos --loss kd+mine --plugin mine.py --custom.mine.weight 2")
    assert found.custom == {"mine": {"weight": 2.0}}
    assert read("run photos --loss mine --plugin mine.py").custom == {"mine": {}}
    assert "no such loss: mine" in refused("run photos --loss mine")


@pytest.mark.parametrize(
    ("words", "warm"),
    [
        ("", {"kd": 9}),
        ("--loss kd+dkd", {"kd": 9, "dkd": 4}),
        ("--loss dkd", {"dkd": 9}),
        ("--loss dkd+hint", {"dkd": 9}),
        ("--recipe demo+dist", {"dist": 9}),
        ("--alpha 0 --losses.ttm.weight 1", {"ttm": 9}),
        ("--losses.kd.temperature 3", {"kd": 3}),
    ],
)
def test_temperature_is_that_of_the_chosen_loss(words: str, warm: dict[str, float]) -> None:
    found = read(f"run photos --temperature 9 {words}")
    assert {name: getattr(found.losses, name).temperature for name in warm} == warm


def test_temperature_that_is_not_clear() -> None:
    """Where several losses have one, or none has, the flags to use are named."""
    several = refused("run photos --temperature 2 --loss dkd+dist")
    assert "--losses.dkd.temperature or --losses.dist.temperature" in several
    assert "--temperature means nothing here" in refused("run photos --temperature 2 --loss hint")
    many = refused("run photos --temperature 2 --loss mlkd")
    assert "--losses.mlkd.temperatures" in many
    assert "--temperature is out of range" in refused("run photos --temperature 0 --loss dkd")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("run p --tempertaure 2", "did you mean --temperature?"),
        ("run p --studnet.lr 2", "did you mean --student.lr?"),
        ("run p --student.lrr 2", "did you mean --student.lr?"),
        ("run p --student.epoch 2", "did you mean --student.epochs?"),
        ("run p --model x", "--teacher.model or --student.model"),
        ("train p --student.lr 2", "did you mean --lr?"),
        ("train p --student vgg8", "did you mean --model"),
        ("sweep p --loss kd", "it is a flag of `run` and `distill`"),
        ("check p --image-sise 3", "did you mean --image-size?"),
        ("pack p --ouut 3", "did you mean --out?"),
        ("run p --losses.hint", "tutelage settings losses.hint"),
        ("run p --zzz", "no such flag of `tutelage run`: --zzz"),
        ("run p --loss hnt", "did you mean hint?"),
        ("run p --method dlm", "did you mean dml?"),
        ("run p --precision fp8", "one of auto, bf16, fp16, fp32"),
        ("run p --track wandbb", "did you mean wandb?"),
    ],
)
def test_nearest(command: str, said: str) -> None:
    """A flag or value that there is not is answered with the nearest that there is."""
    assert said in refused(command)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("run p --student.clip 1", "--student.clip is called --student.clip-grad now"),
        ("run p --ask ahead", "--ask ahead is called --teacher-outputs cached now"),
        ("run p --ask=live", "--ask is called --teacher-outputs now"),
        ("run p --trust", "--trust is called --skip-teacher-check now"),
        ("run p --own.x.weight 1", "--own.x.weight is called --custom.x.weight now"),
        (
            "run p --terms.kd.temperature 2",
            "--terms.kd.temperature is called --losses.kd.temperature now",
        ),
        ("run p --terms.attention.power 2", "--terms.attention.power is called --losses.at.power now"),
        ("run p --methods.mutual.models a", "--methods.mutual.models is called --methods.dml.models now"),
        ("run p --data.root x", "--data.root is called --data.dir now"),
        ("train p --clip 1", "--clip is called --clip-grad now"),
        ("distill p --student.ema 0.9", "--ema is called --ema-decay now"),
        ("run p --method mutual", "--method: mutual is called dml now"),
        ("run p --splits anew", "--splits: anew is called redraw now"),
        ("run p --loss attention", "--loss: attention is called at now"),
        ("run p --recipe demo+similarity", "no such recipe: similarity is called sp now"),
    ],
)  # fmt: skip
def test_former_names(command: str, said: str) -> None:
    """What an earlier version called something is refused with one line that names it."""
    assert refused(command) == said


def test_former_values_in_a_recipe(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text('method = "mutual"\n')
    said = refused(f"run p --recipe {tmp_path / 'a.toml'}")
    assert "method: mutual is called dml now" in said
    assert "a.toml" in said


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("run p --seeds", "--seeds needs a value"),
        ("run p --seeds --lr 1", "--seeds needs a value"),
        ("run p --seeds 1.5", "--seeds needs a whole number"),
        ("run p --seeds 0", "--seeds is out of range"),
        ("run p --lr -1", "--lr is out of range"),
        ("run p --lr nan", "--lr is out of range"),
        ("run p --lr fast", "--lr needs a number"),
        ("run p --split 1 2", "--split needs 3 values"),
        ("run p --student.flip=maybe", "--student.flip is a switch"),
        ("run p --seeds 3 --seeds 4", "--seeds is given twice"),
        ("run p --lr 3 --lr=4", "--lr is given twice"),
        ("run p --loss", "--loss needs a value"),
        ("run p --custom.a 1", "--custom.NAME.SETTING"),
        ("run p --seed " + "9" * 500, "whole number"),
    ],
)
def test_values_that_do_not_fit(command: str, said: str) -> None:
    """The message names the flag as it was typed."""
    assert said in refused(command)


@pytest.mark.parametrize("verb", PAGES)
def test_short_names_are_sound(verb: str) -> None:
    """What a short name sets are settings of one kind, and no short name hides a setting."""
    flags = flags_of(verb)
    paths = {setting.path: setting for setting in flags.dotted.values()}
    for name, sets in flags.short.items():
        assert name not in flags.dotted
        if name != "--loss":
            assert len({(paths[path].kind, paths[path].default) for path in sets}) == 1
