"""Settings of augmentation: the views a network is trained on. Evaluation uses the image as stored."""

import dataclasses
from dataclasses import dataclass

from tutelage.config.renamed import first_names
from tutelage.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """How each epoch's view of an image may differ from the image."""

    flip: bool = False
    """Mirror half of the views horizontally."""

    translate: int = setting(0, at_least=0)
    """Largest shift of a view in pixels, in each direction; the edge is repeated."""

    crop_scale: float | None = setting(None, above=0, at_most=1)
    """Random resized crop: the smallest share of the area that is kept. Unset: the whole image."""

    mixup: float | None = setting(None, above=0, at_most=1)
    """MixUp: blend each view with another image, with shares from Beta(a, a); this is a. Unset: no."""

    cutmix: float | None = setting(None, above=0, at_most=1)
    """CutMix: paste a patch of another image, its area from Beta(a, a); this is a. Unset: no."""

    num_views: int | None = setting(None, at_least=1)
    """Number of different views of an image; epochs cycle through them. Unset: a new one each epoch."""

    view_seed: int = setting(0, at_least=0, at_most=2**31)
    """Seed of the views. All seeds of a job share it, so that its students share cached teacher outputs."""

    @property
    def fixed(self) -> bool:
        """Whether every epoch has the same pixels, so that teacher outputs need computing only once."""
        return not (self.flip or self.translate or self.crop_scale is not None or self.mixing)

    @property
    def mixing(self) -> bool:
        """Whether views mix two images. With both MixUp and CutMix, each view draws one of them."""
        return self.mixup is not None or self.cutmix is not None

    def number(self, epoch: int) -> int:
        """Return the number of the view that an epoch (from 0) shows.

        >>> [AugmentationConfig(flip=True, num_views=2).number(epoch) for epoch in range(4)]
        [0, 1, 0, 1]
        """
        if self.fixed:
            return 0
        return epoch if self.num_views is None else epoch % self.num_views

    def count(self, epochs: int) -> int:
        """Return how many different views of each image some epochs show; they are numbered from 0."""
        if self.fixed:
            return 1
        return epochs if self.num_views is None else min(self.num_views, epochs)


NOT_IN_KEY = frozenset({"num_views"})
"""Settings that select views, and do not change the pixels of a numbered view."""


def view_key(settings: AugmentationConfig) -> dict[str, object]:
    """Collect the settings that change the pixels of a numbered view, by first names, for a cache key.

    Every setting of `AugmentationConfig` is part of the key, unless it is in `NOT_IN_KEY`.

    >>> sorted(view_key(AugmentationConfig(translate=2)))
    ['crop', 'cutmix', 'flip', 'mixup', 'seed', 'shift']
    """
    names = [field.name for field in dataclasses.fields(AugmentationConfig)]
    plain = first_names({n: getattr(settings, n) for n in names if n not in NOT_IN_KEY})
    return {"seed": plain.pop("view_seed"), **plain}
