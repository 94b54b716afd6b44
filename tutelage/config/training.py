"""Settings of training: duration, optimizer, device, precision."""

from dataclasses import dataclass
from typing import Literal

from tutelage.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class OptimizationConfig:
    """How a network is trained."""

    epochs: int = setting(10, at_least=0)
    """Passes over the training images."""

    batch_size: int = setting(32, at_least=1)
    """Images a step."""

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """The optimizer; sgd uses Nesterov momentum where `momentum` is above 0."""

    lr: float = setting(1e-3, above=0)
    """Peak learning rate."""

    weight_decay: float = setting(0.0, at_least=0)
    """L2 penalty (adam, sgd) or decoupled decay (adamw); biases and normalisation layers are left out."""

    momentum: float = setting(0.9, at_least=0, below=1)
    """Momentum of sgd."""

    schedule: Literal["constant", "cosine", "step", "linear"] = "constant"
    """How the learning rate falls: not at all, along half a cosine or a line to zero, or tenfold at each of
    `milestones`.
    """

    milestones: tuple[float, ...] = setting((0.6, 0.8), above=0, below=1)
    """Shares of training (after the warm-up) at which schedule `step` divides the learning rate by ten."""

    warmup_epochs: float = setting(0.0, at_least=0)
    """Epochs over which the learning rate rises linearly from zero."""

    label_smoothing: float = setting(0.0, at_least=0, below=1)
    """Share of the label that is spread evenly over all classes."""

    grad_accum_steps: int = setting(1, at_least=1)
    """Batches whose gradients are averaged into one optimizer step."""

    clip_grad: float | None = setting(None, above=0)
    """Clip the gradient to this norm; unset: not clipped."""

    ema_decay: float | None = setting(None, above=0, below=1)
    """Decay of a moving average of the weights, which is then evaluated and saved; unset: no average."""

    keep_checkpoints: int | None = setting(None, at_least=1)
    """Networks saved during training, evenly spaced over the epochs, the last one included; unset: none."""


@dataclass(frozen=True, kw_only=True)
class DeviceConfig:
    """Where to compute, and in which number format."""

    device: str = "auto"
    """`auto` (a GPU if there is one), `cpu`, `cuda`, `cuda:1`."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto`: bf16 if the processor has it and a timed step is faster with it; fp16 with loss scaling on GPUs
    without bf16; otherwise fp32. Losses are always computed in fp32.
    """

    compile: Literal["auto", "yes", "no"] = "auto"
    """Compile the network with torch.compile; `auto`: on a GPU, if the run is long enough to gain from it."""
