"""Two steps of a student with one term, by one of two processes: `two_ranks RANK FOLDER`."""

import torch
from torch import Tensor

from support.losses.networks import IMAGES, LATE, batch_of, build, network_pair
from support.two_processes import meet
from tutelage.config.objective import settings_classes
from tutelage.config.training import OptimizationConfig
from tutelage.distributed import World
from tutelage.engine.runtime.device import Runtime
from tutelage.engine.runtime.sync_batchnorm import sync_batchnorm
from tutelage.engine.train.state import TrainingState
from tutelage.engine.train.step import backward
from tutelage.losses.cross_entropy import LabelTerm
from tutelage.methods.offline import OfflineDistillation
from tutelage.models.feature_hooks import FeatureExtractor
from tutelage.teachers.live import LiveTeacher
from tutelage.types import START

CPU = torch.device("cpu")
WHOLE = 7
"""Images of the batch, which two processes do not share evenly."""

EQUAL = ("fsp", "simkd")
"""Ideas that need as many channels in both networks."""


def trained(name: str, world: World) -> dict[str, Tensor]:
    """Value and gradient of a first and of a late step, and what method and term remember after both.

    In float64, so that only what is computed differs, and not how sums are rounded. With networks of its own:
    those of `network_pair` are shared, and their norms have seen what other tests showed them.
    """
    both = network_pair.__wrapped__(
        "cifar_resnet8", "wide" if name not in EQUAL else "cifar_resnet14"
    )
    student, teacher = both.student.double(), both.teacher.double()
    term = (LabelTerm() if name == "label" else build(name, both.context)).double()
    needs = term.needs
    look = FeatureExtractor(student, needs.student_points) if needs.student_points else None
    method = OfflineDistillation(student, {name: term}, {name: 1.0}, look=look).train()
    sync_batchnorm(student, CPU, world)
    if not term.across_batch:
        sync_batchnorm(term, CPU, world)
    state = TrainingState(
        method, OptimizationConfig(), Runtime(CPU, None, channels_last=False), world
    )
    live = LiveTeacher(teacher, (*needs.teacher_points, *needs.teacher_vectors))
    batch = batch_of(WHOLE, size=32)
    assert int(batch.ids.max()) < IMAGES
    if world.size > 1:
        mine = slice(world.share(WHOLE).start, world.share(WHOLE).stop)
        images, labels, ids = (part[mine] for part in batch[:3])
        batch = batch._replace(images=images, labels=labels, ids=ids, whole=WHOLE)
    found = {}
    for progress in (START, LATE):
        outcome, total = backward(state, batch, live(batch), progress)
        found[f"{progress.step} value"] = outcome.terms[name].detach()
        found[f"{progress.step} total"] = total.detach()
        for key, parameter in method.named_parameters():
            if parameter.grad is not None:
                found[f"{progress.step} gradient {key}"] = parameter.grad.clone()
        method.zero_grad()
    return found | {f"state {key}": t.clone() for key, t in method.state_dict().items()}


if __name__ == "__main__":
    meet(trained, settings_classes())
