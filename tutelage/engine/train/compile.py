"""Use torch.compile where it pays for itself, and keep it from compiling twice.

Only the network is compiled: what changes from step to step, such as losses and weights by epoch, would be
compiled again and again. A smaller last batch, and measuring, run uncompiled.
"""

import contextlib
from collections.abc import Callable
from copy import deepcopy

import torch
from torch import nn

from tutelage.config.image_size import ImageSize
from tutelage.config.training import DeviceConfig, OptimizationConfig
from tutelage.engine.runtime.device import Runtime
from tutelage.evaluation.timing import median_range, time_interleaved
from tutelage.models.preprocess import Classifier

SECONDS = 60.0
"""About what compiling a residual network takes, forward and backward."""

SAVED = 0.2
"""Share of a step that compiling saves on a GPU: published 1.24x to 1.42x for small residual networks."""

LAUNCH_BOUND = 0.004
"""Steps shorter than this, in seconds, mostly wait for kernels to be launched: CUDA graphs replay them."""


def compile_mode(
    machine: DeviceConfig, device: torch.device, *, steps: int, step_seconds: float
) -> str | None:
    """Choose the mode for torch.compile; None: do not compile.

    >>> compile_mode(DeviceConfig(), torch.device("cpu"), steps=10**6, step_seconds=1.0)
    >>> compile_mode(DeviceConfig(), torch.device("cuda"), steps=100_000, step_seconds=0.02)
    'default'
    >>> compile_mode(DeviceConfig(), torch.device("cuda"), steps=100_000, step_seconds=0.0035)
    'reduce-overhead'
    """
    wins = device.type == "cuda" and steps * step_seconds * SAVED > SECONDS
    if machine.compile == "no" or (machine.compile == "auto" and not wins):
        return None
    launch_bound = device.type == "cuda" and step_seconds < LAUNCH_BOUND
    return "reduce-overhead" if launch_bound else "default"


def compile_where_it_pays(
    classifier: Classifier,
    machine: DeviceConfig,
    settings: OptimizationConfig,
    runtime: Runtime,
    *,
    size: ImageSize,
    images: int,
    say: Callable[[str], None],
) -> int | None:
    """Compile a network that is about to be trained.

    Args:
        classifier: on its device.
        machine: of the run.
        settings: of the run.
        runtime: of the run.
        size: of the stored images.
        images: training images.
        say: prints a line.

    Returns:
        The number of images in a batch that it is compiled for; None where it is not.
    """
    if machine.compile == "no" or (machine.compile == "auto" and runtime.device.type == "cpu"):
        return None
    seconds = _step_seconds(classifier, runtime, size, settings.batch_size)
    steps = settings.epochs * -(-images // settings.batch_size)
    mode = compile_mode(machine, runtime.device, steps=steps, step_seconds=seconds)
    told = f"{steps} steps of {1000 * seconds:.1f} ms"
    if mode is None:
        say(f"not compiled: {told} would not win back the minute it takes")
        return None
    say(f"compiled ({mode}): {told}")
    compile_network(classifier, mode=mode)
    return settings.batch_size


def compile_network(
    classifier: Classifier, *, mode: str | None = None, backend: str = "inductor"
) -> None:
    """Compile a network in place for one shape of batch; names of weights stay as they are."""
    classifier.network.compile(mode=mode, backend=backend, dynamic=False)


def uncompile(network: nn.Module) -> None:
    """Undo the compilation of every part of a network."""
    for module in network.modules():
        module._compiled_call_impl = None


def run_eagerly(*, when: bool) -> contextlib.AbstractContextManager[object]:
    """Run compiled networks eagerly while the block lasts."""
    if not when:
        return contextlib.nullcontext()
    stance: contextlib.AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance


def _step_seconds(classifier: Classifier, runtime: Runtime, size: ImageSize, batch: int) -> float:
    images = classifier.blank(size).to(runtime.device).repeat(batch, 1, 1, 1)
    # Statistics of BatchNorm must not learn from these images: a copy is timed.
    network = deepcopy(classifier).train()

    def step() -> None:
        with runtime.cast():
            logits = network(images).logits.float()
        logits.logsumexp(1).mean().backward()
        network.zero_grad(set_to_none=True)

    settle = torch.cuda.synchronize if runtime.device.type == "cuda" else lambda: None
    seconds = time_interleaved({"step": step}, rounds=5, warm_up=2, settle=settle)["step"]
    return median_range(seconds)["median"]
