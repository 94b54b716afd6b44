"""Try one training step of a network before anything is trained, at the size and batch it will see."""

import copy
import dataclasses

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from tutelage.config.image_size import spell_size
from tutelage.config.job import TrainConfig
from tutelage.data.pack.pack import Pack
from tutelage.engine.runtime.device import resolve_runtime
from tutelage.engine.teachers import NetworkFactory
from tutelage.engine.train.optim import ParameterOptimizer
from tutelage.errors import MachineError, TutelageError, UsageError
from tutelage.models.build import build_model
from tutelage.models.preprocess import Classifier
from tutelage.text import truncate


def try_step(
    settings: TrainConfig, pack: Pack, *, factory: NetworkFactory | None = None, flag: str = "--"
) -> None:
    """Refuse a network that cannot do one step of training on a batch of these images.

    The network is a copy with random weights: nothing that is trained later is touched.

    Args:
        settings: of the run that will train it.
        pack: the images.
        factory: makes a module of the caller's own, given the class count.
        flag: start of the network's flags, such as `--student.`.

    Raises:
        UsageError: the network fails, or its output is not a float for each class.
        MachineError: there is not enough memory for the batch.
    """
    with torch.random.fork_rng(devices=[]):
        network = None if factory is None else _made(factory, len(pack.classes))
        name = settings.model if network is None else type(network).__name__
        classifier = build_model(
            dataclasses.replace(settings, weights="none"),
            classes=len(pack.classes),
            stored_size=pack.image_size,
            train_statistics=(pack.mean, pack.std),
            seed=0,
            network=network,
        ).classifier
        try:
            _step(classifier, settings, pack, name)
        except TutelageError:
            raise
        except torch.OutOfMemoryError as error:
            raise MachineError(
                f"not enough memory to train {name} with this batch",
                found=f"batch_size = {settings.batch_size}",
                fix=f"{flag}batch-size {max(1, settings.batch_size // 2)}",
            ) from error
        except Exception as error:
            raise _cannot(classifier, name, error, flag) from error


def _step(classifier: Classifier, settings: TrainConfig, pack: Pack, name: str) -> None:
    runtime = resolve_runtime(settings)
    runtime.place(classifier.train())
    rows = pack.rows("train")[: settings.batch_size]
    pixels = torch.from_numpy(pack.images[rows]).permute(0, 3, 1, 2).to(runtime.device)
    with runtime.cast():
        logits = classifier(pixels).logits
    _require_logits(logits, len(rows), len(pack.classes), name)
    targets = torch.arange(len(rows), device=runtime.device) % len(pack.classes)
    cross_entropy(logits.float(), targets).backward()  # type: ignore[no-untyped-call]
    if not any(parameter.grad is not None for parameter in classifier.parameters()):
        raise UsageError(
            f"nothing in {name} can be trained",
            found="no parameter that the loss reaches",
            expected="parameters with requires_grad, and no detach() on the way to the output",
        )
    optimizer = ParameterOptimizer(classifier, settings)
    optimizer.take_gradients()
    optimizer.optimizer.step()


def _made(factory: NetworkFactory, classes: int) -> nn.Module:
    """Return a copy of what a factory makes: it may give the same object again and again."""
    try:
        network = copy.deepcopy(factory(classes))
    except Exception as error:
        raise UsageError(
            "the factory of a network failed",
            found=truncate(f"{type(error).__name__}: {error}"),
            expected=f"a torch.nn.Module that can be copied, for {classes} classes",
        ) from error
    if not isinstance(network, nn.Module):
        raise UsageError(
            "the factory of a network returned something else",
            found=type(network).__name__,
            expected="a torch.nn.Module",
        )
    return network


def _require_logits(logits: object, batch: int, classes: int, name: str) -> None:
    expected = (
        f"a float tensor of shape [{batch}, {classes}]: a batch of {batch}, {classes} classes"
    )
    if not isinstance(logits, Tensor):
        found = type(logits).__name__
        if isinstance(logits, tuple | list | dict):
            found += f" of {len(logits)}"
    elif tuple(logits.shape) != (batch, classes):
        found = f"a tensor of shape {list(logits.shape)}"
    elif not logits.is_floating_point():
        found = f"a tensor of {logits.dtype}"
    else:
        return
    raise UsageError(f"{name} does not return logits", found=found, expected=expected)


def _cannot(classifier: Classifier, name: str, error: Exception, flag: str) -> UsageError:
    size = classifier.preprocess.size
    config = getattr(classifier.network, "pretrained_cfg", {})
    usual = config.get("input_size", (0, 0))[-1]
    lines = str(error).strip().splitlines() or [""]
    return UsageError(
        f"{name} cannot be trained on images of {spell_size(size)} pixels",
        found=truncate(f"{type(error).__name__}: {lines[0]}"),
        fix=f"{flag}input-size {usual}" if usual and usual != size else None,
    )
