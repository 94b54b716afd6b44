"""A network that is kept on the way: what it would have been, had training ended after this epoch."""

import copy
from collections.abc import Callable
from pathlib import Path

import torch

from tutelage.data.pack import Pack
from tutelage.engine.compiling import uncompile
from tutelage.engine.state import TrainingState
from tutelage.files import whole_folder
from tutelage.models.folder import save_model
from tutelage.models.kept import kept_folder
from tutelage.models.padding import skip_padding
from tutelage.models.preprocess import Classifier
from tutelage.settings import Single


def keeper(
    settings: Single, pack: Pack, folder: Path, *, name: str
) -> Callable[[TrainingState], None]:
    """What saves a run's network after an epoch, into `checkpoints-kept/EPOCH/model` of its folder.

    A copy is saved: the network in training keeps its layout, its device and what it is compiled to.
    """

    def keep(state: TrainingState) -> None:
        epoch = state.epoch + 1
        with torch.random.fork_rng():
            kept = copy.deepcopy(state.measured)
            assert isinstance(kept, Classifier)
            uncompile(kept)
            skip_padding(kept, on=False)
            target = kept_folder(folder, epoch)
            with whole_folder(target) as part:
                save_model(
                    part,
                    kept.eval(),
                    settings=settings,
                    classes=pack.classes,
                    stored_size=pack.image_size,
                    background=str(pack.manifest["settings"].get("background", "white")),
                    card=f"# {settings.model}: {name} after epoch {epoch} of {settings.epochs}\n",
                )

    return keep
