"""Features from inside a network, recorded by hooks at named points."""

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from tutelage.errors import UsageError, suggest
from tutelage.models.preprocess import Classifier
from tutelage.types import ModelOutput


class FeatureExtractor:
    """A classifier whose output also carries what happened at some of its points.

    A point is a submodule's path (`layer3`), for what it returns, or `path.input`, for what it is given. No
    module itself, so that it adds no names to what is saved; nothing is recorded when the classifier is
    called otherwise.
    """

    def __init__(self, classifier: Classifier, points: Sequence[str]) -> None:
        """Put a hook at each point.

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
        # A plain function: a copy of the network (a moving average) then shares it, and stays silent.
        def record(_module: nn.Module, given: Any, gave: Any) -> None:
            if self._recorded is not None:
                features = given[0] if of_input else gave
                self._recorded[point] = sample_input(self.classifier.network, features)

        return record

    def __call__(self, images: Tensor) -> ModelOutput:
        """uint8 [B, 3, H, W] -> Output with a tensor for each point."""
        features: dict[str, Tensor] = {}
        self._recorded = features
        try:
            logits = self.classifier(images).logits
        finally:
            self._recorded = None
        return ModelOutput(logits=logits, features=features)


def sample_input(network: nn.Module, features: Tensor) -> Tensor:
    """Features as terms take them: maps are [B, C, H, W], also of networks that keep channels last."""
    if features.ndim == 4 and getattr(network, "output_fmt", "NCHW") == "NHWC":
        return features.permute(0, 3, 1, 2)
    return features
