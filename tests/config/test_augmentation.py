"""The settings of views that are a part of a teacher cache's key."""

import dataclasses

from tutelage.config.augmentation import NOT_IN_KEY, AugmentationConfig, view_key
from tutelage.config.renamed import first_names

FIRST = {"flip", "translate", "crop_scale", "mixup", "cutmix", "view_seed"}
"""Settings that every key has; later ones are in a key where they are not as by default."""
IN_KEY = FIRST | {
    "color_jitter", "rotation", "rand_augment", "trivial_augment", "random_erasing"
}  # fmt: skip
"""Settings that change what a numbered view shows. Add a new one here, or to `NOT_IN_KEY` in the code."""


def test_every_setting_is_classified() -> None:
    """A new augmentation is either in the key or named as one that changes no pixel of a numbered view."""
    fields = {field.name for field in dataclasses.fields(AugmentationConfig)}
    assert fields == IN_KEY | NOT_IN_KEY
    assert not IN_KEY & NOT_IN_KEY


def test_every_setting_in_the_key_changes_it() -> None:
    """Another value of each of them makes another key; of the others it does not."""
    usual = AugmentationConfig()
    others = {
        "flip": True,
        "translate": 1,
        "crop_scale": 0.5,
        "mixup": 0.2,
        "cutmix": 0.3,
        "view_seed": 7,
        "color_jitter": (0.4, 0.4, 0.4, 0.1),
        "rotation": 10.0,
        "rand_augment": (2, 9),
        "trivial_augment": True,
        "random_erasing": 0.25,
    }
    assert others.keys() == IN_KEY
    for name, value in others.items():
        assert view_key(dataclasses.replace(usual, **{name: value})) != view_key(usual), name
    assert view_key(dataclasses.replace(usual, num_views=3)) == view_key(usual)


def test_names_are_the_first_ones() -> None:
    """Renaming a setting must not make all caches others."""
    first = set(first_names(dict.fromkeys(FIRST))) - {"view_seed"}
    assert set(view_key(AugmentationConfig())) == first | {"seed"}
