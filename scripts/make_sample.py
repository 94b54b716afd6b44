"""Make the bundled sample: 13,000 Fashion-MNIST images as a zip, the same bytes every time.

    python scripts/make_sample.py [FOLDER WITH THE FOUR OFFICIAL FILES] [OUTPUT]

1,300 images a class are drawn with a fixed seed from the 60,000 training images: 780 to train/, 260
to val/, and 260 to test/, where the files are shuffled and named by position, so that nothing tells
their class. On Debian the package dataset-fashion-mnist holds the official files.
"""

import io
import random
import struct
import sys
import zipfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tutelage.data.readers.idx import read_idx

FOLDER = Path("/usr/share/datasets/fashion-mnist")
OUTPUT = Path(__file__).parent.parent / "tutelage" / "samples" / "fashion-mnist.zip"
CLASSES = (
    "T-shirt",  # officially T-shirt/top, which is no folder name
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
TRAIN, VAL, TEST = 780, 260, 260
SEED = 0


def main(folder: Path = FOLDER, output: Path = OUTPUT) -> None:
    images = read_idx(folder / "train-images-idx3-ubyte.gz")
    labels = read_idx(folder / "train-labels-idx1-ubyte.gz")
    files = sorted(choose(images, labels).items())
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as target:
        for name, image in files:
            add(target, name, png(image))
    output.write_bytes(archive.getvalue())
    print(f"{output.name}: {len(files)} images, {output.stat().st_size:,} bytes")


def choose(images: NDArray[np.uint8], labels: NDArray[np.uint8]) -> dict[str, NDArray[np.uint8]]:
    """The drawn images [28, 28] by their name in the sample."""
    draw = random.Random(SEED)
    files = {}
    hidden: list[int] = []
    for index, name in enumerate(CLASSES):
        rows = np.flatnonzero(labels == index).tolist()
        drawn = draw.sample(rows, TRAIN + VAL + TEST)
        for split, part in (("train", drawn[:TRAIN]), ("val", drawn[TRAIN : TRAIN + VAL])):
            files.update({f"{split}/{name}/{row:05d}.png": images[row] for row in part})
        hidden += drawn[TRAIN + VAL :]
    draw.shuffle(hidden)
    files.update({f"test/{place:05d}.png": images[row] for place, row in enumerate(hidden)})
    return files


def png(image: NDArray[np.uint8]) -> bytes:
    """A grey image [H, W] as the smallest PNG of 5 filters and 4 ways to deflate."""
    height, width = image.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    bodies = [
        deflate(filtered(image, kind), strategy)
        for kind in range(5)
        for strategy in (
            zlib.Z_DEFAULT_STRATEGY,
            zlib.Z_FILTERED,
            zlib.Z_RLE,
            zlib.Z_HUFFMAN_ONLY,
        )
    ]
    body = min(bodies, key=len)
    chunks = ((b"IHDR", header), (b"IDAT", body), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(kind, content) for kind, content in chunks)


def chunk(kind: bytes, content: bytes) -> bytes:
    check = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", check)


def deflate(raw: bytes, strategy: int) -> bytes:
    compressor = zlib.compressobj(9, zlib.DEFLATED, 15, 9, strategy)
    return compressor.compress(raw) + compressor.flush()


def filtered(image: NDArray[np.uint8], kind: int) -> bytes:
    """The rows of a grey image under one PNG filter: none, sub, up, average or Paeth."""
    now = image.astype(np.int16)
    left, up, corner = np.zeros_like(now), np.zeros_like(now), np.zeros_like(now)
    left[:, 1:], up[1:], corner[1:, 1:] = now[:, :-1], now[:-1], now[:-1, :-1]
    near = left + up - corner
    far = [np.abs(near - neighbour) for neighbour in (left, up, corner)]
    paeth = np.where(
        (far[0] <= far[1]) & (far[0] <= far[2]), left, np.where(far[1] <= far[2], up, corner)
    )
    guess = (0, left, up, (left + up) // 2, paeth)[kind]
    rows = ((now - guess) % 256).astype(np.uint8)
    return np.concatenate([np.full((len(rows), 1), kind, np.uint8), rows], axis=1).tobytes()


def add(target: zipfile.ZipFile, name: str, content: bytes) -> None:
    """One member with a fixed time stamp, stored or deflated, whichever is smaller."""
    member = zipfile.ZipInfo(name, (2017, 8, 25, 0, 0, 0))
    member.create_system = 3
    member.external_attr = 0o100644 << 16
    smaller = len(deflate(content, zlib.Z_DEFAULT_STRATEGY)) - 6 < len(content)
    member.compress_type = zipfile.ZIP_DEFLATED if smaller else zipfile.ZIP_STORED
    target.writestr(member, content, compresslevel=9)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:3]))
