"""Settings of the views a network is trained on. Measuring always uses the image as stored."""

import dataclasses
from dataclasses import dataclass

from tutelage.config.renamed import first_names
from tutelage.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """How each epoch's view of an image may differ from the image."""

    flip: bool = False
    """Mirror half of the views."""

    translate: int = setting(0, at_least=0)
    """Move each view by up to so many pixels each way, repeating the edge."""

    crop_scale: float | None = setting(None, above=0, at_most=1)
    """Random resized crop: the smallest share of the area it may keep. Unset: the whole image."""

    mixup: float | None = setting(None, above=0, at_most=1)
    """Blend each view with another image's, in shares drawn from Beta(a, a); this is a."""

    cutmix: float | None = setting(None, above=0, at_most=1)
    """Put a piece of another image into each view, its size drawn from Beta(a, a); this is a."""

    num_views: int | None = setting(None, at_least=1)
    """How many different views of an image there are; epochs take turns. Unset: a new one each epoch."""

    view_seed: int = setting(0, at_least=0, at_most=2**31)
    """Seed of the views; the same for every seed of a job, so that its students share a teacher's word."""

    @property
    def fixed(self) -> bool:
        """Whether every epoch sees the same pixels, so that a teacher needs to look only once."""
        return not (self.flip or self.translate or self.crop_scale is not None or self.mixing)

    @property
    def mixing(self) -> bool:
        """Whether a view is made of two images. Both ways given: each view draws one of them."""
        return self.mixup is not None or self.cutmix is not None

    def number(self, epoch: int) -> int:
        """Which view of each image an epoch (from 0) shows.

        >>> [AugmentationConfig(flip=True, num_views=2).number(epoch) for epoch in range(4)]
        [0, 1, 0, 1]
        """
        if self.fixed:
            return 0
        return epoch if self.num_views is None else epoch % self.num_views

    def count(self, epochs: int) -> int:
        """How many different views of each image so many epochs show: those numbered below it."""
        if self.fixed:
            return 1
        return epochs if self.num_views is None else min(self.num_views, epochs)


NOT_IN_KEY = frozenset({"num_views"})
"""Settings that choose among views, and do not change what a numbered view shows."""


def view_key(settings: AugmentationConfig) -> dict[str, object]:
    """Collect all that shapes a numbered view, by first names: a part of a teacher cache's key.

    A setting added to `AugmentationConfig` is part of the key, unless `NOT_IN_KEY` leaves it out.

    >>> sorted(view_key(AugmentationConfig(translate=2)))
    ['crop', 'cutmix', 'flip', 'mixup', 'seed', 'shift']
    """
    names = [field.name for field in dataclasses.fields(AugmentationConfig)]
    plain = first_names({n: getattr(settings, n) for n in names if n not in NOT_IN_KEY})
    return {"seed": plain.pop("view_seed"), **plain}
