"""What a network does to an image first: scale, resize, standardise."""

import numpy as np
import torch
from PIL import Image
from torch import nn

from tutelage.models.preprocess import Classifier, Preprocess

MEAN, STD = (0.1, 0.5, 0.9), (0.2, 0.3, 0.4)


def batch_images(count: int = 3, size: int = 20) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    shape = (count, 3, size, size)
    return torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)


def test_standardised() -> None:
    """Each channel is (value / 255 - mean) / standard deviation, in fp32."""
    images = batch_images()
    found = Preprocess(size=20, mean=MEAN, std=STD)(images)
    expected = np.asarray(images, np.float64) / 255
    expected = (expected - np.reshape(MEAN, (1, 3, 1, 1))) / np.reshape(STD, (1, 3, 1, 1))
    assert found.dtype == torch.float32
    np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-5)


def test_resized() -> None:
    """Another input size is reached as Pillow's antialiased bilinear reaches it, within a level."""
    for size in (10, 33):
        images = batch_images(1)
        found = Preprocess(size=size, mean=(0.0,) * 3, std=(1.0,) * 3)(images)
        image = Image.fromarray(images[0].permute(1, 2, 0).contiguous().numpy())
        image = image.resize((size, size), Image.Resampling.BILINEAR)
        expected = np.asarray(image, np.float64).transpose(2, 0, 1) / 255
        np.testing.assert_allclose(found[0].numpy(), expected, atol=1.01 / 255)


def test_statistics_are_not_weights() -> None:
    """Mean and deviation move with the module but are no part of its state."""
    classifier = Classifier(nn.Flatten(), Preprocess(size=20, mean=MEAN, std=STD))
    assert classifier.state_dict() == {}
    assert classifier.to("meta").preprocess.mean.is_meta


def test_classifier() -> None:
    """A classifier takes stored images and gives logits."""
    network = nn.Sequential(nn.Flatten(), nn.Linear(1200, 5))
    classifier = Classifier(network, Preprocess(size=20, mean=MEAN, std=STD))
    output = classifier(batch_images())
    assert output.logits.shape == (3, 5)
    assert output.features == {}
