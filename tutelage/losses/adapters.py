"""Adapters that bring a student's features to the shape of its teacher's, trained with the student.

They are built from the shapes of two points, and dropped when training is done.
"""

from torch import Tensor, nn

from tutelage.losses.checks import check_batchnorm
from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.shapes import as_map, channels, same_size


def make_adapter(pair: LayerPair, *, activation: bool = False) -> nn.Module:
    """Build a layer from the student's channels to the teacher's; width and height stay as they are.

    Maps and tokens: 1 x 1 convolution and BatchNorm, and a ReLU with `activation` (for features that come
    after one). Vectors: a linear layer.
    """
    have, want = channels(pair.student), channels(pair.teacher)
    if len(pair.student.shape) == 1:
        return nn.Linear(have, want)
    parts: list[nn.Module] = [nn.Conv2d(have, want, 1, bias=False), nn.BatchNorm2d(want)]
    if activation:
        parts.append(nn.ReLU())
    return nn.Sequential(*parts)


def adapt(
    adapter: nn.Module, student: Tensor, teacher: Tensor, *, term: str
) -> tuple[Tensor, Tensor]:
    """Bring both features to one shape: maps of the smaller size, the student's through the adapter.

    Args:
        adapter: of the pair.
        student: [B, C, H, W], [B, N, C] or [B, D]; tokens become maps.
        teacher: the same kind.
        term: for messages.

    Raises:
        InputError: tokens that form no square; one number a channel, which BatchNorm cannot normalise.
    """
    if student.ndim > 2 or teacher.ndim > 2:
        student, teacher = same_size(as_map(student, term=term), as_map(teacher, term=term))
        check_batchnorm(adapter, student, term=term)
    return adapter(student), teacher
