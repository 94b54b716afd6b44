"""Settings of training: how long, with what optimizer, at which precision."""

from dataclasses import dataclass
from typing import Literal

from tutelage.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class OptimizationConfig:
    """How a network is trained."""

    epochs: int = setting(10, at_least=0)
    """Passes over the training split."""

    batch_size: int = setting(32, at_least=1)
    """Images a step."""

    optimizer: Literal["adam", "adamw", "sgd"] = "adam"
    """The optimizer; sgd uses Nesterov momentum where `momentum` is above 0."""

    lr: float = setting(1e-3, above=0)
    """Learning rate at its highest."""

    weight_decay: float = setting(0.0, at_least=0)
    """L2 penalty (adam, sgd) or decoupled decay (adamw) of weights; biases and norms are left out."""

    momentum: float = setting(0.9, at_least=0, below=1)
    """Momentum of sgd."""

    schedule: Literal["constant", "cosine", "step"] = "constant"
    """How the learning rate falls: not, along a half cosine to zero, or tenfold at each of `milestones`."""

    milestones: tuple[float, ...] = setting((0.6, 0.8), above=0, below=1)
    """Shares of training (after the warm-up) at which schedule `step` divides the learning rate by ten."""

    warmup_epochs: float = setting(0.0, at_least=0)
    """Epochs over which the learning rate rises linearly from zero."""

    label_smoothing: float = setting(0.0, at_least=0, below=1)
    """Share of the label spread evenly over all classes."""

    grad_accum_steps: int = setting(1, at_least=1)
    """Batches whose gradients are averaged into one optimizer step."""

    clip_grad: float | None = setting(None, above=0)
    """Largest norm of the gradient; unset: not clipped."""

    ema_decay: float | None = setting(None, above=0, below=1)
    """Decay of a moving average of the weights, which is then what is measured and saved; unset: none."""

    keep_checkpoints: int | None = setting(None, at_least=1)
    """Networks kept on the way, evenly spaced over the epochs, the last one included; unset: none."""


@dataclass(frozen=True, kw_only=True)
class DeviceConfig:
    """Where and how exactly to compute."""

    device: str = "auto"
    """`auto` (a GPU where there is one), `cpu`, `cuda`, `cuda:1`."""

    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """`auto`: bf16 where the processor has it and a timed step is faster with it; fp16 with loss scaling on
    GPUs without bf16; else fp32. Losses are always computed in fp32.
    """

    compile: Literal["auto", "yes", "no"] = "auto"
    """Compile the network with torch.compile; `auto`: on a GPU, where the run is long enough to win by it."""
