"""A small job of specialists by one of several processes: `specialists_by_ranks PACK OUT`."""

import sys
from pathlib import Path

import tutelage.engine.finish
from tutelage.commands import train as verbs
from tutelage.config.job import DistillConfig, NetworkConfig
from tutelage.config.methods import MethodOptions, SpecialistsConfig

# Plain SGD, smooth activations and small steps: rounding is not turned into whole steps.
TRAINEE = NetworkConfig(
    model="test_efficientnet", weights="none", epochs=1, batch_size=67, optimizer="sgd", lr=0.002
)


def small_job(pack: Path, out: Path) -> None:
    """The whole job, as a process does it that is told by its environment which of how many it is."""
    job = DistillConfig(
        method="specialists",
        methods=MethodOptions(specialists=SpecialistsConfig(groups=2)),
        teacher=TRAINEE,
        student=TRAINEE,
        device="cpu",
        precision="fp32",
        skip_teacher_check=True,  # a few steps make no teacher
    )
    verbs.run(pack, job, out=out, quiet=True)


if __name__ == "__main__":
    tutelage.engine.finish.measure_latency = lambda *_args, **_options: []
    small_job(Path(sys.argv[1]), Path(sys.argv[2]))
