"""Settings of the views a network is trained on. Measuring always uses the picture as stored."""

from dataclasses import dataclass

from tutelage.config import setting


@dataclass(frozen=True, kw_only=True)
class Views:
    """How each epoch's view of a picture may differ from the picture."""

    flip: bool = False
    """Mirror half of the views."""

    shift: int = setting(0, at_least=0)
    """Move each view by up to so many pixels each way, repeating the edge."""

    crop: float | None = setting(None, above=0, at_most=1)
    """Random resized crop: the smallest share of the area it may keep. Unset: the whole picture."""

    @property
    def fixed(self) -> bool:
        """Whether every epoch sees the same pixels, so that a teacher needs to look only once."""
        return not self.flip and self.shift == 0 and self.crop is None
