"""What every method costs beside plain training of the same student: time and memory of a step.

    python benchmarks/schemes.py
    python benchmarks/schemes.py --student test_resnet --teacher test_resnet --images 160 --name tiny
    python benchmarks/schemes.py --table

Every method of `tutelage methods` with the settings of its recipe, its finished teachers' answers kept. Time:
a batch from the loader, the teachers' word, forward, backward, update and what follows it, all methods and
plain training in turn, ratios round by round. Memory: the most that the tensors of a step take at once beyond
those that are there between steps; and those, the weights of all networks that learn or listen, their
optimizer's state and what is remembered. What finished teachers need before the first step is not in it.

`--table` prints the table of a file of results.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tutelage.config.job import DistillConfig, NetworkConfig
from tutelage.config.methods import MethodConfig, MethodName
from tutelage.config.recipes import method_names, read_recipe
from tutelage.config.schema import build, shared_fields
from tutelage.methods.registry import METHODS

if TYPE_CHECKING:
    from taught import Class

    from tutelage.commands.benchmark_step import StepBenchmark

PLAIN = "plain"
EPOCHS = 10
"""Of the student: weights that change as training goes on are those of its second to its last."""


def main() -> None:
    import result
    from taught import parser

    flags = parser(str(__doc__), "schemes")
    flags.add_argument("--table", action="store_true", help="print that of the file of results")
    chosen = flags.parse_args()

    if chosen.table:
        file = result.RESULTS / f"{chosen.name}.json"
        print(table(json.loads(file.read_text(encoding="utf-8"))))
        return
    result.write(chosen.name, **measured(chosen))


def table(facts: Mapping[str, Any]) -> str:
    """The results as a Markdown table: each method's median time with its range, and memory, by plain's.

    >>> time = {"median": 1.334, "low": 1.3, "high": 1.41, "rounds": 20}
    >>> cost = {"time": time, "memory": 1.004, "stays": 1.25}
    >>> print(table({"methods": {"mean-teacher": cost}, "without": {"byot": "no stages"}}))
    | method | time / plain step | memory / plain step | between steps / plain |
    |---|---|---|---|
    | `mean-teacher` | 1.33 (1.30 to 1.41) | 1.00 | 1.25 |
    | `byot` | not measured: no stages | | |
    """
    rows = [
        "| method | time / plain step | memory / plain step | between steps / plain |",
        "|---|---|---|---|",
    ]
    for name, cost in facts["methods"].items():
        time = cost["time"]
        between = f"{time['low']:.2f} to {time['high']:.2f}"
        rows.append(
            f"| `{name}` | {time['median']:.2f} ({between}) | {cost['memory']:.2f} | {cost['stays']:.2f} |"
        )
    rows += [f"| `{name}` | not measured: {why} | | |" for name, why in facts["without"].items()]
    return "\n".join(rows)


def teaching_of(method: str, teacher: str) -> MethodConfig:
    """The settings of a method's recipe, those of the defaults where it has none.

    A teacher that learns beside the student is the given network; finished ones beside the teacher are
    those of the recipe.
    """
    known = read_recipe(method).table if method in method_names() else {"method": method}
    teaching = build(MethodConfig, known, where=method)
    joint = dataclasses.replace(teaching.methods.joint, model=teacher)
    return dataclasses.replace(teaching, methods=dataclasses.replace(teaching.methods, joint=joint))


def finished_teachers(teaching: MethodConfig, student: str, teacher: str) -> list[str]:
    """The networks of the finished teachers that a student hears, by the plan of a whole job.

    A run of the plan that keeps checkpoints stands for as many teachers.
    """
    from tutelage.methods.registry import plan_job

    job = DistillConfig(
        **shared_fields(MethodConfig, teaching),
        teacher=NetworkConfig(model=teacher),
        student=NetworkConfig(model=student),
    )
    by_name = {step.name: step for step in plan_job(job)}
    (last,) = (step for step in by_name.values() if step.settings.role == "student")
    heard = [by_name[name].settings for name in last.teachers]
    return [one.model for one in heard for _ in range(one.keep_checkpoints or 1)]


def measured(chosen: argparse.Namespace) -> dict[str, Any]:
    """The figures of every method, and of plain training."""
    from taught import open_sample, staying_bytes, steps, with_partners

    from tutelage.evaluation.memory import peak_bytes
    from tutelage.evaluation.timing import median_range, median_ratio, time_interleaved

    with tempfile.TemporaryDirectory() as folder:
        trial = open_sample(Path(folder), chosen)
        classes, without = all_classes(trial)
        alone, ways = trial.loader(), {}
        for name, taught in classes.items():
            loader = with_partners(alone) if taught.state.method.wants_partners else alone
            ways[name] = functools.partial(next, steps(taught, loader, epochs=EPOCHS))
        seconds = time_interleaved(ways, rounds=chosen.rounds, warm_up=3, settle=trial.settle)
        peaks = {name: peak_bytes(way, trial.runtime.device) for name, way in ways.items()}
        stay = {name: staying_bytes(taught.state) for name, taught in classes.items()}
        facts = {
            "networks": {"student": chosen.student, "teacher": chosen.teacher},
            "pixels": chosen.size,
            "batch": chosen.batch,
            "images": len(trial.pack.rows("train")),
            "classes": len(trial.pack.classes),
            "computes": str(trial.runtime),
        }
    own = {
        name: {
            "seconds": median_range(seconds[name]),
            "bytes": peaks[name],
            "bytes_staying": stay[name],
        }
        for name in classes
    }
    plain = own.pop(PLAIN)
    methods = {
        name: {
            "teachers": list(classes[name].teachers),
            **figures,
            "time": median_ratio(seconds[name], seconds[PLAIN]),
            "memory": round(peaks[name] / peaks[PLAIN], 4),
            "stays": round(stay[name] / stay[PLAIN], 4),
        }
        for name, figures in own.items()
    }
    return {**facts, PLAIN: plain, "methods": methods, "without": without}


def all_classes(trial: StepBenchmark) -> tuple[dict[str, Class], dict[str, str]]:
    """A student in training by each method, a plain one before them; methods that do not fit, and why."""
    from taught import Class

    from tutelage.errors import TutelageError
    from tutelage.teachers.teacher import no_teacher

    found = {PLAIN: Class(trial.state("plain"), no_teacher)}
    without: dict[str, str] = {}
    for method in METHODS:
        print(f"{method} is made ready", file=sys.stderr)
        try:
            found[method] = class_of(trial, method)
        except TutelageError as error:
            without[method] = str(error).splitlines()[0]
    return found, without


def class_of(trial: StepBenchmark, method: MethodName) -> Class:
    """A student in training by a method. Specialists know even shares of the classes."""
    from taught import make_class

    teaching = teaching_of(method, trial.teacher)
    settings = dataclasses.replace(
        trial.settings,
        **shared_fields(MethodConfig, teaching),
        teacher_outputs="cached",
        epochs=EPOCHS,
    )
    teachers = finished_teachers(teaching, settings.model, trial.teacher)
    specialists = len(teachers) - 1 if method == "specialists" else 0
    groups = [trial.pack.classes[number::specialists] for number in range(specialists)]
    return make_class(trial, settings, teachers, groups=groups)


if __name__ == "__main__":
    main()
