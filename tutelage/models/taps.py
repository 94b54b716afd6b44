"""Features from inside a network, recorded by hooks at named submodules."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from tutelage.errors import UsageError, suggest
from tutelage.models.preprocess import Classifier
from tutelage.nouns import Output


class Tapped(nn.Module):
    """A classifier whose output also carries what some of its submodules returned.

    Points are submodule paths of the network, such as `layer3` or `global_pool`.
    """

    def __init__(self, classifier: Classifier, points: Sequence[str]) -> None:
        """Put a hook at each point.

        Raises:
            UsageError: the network has no such submodule.
        """
        super().__init__()
        self.classifier = classifier
        self._recorded: dict[str, Tensor] = {}
        modules = dict(classifier.network.named_modules())
        for point in points:
            if point not in modules:
                raise UsageError(
                    f"the network has no point {point}", expected=suggest(point, list(modules))
                )
            modules[point].register_forward_hook(self._recorder(point))

    def _recorder(self, point: str) -> Any:
        def record(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
            self._recorded[point] = output

        return record

    def forward(self, images: Tensor) -> Output:
        """uint8 [B, 3, H, W] -> Output with a tensor for each point."""
        logits = self.classifier(images).logits
        features, self._recorded = self._recorded, {}
        return Output(logits=logits, features=features)


def pooled(features: Tensor) -> Tensor:
    """The mean over positions: [B, C, H, W] -> [B, C], tokens [B, N, C] -> [B, C], [B, D] as it is."""
    if features.ndim == 4:
        return features.mean((2, 3))
    return features.mean(1) if features.ndim == 3 else features
