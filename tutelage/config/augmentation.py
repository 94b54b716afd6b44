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

    color_jitter: tuple[float, float, float, float] | None = setting(None, at_least=0, at_most=1)
    """Largest relative change of brightness, contrast and saturation, and largest shift of the hue as a share
    of the circle (up to 0.5), such as 0.4 0.4 0.4 0.1. Unset: no."""

    rotation: float | None = setting(None, above=0, at_most=180)
    """Largest rotation in degrees, either way; black comes in at the corners. Unset: no."""

    rand_augment: tuple[int, int] | None = setting(None, at_least=1, at_most=30)
    """RandAugment: how many operations, and their magnitude from 1 to 30, such as 2 9. Unset: no."""

    trivial_augment: bool = setting(False, added=True)
    """TrivialAugment (wide): one operation of a random magnitude."""

    random_erasing: float | None = setting(None, above=0, at_most=1)
    """Random erasing: the share of views in which a box becomes the image's mean colour. Unset: no."""

    num_views: int | None = setting(None, at_least=1)
    """Number of different views of an image; epochs cycle through them. Unset: a new one each epoch."""

    view_seed: int = setting(0, at_least=0, at_most=2**31)
    """Seed of the views. All seeds of a job share it, so that its students share cached teacher outputs."""

    @property
    def fixed(self) -> bool:
        """Whether every epoch has the same pixels, so that teacher outputs need computing only once."""
        drawn = (self.crop_scale, self.color_jitter, self.rotation, self.rand_augment)
        unset = all(one is None for one in (*drawn, self.random_erasing))
        return unset and not (self.flip or self.translate or self.trivial_augment or self.mixing)

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


_ADDED = ("color_jitter", "rotation", "rand_augment", "trivial_augment", "random_erasing")
"""Settings that are in a key where they are not as by default."""

NOT_IN_KEY = frozenset({"num_views"})
"""Settings that select views, and do not change the pixels of a numbered view."""


def view_key(settings: AugmentationConfig) -> dict[str, object]:
    """Collect the settings that change the pixels of a numbered view, by first names, for a cache key.

    Every setting of `AugmentationConfig` is part of the key, unless it is in `NOT_IN_KEY`, or was added later
    and has its default.

    >>> sorted(view_key(AugmentationConfig(translate=2)))
    ['crop', 'cutmix', 'flip', 'mixup', 'seed', 'shift']
    """
    values = {f.name: getattr(settings, f.name) for f in dataclasses.fields(AugmentationConfig)}
    kept = {n: v for n, v in values.items() if n not in NOT_IN_KEY and (n not in _ADDED or v)}
    plain = first_names(kept)
    return {"seed": plain.pop("view_seed"), **plain}
