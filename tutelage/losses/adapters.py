"""What brings a student's features to the shape of its teacher's; trained with the student.

Adapters build themselves from the shapes of two points, and are dropped when training is done.
"""

from torch import Tensor, nn

from tutelage.errors import InputError
from tutelage.losses.layer_pairs import LayerPair
from tutelage.losses.shapes import as_map, channels, same_size


def make_adapter(pair: LayerPair, *, activation: bool = False) -> nn.Module:
    """The student's channels -> the teacher's.

    Maps and tokens: 1 x 1 convolution and BatchNorm, and a ReLU with `activation` (for features that come
    after one). Vectors: a linear layer. Width and height stay as they are.
    """
    have, want = channels(pair.student), channels(pair.teacher)
    if len(pair.student.shape) == 1:
        return nn.Linear(have, want)
    parts: list[nn.Module] = [nn.Conv2d(have, want, 1, bias=False), nn.BatchNorm2d(want)]
    if activation:
        parts.append(nn.ReLU())
    return nn.Sequential(*parts)


def make_adapters(
    adapter: nn.Module, student: Tensor, teacher: Tensor, *, term: str
) -> tuple[Tensor, Tensor]:
    """Both features in one shape: maps of the smaller size (tokens become maps), the student's adapted.

    Args:
        adapter: of the pair.
        student: [B, C, H, W], [B, N, C] or [B, D].
        teacher: the same kind.
        term: for messages.

    Raises:
        InputError: tokens that form no square; one number a channel, which BatchNorm cannot normalise.
    """
    if student.ndim > 2 or teacher.ndim > 2:
        student, teacher = same_size(as_map(student, term=term), as_map(teacher, term=term))
        if adapter.training and student[:, 0].numel() == 1:
            raise InputError(
                f"{term}: the adapter's BatchNorm cannot normalise one number a channel",
                found=f"features {list(student.shape)}",
                expected="more images in the batch, or a point with more places",
                fix="a larger --batch-size",
            )
    return adapter(student), teacher
