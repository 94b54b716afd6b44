"""Running sums of an epoch: kept on the device, read now and then, divided once at the end."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from tutelage.types import LossOutput


class LossMeters:
    """Images, labelled images, right answers, each term times its images, raw and weighted, in float64.

    A batch whose loss is not finite is left out, as its step is. `add` never waits for the device; `read`
    does.
    """

    def __init__(self, terms: Sequence[str], device: torch.device) -> None:
        self.terms = list(terms)
        self._sums = torch.zeros(4 + 2 * len(self.terms), dtype=torch.float64, device=device)

    def add(self, outcome: LossOutput, total: Tensor, weights: Mapping[str, float]) -> None:
        """Add a batch; in several processes each adds the whole batch, so that all sums are equal."""
        with torch.no_grad():
            size = len(outcome.labels)
            labelled = outcome.labels >= 0
            right = ((outcome.logits.argmax(1) == outcome.labels) & labelled).sum()
            raw = [outcome.terms[name] * size for name in self.terms]
            weighted = [weights[name] * of for name, of in zip(self.terms, raw, strict=True)]
            parts = [torch.full_like(total, size), labelled.sum(), right, total * size]
            parts += raw + weighted
            sums = torch.stack([part.detach().to(torch.float64) for part in parts])
            self._sums += torch.where(sums.isfinite().all(), sums, 0.0)

    def read(self) -> dict[str, Any]:
        """Return the means so far: loss, terms, accuracy (None without labels), shares of the loss."""
        images, labelled, right, total, *rest = self._sums.tolist()
        raw, weighted = rest[: len(self.terms)], rest[len(self.terms) :]
        count = max(images, 1)
        return {
            "images": int(images),
            "loss": total / count,
            "terms": {name: value / count for name, value in zip(self.terms, raw, strict=True)},
            "shares": {
                name: value / (total or 1.0)
                for name, value in zip(self.terms, weighted, strict=True)
            },
            "accuracy": right / labelled if labelled else None,
        }

    def state(self) -> list[float]:
        """Return the sums as plain numbers, exactly."""
        return self._sums.tolist()

    def restore(self, state: Sequence[float]) -> None:
        """Put saved sums back."""
        self._sums.copy_(torch.tensor(state, dtype=torch.float64))
