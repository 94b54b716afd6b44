"""Settings of the views a network is trained on. Measuring always uses the picture as stored."""

from dataclasses import dataclass

from tutelage.config.schema import setting


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig:
    """How each epoch's view of a picture may differ from the picture."""

    flip: bool = False
    """Mirror half of the views."""

    shift: int = setting(0, at_least=0)
    """Move each view by up to so many pixels each way, repeating the edge."""

    crop: float | None = setting(None, above=0, at_most=1)
    """Random resized crop: the smallest share of the area it may keep. Unset: the whole picture."""

    mixup: float | None = setting(None, above=0, at_most=1)
    """Blend each view with another picture's, in shares drawn from Beta(a, a); this is a."""

    cutmix: float | None = setting(None, above=0, at_most=1)
    """Put a piece of another picture into each view, its size drawn from Beta(a, a); this is a."""

    distinct: int | None = setting(None, at_least=1)
    """How many different views of a picture there are; epochs take turns. Unset: a new one each epoch."""

    view_seed: int = setting(0, at_least=0, at_most=2**31)
    """Seed of the views; the same for every seed of a job, so that its students share a teacher's word."""

    @property
    def fixed(self) -> bool:
        """Whether every epoch sees the same pixels, so that a teacher needs to look only once."""
        return not (self.flip or self.shift or self.crop is not None or self.mixing)

    @property
    def mixing(self) -> bool:
        """Whether a view is made of two pictures. Both ways given: each view draws one of them."""
        return self.mixup is not None or self.cutmix is not None

    def number(self, epoch: int) -> int:
        """Which view of each picture an epoch (from 0) shows.

        >>> [Views(flip=True, distinct=2).number(epoch) for epoch in range(4)]
        [0, 1, 0, 1]
        """
        if self.fixed:
            return 0
        return epoch if self.distinct is None else epoch % self.distinct

    def count(self, epochs: int) -> int:
        """How many different views of each picture so many epochs show: those numbered below it."""
        if self.fixed:
            return 1
        return epochs if self.distinct is None else min(self.distinct, epochs)
