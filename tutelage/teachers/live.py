"""A live teacher: a frozen network that runs on every batch."""

from collections.abc import Sequence

import torch

from tutelage.models.feature_hooks import FeatureExtractor
from tutelage.models.preprocess import Classifier
from tutelage.types import START, Batch, Progress, TeacherOutput


class LiveTeacher:
    """A network in eval mode, without gradients; records features at `points`."""

    def __init__(self, classifier: Classifier, points: Sequence[str] = ()) -> None:
        self.classifier = classifier.eval().requires_grad_(False)
        self._look = FeatureExtractor(classifier, points) if points else classifier

    def __call__(self, batch: Batch, _progress: Progress = START, /) -> TeacherOutput:
        """Run the network on a batch; returns logits [B, C] in fp32, and features."""
        # no_grad rather than inference_mode: terms may save these tensors for their own backward pass.
        with torch.no_grad():
            output = self._look(batch.images)
        return TeacherOutput(logits=output.logits.float(), features=output.features)
