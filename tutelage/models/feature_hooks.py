"""Record features inside a network, by hooks at named points."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from tutelage.errors import UsageError, suggest
from tutelage.models.preprocess import Classifier
from tutelage.types import ModelOutput


class FeatureExtractor:
    """A classifier whose output also carries the features at some of its points.

    A point is a submodule's path (`layer3`) for its output, or `path.input` for its input. The extractor is
    no module itself, so it adds no names to what is saved; calling the classifier directly records nothing.
    """

    def __init__(self, classifier: Classifier, points: Sequence[str]) -> None:
        """Register a hook at each point.

        Raises:
            UsageError: the network has no such submodule.
        """
        self.classifier = classifier
        self._recorded: dict[str, Tensor] | None = None
        modules = dict(classifier.network.named_modules())
        for point in dict.fromkeys(points):
            if point in modules:
                modules[point].register_forward_hook(self._recorder(point, of_input=False))
            elif (path := point.removesuffix(".input")) in modules and path != point:
                modules[path].register_forward_hook(self._recorder(point, of_input=True))
            else:
                raise UsageError(
                    f"the network has no point {point}", expected=suggest(point, list(modules))
                )

    def _recorder(self, point: str, *, of_input: bool) -> Any:
        # A plain function: a copy of the network (a moving average) shares it, and records nothing.
        def record(_module: nn.Module, inputs: Any, output: Any) -> None:
            if self._recorded is not None:
                features = inputs[0] if of_input else output
                self._recorded[point] = channels_first(self.classifier.network, features)

        return record

    def __call__(self, images: Tensor) -> ModelOutput:
        """Compute logits and features: uint8 [B, 3, H, W] -> a ModelOutput with a tensor for each point."""
        features: dict[str, Tensor] = {}
        self._recorded = features
        try:
            logits = self.classifier(images).logits
        finally:
            self._recorded = None
        return ModelOutput(logits=logits, features=features)


def channels_first(network: nn.Module, features: Tensor) -> Tensor:
    """Return features with maps as [B, C, H, W], also for networks that keep channels last."""
    if features.ndim == 4 and getattr(network, "output_fmt", "NCHW") == "NHWC":
        return features.permute(0, 3, 1, 2)
    return features
