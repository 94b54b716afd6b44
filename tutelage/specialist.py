"""One specialist: what it sees of the pictures, the weights it goes on from, and what it must be told.

Hinton, Vinyals and Dean 2015, arXiv:1503.02531, section 5.2: it begins as the generalist, but for the last
layer, which has a class for each of its group and one for all others.
"""

from pathlib import Path
from typing import Any

from tutelage.data.grouped import grouped
from tutelage.data.halves import halves_of, refuse_mixed
from tutelage.data.pack import Pack
from tutelage.errors import UsageError
from tutelage.models.build import Built
from tutelage.models.folder import network_folder
from tutelage.models.weights import Weights, load_weights
from tutelage.settings import Single


def require_group(settings: Single) -> None:
    """A specialist has classes of its own and sees pictures by themselves; nobody else has such classes.

    Raises:
        UsageError: a specialist without classes, or with views of two pictures; classes for another role.
    """
    special, known = settings.role == "specialist", bool(settings.specialist.classes)
    if special and not known:
        raise UsageError(
            "a specialist without classes of its own",
            expected="--specialist.classes NAME NAME ...",
            fix="tutelage run --method specialists, which finds them",
        )
    if known and not special:
        raise UsageError(
            "classes of a specialist, and the run is none",
            found=f"role = {settings.role}, specialist.classes = {', '.join(settings.specialist.classes)}",
            fix="--role specialist",
        )
    if special:
        refuse_mixed(settings)


def own_view(settings: Single, pack: Pack) -> Pack:
    """The pack as a run sees it: as it is, but for a specialist.

    Raises:
        InputError: classes that the data do not have, or all of them.
    """
    return grouped(pack, settings.specialist.classes) if settings.role == "specialist" else pack


def go_on(built: Built, generalist: Path) -> Built:
    """A network with the weights of a generalist's, but for the classifier, which stays random.

    Args:
        built: of the same kind, for the classes of a group and the dustbin.
        generalist: its run folder or model folder.

    Raises:
        InputError: weights of another network.
    """
    path = network_folder(generalist) / "model.safetensors"
    config: Any = getattr(built.classifier.network, "pretrained_cfg", None) or {}
    load_weights(built.classifier.network, path, classifier=config.get("classifier"))
    return built._replace(weights=Weights("file", path))


def told_of_specialist(pack: Pack) -> dict[str, Any]:
    """For scores.json: its classes, training pictures of them and of all others, and others in an epoch."""
    halves = halves_of(pack)
    return {
        "classes": list(pack.classes[:-1]),
        "own": len(halves.own),
        "others": len(halves.others),
        "drawn": halves.drawn,
    }
