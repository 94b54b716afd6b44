"""Partners: another image of the class, the same in any batch, process or resume, drawn evenly."""

from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor

from tutelage.config.augmentation import AugmentationConfig
from tutelage.data.loading.loader import Loader, reading_loader, training_loader
from tutelage.data.loading.same_class import draw_same_class
from tutelage.data.pack.pack import Pack
from tutelage.distributed import ALONE, World
from tutelage.errors import UsageError
from tutelage.types import Batch

CPU = torch.device("cpu")
VIEWS = AugmentationConfig(flip=True, translate=2, crop_scale=0.5)
FIXED = AugmentationConfig()

# Rows 3, 5, ... of a larger table: two classes of several, one image alone in its class, two without label.
ROWS = torch.tensor([3, 5, 6, 8, 9, 10, 12, 14, 15, 17])
LABELS = np.full(20, 7)
LABELS[ROWS.numpy()] = [0, 1, 0, 1, 0, 2, -1, 0, 1, -1]
KEYS = np.random.default_rng(0).integers(-(2**63), 2**63, 20)


def planned(epoch: int, *, seed: int = 0, rows: Tensor = ROWS) -> list[int]:
    return draw_same_class(
        rows, among=ROWS, labels=LABELS, keys=KEYS, epoch=epoch, seed=seed
    ).tolist()


def loader(
    pack: Pack, views: AugmentationConfig = VIEWS, *, size: int = 33, world: World = ALONE
) -> Loader:
    return training_loader(
        pack, batch_size=size, views=views, seed=4, device=CPU, world=world, partners=True
    )


def partners_of(batches: list[Batch]) -> dict[int, Tensor]:
    """Each image's partner by its id."""
    found: dict[int, Tensor] = {}
    for batch in batches:
        assert batch.partners is not None
        found |= dict(zip(batch.ids.tolist(), batch.partners, strict=True))
    return found


def test_of_the_class_and_another() -> None:
    """Whoever has companions in its class gets one of them; whoever has none, or no label, itself."""
    for epoch in range(30):
        for row, partner in zip(ROWS.tolist(), planned(epoch), strict=True):
            if LABELS[row] in (-1, 2):
                assert partner == row
            else:
                assert LABELS[partner] == LABELS[row]
                assert partner != row


def test_equal_chances() -> None:
    """Over 3000 epochs each of the three others comes 1000 times, give or take four deviations."""
    rows = torch.tensor([6])
    drawn = Counter(planned(epoch, rows=rows)[0] for epoch in range(3000))
    assert set(drawn) == {3, 9, 14}
    deviation = (3000 * (1 / 3) * (2 / 3)) ** 0.5
    assert all(abs(count - 1000) < 4 * deviation for count in drawn.values())


def test_a_function_of_image_epoch_and_seed() -> None:
    """Whatever stands beside it, in whatever order; another epoch or seed draws anew."""
    for row, partner in zip(ROWS.tolist(), planned(2), strict=True):
        assert planned(2, rows=torch.tensor([row])) == [partner]
    assert planned(2, rows=ROWS.flip(0)) == planned(2)[::-1]
    assert len({tuple(planned(e, seed=s)) for e in range(3) for s in range(3)}) == 9


@pytest.mark.parametrize("views", [FIXED, VIEWS])
def test_partners_are_shown_as_in_this_epoch(small_pack: Pack, views: AugmentationConfig) -> None:
    """Pixel for pixel the view of this number of the planned image, beside the images as they were."""
    rows = small_pack.rows("train")
    for epoch in (0, 1):
        batches = list(loader(small_pack, views).epoch(epoch))
        view = views.number(epoch)
        reader = reading_loader(
            small_pack, rows, batch_size=200, device=CPU, views=views, view=view
        )
        shown = dict(zip(rows.tolist(), next(reader.epoch()).images, strict=True))
        order = torch.cat([batch.ids for batch in batches])
        planned_rows = draw_same_class(
            order,
            among=torch.from_numpy(rows),
            labels=small_pack.labels,
            keys=small_pack.keys,
            epoch=epoch,
            seed=4,
        ).tolist()
        found = partners_of(batches)
        for row, partner in zip(order.tolist(), planned_rows, strict=True):
            assert small_pack.labels[row] == small_pack.labels[partner]
            assert torch.equal(found[row], shown[partner])
        plain = training_loader(small_pack, batch_size=33, views=views, seed=4, device=CPU)
        for batch, alone in zip(batches, plain.epoch(epoch), strict=True):
            assert torch.equal(batch.images, alone.images)
            assert torch.equal(batch.ids, alone.ids)
            assert alone.partners is None


def test_the_same_in_any_batch_process_or_resume(small_pack: Pack) -> None:
    """Batches of 7 or 33, one process or two, from the start or from the third batch."""
    whole = list(loader(small_pack).epoch(1))
    expected = partners_of(whole)
    two = [b for rank in (0, 1) for b in loader(small_pack, world=World(rank, 2)).epoch(1)]
    for found in (partners_of(list(loader(small_pack, size=7).epoch(1))), partners_of(two)):
        assert found.keys() == expected.keys()
        assert all(torch.equal(found[row], expected[row]) for row in expected)
    for found_batch, batch in zip(loader(small_pack).epoch(1, start=3), whole[3:], strict=True):
        assert found_batch.partners is not None
        assert batch.partners is not None
        assert torch.equal(found_batch.partners, batch.partners)


def test_fixed_views_draw_anew_each_epoch(small_pack: Pack) -> None:
    """Where every epoch shows the same pixels, who stands beside whom still changes."""
    first, second = (partners_of(list(loader(small_pack, FIXED).epoch(epoch))) for epoch in (0, 1))
    assert sum(torch.equal(first[row], second[row]) for row in first) < len(first) / 2


def test_mixtures_have_none(small_pack: Pack) -> None:
    """An image of two classes is refused, not shown without its partner."""
    with pytest.raises(UsageError, match="no partner"):
        loader(small_pack, AugmentationConfig(mixup=0.4))
