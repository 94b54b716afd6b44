"""Measure how hard each loss term pulls at the student: the norm of its weighted gradient."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from tutelage.engine.runtime.process_group import average_gradient
from tutelage.engine.train.state import TrainingState
from tutelage.types import LossOutput, Progress


def gradient_norms(
    state: TrainingState, outcome: LossOutput, progress: Progress
) -> dict[str, float]:
    """Compute the norm of each weighted term's gradient by the networks' weights, for one batch.

    A backward pass for each term, and the device is waited for: not for every step. A term that has no say
    now, or none about these weights, has the norm 0; one whose norm is not finite is left out.

    Args:
        state: the method in training.
        outcome: of a batch, whose graph is kept.
        progress: where training stands.
    """
    weights = state.method.weights_at(progress)
    networks = [state.method.student, *state.method.companions]
    parameters = [p for network in networks for p in network.parameters() if p.requires_grad]
    scale = state.scaler.get_scale() if state.scaler.is_enabled() else 1.0
    norms = {}
    for name, term in outcome.terms.items():
        weight = weights[name]
        value = term * weight * scale
        norms[name] = _norm(value, parameters) / scale if value.requires_grad and weight else 0.0
    return {name: norm for name, norm in norms.items() if math.isfinite(norm)}


def _norm(value: Tensor, parameters: Sequence[Tensor]) -> float:
    found = torch.autograd.grad(value, parameters, retain_graph=True, allow_unused=True)
    parts = [gradient.flatten().float() for gradient in found if gradient is not None]
    if not parts:
        return 0.0
    return float(average_gradient(torch.cat(parts)).norm())
