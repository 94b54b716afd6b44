"""What can be known of a plan to be wrong before its first run begins."""

from tutelage.config import shared
from tutelage.data.pack import Pack
from tutelage.engine.preflight import (
    require_batch,
    require_course,
    require_kept,
    require_lesson,
    require_network,
    require_rest,
)
from tutelage.errors import UsageError
from tutelage.learner import is_taught
from tutelage.methods.several import require_teachers
from tutelage.methods.teaching import require_terms
from tutelage.models.build import require_known
from tutelage.models.settings import Network
from tutelage.plans.specialists import require_specialists
from tutelage.plans.step import Step
from tutelage.settings import UNTAUGHT, Job, Single
from tutelage.single import Networks

BYTES_A_NETWORK = 400_000_000
"""Of a run's folder, generously: weights, best weights and a checkpoint with optimiser state."""


def require_steps(job: Job, steps: list[Step], networks: Networks) -> None:
    """The settings of a plan go together, and its networks exist: what is known without any file.

    Raises:
        UsageError: see `engine.preflight`; the message names what is wrong.
    """
    require_terms(job)
    require_course(job, job.student.epochs, flag="--student.")
    if job.method == "specialists":
        require_specialists(job)
        if "teacher" in networks:
            raise UsageError(
                "specialists begin as their teacher but for its last layer, and which that is only a network "
                "known by name tells",
                found="a teacher that is a module of your own",
                fix="a timm name for the teacher, or another method",
            )
    for step in steps:
        flag = _flag(step.settings)
        require_kept(step.settings, flag=flag)
        if _hears(step) and job.method != "course":
            require_teachers(job, len(step.teachers))
        if step.makes not in networks:
            require_known(step.settings.model, flag=f"{flag}model")


def require_networks(steps: list[Step], networks: Networks) -> None:
    """Every network of a plan can be built; its weights may have to be looked for far away.

    Raises:
        UsageError, InputError: see `engine.preflight.require_network`.
    """
    flags: dict[Network, str] = {}
    for step in steps:
        if step.makes not in networks:
            flags.setdefault(_network(step.settings), _flag(step.settings))
    for network, flag in flags.items():
        require_network(network, flag=flag)


def require_fit(job: Job, steps: list[Step], pack: Pack, networks: Networks) -> None:
    """The pictures are enough for every run, and terms that look inside find what they look for.

    Raises:
        UsageError: see `engine.preflight`.
    """
    if job.method == "specialists":
        require_specialists(job, len(pack.classes))
    images = len(pack.rows("train"))
    by_name, compared = {step.name: step.settings for step in steps}, set()
    for step in steps:
        require_batch(step.settings.batch_size, images, flag=_flag(step.settings))
        if not is_taught(step.settings) and not _hears(step):
            continue
        require_rest(job, step.settings.batch_size, images, flag=_flag(step.settings))
        for teacher in step.teachers:
            pair = _network(step.settings), _network(by_name[teacher])
            if not networks and pair not in compared:
                compared.add(pair)
                require_lesson(job, *pair, pack)


def _hears(step: Step) -> bool:
    """Whether it is taught by finished networks; a specialist only goes on from one."""
    return bool(step.teachers) and step.settings.role not in UNTAUGHT


def _network(settings: Single) -> Network:
    return Network(**shared(Network, settings))


def _flag(settings: Single) -> str:
    return "--teacher." if settings.role in ("teacher", "specialist") else "--student."
