"""The small-image stem: 3 x 3, stride 1, no pooling, as in ResNets for 32-pixel images."""

from torch import nn

from tutelage.errors import UsageError


def use_small_stem(network: nn.Module, name: str) -> None:
    """Replace a ResNet's first convolution by 3 x 3, stride 1, and the pooling after it by nothing.

    He et al. 2016 (arXiv:1512.03385), section 4.2. The new convolution starts from random weights.

    Raises:
        UsageError: the network has no such stem.
    """
    first, pool = getattr(network, "conv1", None), getattr(network, "maxpool", None)
    if not isinstance(first, nn.Conv2d) or pool is None:
        raise UsageError(
            f"{name} has no stem that can be made small",
            expected="a network of the ResNet family (conv1 and maxpool)",
            fix="--stem standard, or a ResNet",
        )
    small = nn.Conv2d(
        first.in_channels,
        first.out_channels,
        kernel_size=3,
        padding=1,
        bias=first.bias is not None,
    )
    nn.init.kaiming_normal_(small.weight, mode="fan_out", nonlinearity="relu")
    network.conv1 = small
    network.maxpool = nn.Identity()
