"""A believable job folder: real images, real predictions of small linear models, counted metrics.

The networks are multinomial logistic regressions on pixels, trained by full-batch Adam for a few
epochs. The teacher sees every training image at 14 x 14; students and controls see few images at
7 x 7, and the students also the teacher's softened answers (T = 4, alpha = 0.7), so the differences
in the report are what such training really gives. Metrics come from scikit-learn.
"""

import csv
import io
import json
import zipfile
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from safetensors.numpy import save_file
from sklearn.metrics import confusion_matrix, log_loss, precision_recall_fscore_support

from tutelage.data.decode.prepare import pixel_key
from tutelage.data.pack.pack import SMALL
from tutelage.storage.checksums import checksums_of, write_sealed
from tutelage.storage.run_results import seal_run

Table = NDArray[Any]


def sample_images(count: int) -> tuple[Table, Table, list[str], list[str]]:
    """Pixels [N, 28, 28], labels [N], class names and file names from the bundled sample."""
    path = Path(str(files("tutelage") / "samples" / "fashion-mnist.zip"))
    pixels, labels, names = [], [], []
    with zipfile.ZipFile(path) as archive:
        entries = sorted(
            n for n in archive.namelist() if n.startswith("train/") and n.endswith(".png")
        )
        classes = sorted({entry.split("/")[-2] for entry in entries})
        chosen = np.random.default_rng(7).permutation(len(entries))[:count]
        for index in chosen:
            with Image.open(io.BytesIO(archive.read(entries[index]))) as image:
                pixels.append(np.asarray(image.convert("L")))
            labels.append(classes.index(entries[index].split("/")[-2]))
            names.append(entries[index])
    return np.stack(pixels), np.array(labels), classes, names


def make_job(
    job: Path,
    *,
    seeds: int = 3,
    count: int = 1200,
    epochs: int = 20,
    controls: bool = True,
    labelled_test: bool = False,
    latency: bool = True,
    rename: Callable[[str], str] = str,
    file_rename: Callable[[str], str] = str,
    title: str = "Fashion images, a small student",
    teacher_weights: str = "none",
    model: tuple[str, str] = ("resnet34", "resnet18"),
    kinds: int = 10,
) -> Path:
    """Write the whole folder; the same arguments give the same bytes."""
    pixels, labels, classes, names = sample_images(count)
    pixels, labels, classes, names = _regroup(pixels, labels, classes, names, kinds)
    count = len(pixels)
    classes = [rename(name) for name in classes]
    names = [file_rename(name) for name in names]
    splits = np.zeros(count, dtype=np.uint8)
    splits[count * 6 // 10 :] = 1
    splits[count * 8 // 10 :] = 2
    shown = labels.copy()
    if not labelled_test:
        shown[splits == 2] = -1
    job.mkdir(parents=True, exist_ok=True)
    _write_pack(job, pixels, shown, splits, classes, names)
    wide, narrow = _features(pixels, 14), _features(pixels, 7)
    runs = [("teacher", "teacher", 0)]
    runs += [(f"student-{seed}", "student", seed) for seed in range(seeds)]
    runs += [(f"control-{seed}", "control", seed) for seed in range(seeds) if controls]
    train = np.flatnonzero(splits == 0)
    few = train[:120]
    one_hot = np.eye(len(classes))[labels]
    teacher, history = _fit(wide, one_hot, train, epochs, 0, wide, labels, splits)
    soft = _softmax(teacher / 4)
    for name, role, seed in runs:
        if role == "teacher":
            logits, journal, chosen = teacher, history, model[0]
        else:
            target = 0.3 * one_hot + 0.7 * soft if role == "student" else one_hot
            logits, journal = _fit(narrow, target, few, epochs, seed, narrow, labels, splits)
            chosen = model[1]
        folder = job / name
        write_run(
            folder, name, role, seed, chosen, logits, shown, splits, classes, journal,
            teacher=None if role == "teacher" else teacher,
            weights=teacher_weights if role == "teacher" else "none", latency=latency,
        )  # fmt: skip
    write_sealed(job / "plan.json", {
        "format": 1, "recipe": "demo", "title": title, "temperature": 4.0, "alpha": 0.7,
        "runs": [{"name": n, "role": r, "seed": s, "folder": n} for n, r, s in runs],
    })  # fmt: skip
    (job / "config.toml").write_text('seed = 0\n[student]\nmodel = "resnet18"\nlr = 0.001\n')
    return job


def metrics(
    logits: Table, labels: Table, classes: list[str], teacher: Table | None
) -> dict[str, Any]:
    """METRICS of the contract, by scikit-learn where it has them."""
    count, kinds = logits.shape[0], np.arange(len(classes))
    probabilities, predicted = _softmax(logits), logits.argmax(axis=1)
    precision, recall, f1, support = precision_recall_fscore_support(
        labels, predicted, labels=kinds, zero_division=0.0
    )
    accuracy = float((predicted == labels).mean())
    centre = (accuracy + 1.92072941 / count) / (1 + 3.84145882 / count)
    half = 1.95996398 * np.sqrt(accuracy * (1 - accuracy) / count + 0.96036471 / count**2)
    half /= 1 + 3.84145882 / count
    confidence, bins = probabilities.max(axis=1), []
    index = np.clip(np.ceil(confidence * 15).astype(int) - 1, 0, 14)
    for number in range(15):
        inside = index == number
        some = bool(inside.any())
        bins.append({
            "lower": number / 15, "upper": (number + 1) / 15, "count": int(inside.sum()),
            "confidence": float(confidence[inside].mean()) if some else 0.0,
            "accuracy": float((predicted == labels)[inside].mean()) if some else 0.0,
        })  # fmt: skip
    ece = sum(b["count"] / count * abs(b["accuracy"] - b["confidence"]) for b in bins)
    top5 = (np.argsort(-logits, axis=1)[:, :5] == labels[:, None]).any(axis=1).mean()
    fidelity = None
    if teacher is not None:
        words = _softmax(teacher)
        kl = (words * (np.log(words) - np.log(probabilities))).sum(axis=1).mean()
        agreement = float((teacher.argmax(axis=1) == predicted).mean())
        fidelity = {"agreement": agreement, "kl": float(kl)}
    return {
        "images": count, "accuracy": accuracy,
        "accuracy_interval": [float(centre - half), float(centre + half)],
        "top5": float(top5) if len(classes) > 5 else None, "macro_f1": float(f1.mean()),
        "nll": float(log_loss(labels, probabilities, labels=kinds)),
        "brier": float(((probabilities - np.eye(len(classes))[labels]) ** 2).sum(axis=1).mean()),
        "ece": float(ece), "reliability": bins, "fidelity": fidelity,
        "confusion": confusion_matrix(labels, predicted, labels=kinds).tolist(),
        "per_class": [
            {"class": name, "images": int(s), "precision": float(p), "recall": float(r),
             "f1": float(f)}
            for name, s, p, r, f in zip(classes, support, precision, recall, f1, strict=True)
        ],
    }  # fmt: skip


def write_run(
    folder: Path,
    name: str,
    role: str,
    seed: int,
    model: str,
    logits: Table,
    labels: Table,
    splits: Table,
    classes: list[str],
    journal: list[dict[str, Any]],
    *,
    teacher: Table | None,
    weights: str,
    latency: bool,
) -> None:
    """One finished run folder from the logits [N, C] of every image."""
    (folder / "predictions").mkdir(parents=True, exist_ok=True)
    scored: dict[str, Any] = {}
    for code, split in ((1, "val"), (2, "test")):
        rows = np.flatnonzero(splits == code)
        known = rows[labels[rows] >= 0]
        scored[split] = None
        if len(known):
            words = None if teacher is None else teacher[known]
            scored[split] = metrics(logits[known], labels[known], classes, words)
        save_file(
            {"ids": rows.astype(np.int64), "labels": labels[rows].astype(np.int64),
             "logits": np.ascontiguousarray(logits[rows], dtype=np.float32)},
            folder / "predictions" / f"{split}.safetensors",
        )  # fmt: skip
    big = model == "resnet34"
    cost = {
        "parameters": 21289802 if big else 11181642, "flops": 7336000000 if big else 3627000000,
        "size_bytes": 85300000 if big else 44800000, "input_size": 224,
        "parameters_1000": {"resnet34": 21797672, "resnet18": 11689512}.get(model),
        "flops_1000_224": {"resnet34": 7339000000, "resnet18": 3628000000}.get(model),
    }  # fmt: skip
    _json(folder / "scores.json", {
        "format": 1, "name": name, "role": role, "seed": seed, "model": model, "weights": weights,
        "published_name": "ResNet-34" if big else "ResNet-18", "epochs": len(journal),
        "last": {"epoch": len(journal), **scored}, "cost": cost,
        "best": {"epoch": max(1, len(journal) - 2), "chosen_on": "val", **scored},
    })  # fmt: skip
    _json(folder / "environment.json", {
        "tutelage": "0.1.0", "python": "3.11", "torch": "2.15.0", "device": "cpu", "threads": 2,
    })  # fmt: skip
    speed = 410.0 if big else 655.0
    rows_of = [{"batch": b, "p50_ms": 9.1 * b**0.7, "p95_ms": 11.3 * b**0.7, "device": "cpu"}
               for b in (1, 32)]  # fmt: skip
    _json(folder / "timings.json", {
        "total_seconds": 61.5 if big else 140.25, "teacher_pass_seconds": None if big else 3.2,
        "epochs": [{"seconds": 3.0, "images_per_second": speed, "data_wait": 0.02}] * len(journal),
        "latency": rows_of if latency else [],
    })  # fmt: skip
    lines = [{"event": "start"}, *journal, {"event": "end"}]
    (folder / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "config.toml").write_text(f'seed = {seed}\nmodel = "{model}"\n[optim]\nlr = 0.001\n')
    seal_run(folder, {"name": name, "role": role, "seed": seed})


def _regroup(
    pixels: Table, labels: Table, classes: list[str], names: list[str], kinds: int
) -> tuple[Table, Table, list[str], list[str]]:
    """Fewer classes by leaving some out, or more by dividing each by the number of the image."""
    if kinds > len(classes):
        parts = kinds // len(classes)
        labels = labels * parts + np.arange(len(labels)) % parts
        return pixels, labels, [f"{n} {k:03d}" for n in classes for k in range(parts)], names
    keep = np.flatnonzero(labels < kinds)
    return pixels[keep], labels[keep], classes[:kinds], [names[index] for index in keep]


def _fit(
    inputs: Table, targets: Table, rows: Table, epochs: int, seed: int, features: Table,
    labels: Table, splits: Table,
) -> tuple[Table, list[dict[str, Any]]]:  # fmt: skip
    """Softmax regression by Adam in small batches; logits of all images and the journal."""
    random = np.random.default_rng(seed)
    weight = random.normal(0, 0.05, (inputs.shape[1], targets.shape[1]))
    first, second, step, journal = np.zeros_like(weight), np.zeros_like(weight), 0, []
    val = np.flatnonzero(splits == 1)
    for epoch in range(1, epochs + 1):
        for batch in np.array_split(random.permutation(rows), max(1, len(rows) // 32)):
            step += 1
            error = _softmax(inputs[batch] @ weight) - targets[batch]
            gradient = inputs[batch].T @ error / len(batch)
            first = 0.9 * first + 0.1 * gradient
            second = 0.999 * second + 0.001 * gradient**2
            move = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
            weight = weight - 0.02 * move
        logits = features @ weight
        facts = {}
        for part, chosen in (("train", rows), ("val", val)):
            loss = log_loss(labels[chosen], _softmax(logits[chosen]), labels=range(logits.shape[1]))
            right = (logits[chosen].argmax(axis=1) == labels[chosen]).mean()
            facts[part] = {"loss": float(loss), "accuracy": float(right)}
        journal.append({"event": "epoch", "epoch": epoch, "lr": 0.02, **facts})
    return logits, journal


def _features(pixels: Table, side: int) -> Table:
    step = 28 // side
    small = pixels.reshape(-1, side, step, side, step).mean(axis=(2, 4)).reshape(-1, side * side)
    return np.hstack([small / 255 - 0.29, np.ones((len(small), 1))])


def _softmax(logits: Table) -> Table:
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def _write_pack(
    job: Path, pixels: Table, labels: Table, splits: Table, classes: list[str], names: list[str]
) -> None:
    pack, count = job / "pack", len(pixels)
    pack.mkdir(exist_ok=True)
    np.repeat(pixels[..., None], 3, axis=3).tofile(pack / "images.bin")
    labels.astype("<i8").tofile(pack / "labels.bin")
    splits.tofile(pack / "splits.bin")
    keys = [pixel_key(np.repeat(one[..., None], 3, axis=2)) for one in pixels]
    np.array(keys, "<i8").tofile(pack / "keys.bin")
    for name in ("images.csv", "quarantine.csv"):
        (pack / name).write_text("")
    write_sealed(job / "data.json", {
        "format": 1, "fingerprint": "0123456789abcdef", "count": count, "image_size": 28,
        "classes": classes, "source": {"kind": "zip", "name": "fashion-mnist"},
        "settings": {"image_size": 28}, "notes": {"16-bit": 3}, "files": checksums_of(pack, SMALL),
        "quarantine": [{"file": names[0] + ".broken", "reason": "image file is truncated"}],
    })  # fmt: skip
    with (job / "split.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "split", "class", "file"])
        for number, (label, code, name) in enumerate(zip(labels, splits, names, strict=True)):
            kind = classes[label] if label >= 0 else ""
            writer.writerow([number, ("train", "val", "test")[code], kind, name])


def _json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=1), "utf-8")
