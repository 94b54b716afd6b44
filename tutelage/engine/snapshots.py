"""Snapshots: the network after an epoch, as if training had ended there."""

import copy
from collections.abc import Callable

import torch

from tutelage.config.job import TrainConfig
from tutelage.data.pack.pack import Pack
from tutelage.engine.context import RunContext
from tutelage.engine.train.compile import uncompile
from tutelage.engine.train.state import TrainingState
from tutelage.models.model_folder import save_model
from tutelage.models.preprocess import Classifier
from tutelage.models.snapshots import snapshot_folder
from tutelage.models.trim_padding import trim_padding
from tutelage.storage.atomic import whole_folder


def snapshot_saver(
    settings: TrainConfig, pack: Pack, context: RunContext
) -> Callable[[TrainingState], None]:
    """Return what saves a run's network after an epoch into `checkpoints-kept/EPOCH/model` of its folder.

    A copy is saved: the network in training keeps its layout, its device and what it is compiled to.
    """

    def save(state: TrainingState) -> None:
        epoch = state.epoch + 1
        with torch.random.fork_rng():
            kept = copy.deepcopy(state.measured)
            assert isinstance(kept, Classifier)
            uncompile(kept)
            trim_padding(kept, on=False)
            target = snapshot_folder(context.folder, epoch)
            with whole_folder(target) as part:
                save_model(
                    part,
                    kept.eval(),
                    settings=settings,
                    classes=pack.classes,
                    stored_size=pack.image_size,
                    background=str(pack.manifest["settings"].get("background", "white")),
                    card=f"# {settings.model}: {context.name} after epoch {epoch} of {settings.epochs}\n",
                )

    return save
