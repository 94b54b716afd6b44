"""Tutelage against torchdistill: the same job, with its `DistillationBox` and the loop of its examples.

    pip install --no-deps --target build/torchdistill -r benchmarks/requirements.txt
    PYTHONPATH=build/torchdistill python benchmarks/against_torchdistill.py --size 224
    PYTHONPATH=build/torchdistill python benchmarks/against_torchdistill.py --size 32

(`--no-deps`: torch, torchvision, numpy, scipy and PyYAML are here already.) The job, what is measured and
how is what `against_script.py` says; only the other side is another.

The other side: torchvision's networks and ImageFolder; the teacher live, in fp32 and in eval mode; loss
`KDLoss(temperature=4, alpha=0.3, beta=0.7)`, whose alpha is the weight of the labels; its MetricLogger, and
the loss read after every step, as in its image classification example. Loaders as in its example
`configs/sample/ilsvrc2012/kd/resnet18_from_resnet34.yaml`: batches of 32 in training and validation, workers
not persistent, memory pinned only for a GPU; but with as many workers as torch has threads, where that file
says 16: on two cores torch itself advises against more. Left out in its favour: saving a checkpoint
after each epoch that is better than those before.
"""

import time
from importlib.metadata import version
from typing import Any

import torch
from against_script import ALPHA, LR, TEMPERATURE, Run, compare, options
from folder_of_images import Task
from torch import nn
from torch.utils.data import DataLoader, RandomSampler, SequentialSampler
from torchvision.models import resnet18

try:
    from torchdistill.common.main_util import set_seed
    from torchdistill.core.distillation import DistillationBox, get_distillation_box
    from torchdistill.misc.log import MetricLogger, SmoothedValue
except ImportError as error:
    raise SystemExit(f"{error}; how to install it is at the top of this file") from error

LOG_EVERY = 1000


def configuration(task: Task, *, pin: bool) -> dict[str, Any]:
    """The `train` table of a torchdistill configuration."""
    loading = {
        "batch_size": task.batch,
        "num_workers": task.workers,
        "pin_memory": pin,
        "drop_last": False,
    }
    criterion = {
        "key": "KDLoss",
        "kwargs": {
            "student_module_path": ".",
            "student_module_io": "output",
            "teacher_module_path": ".",
            "teacher_module_io": "output",
            "temperature": TEMPERATURE,
            "alpha": 1 - ALPHA,
            "beta": ALPHA,
            "reduction": "batchmean",
        },
    }
    return {
        "num_epochs": task.epochs,
        "log_freq": LOG_EVERY,
        "train_data_loader": {
            "dataset_id": "train",
            "sampler": {"class_or_func": RandomSampler, "kwargs": {}},
            "kwargs": loading,
        },
        "val_data_loader": {
            "dataset_id": "val",
            "sampler": {"class_or_func": SequentialSampler, "kwargs": {}},
            "kwargs": loading,
        },
        "teacher": {"forward_proc": "forward_batch_only", "requires_grad": False},
        "student": {"forward_proc": "forward_batch_only", "requires_grad": True},
        "optimizer": {"key": "Adam", "kwargs": {"lr": LR}},
        "criterion": {
            "key": "WeightedSumLoss",
            "kwargs": {"sub_terms": {"kd": {"criterion": criterion, "weight": 1.0}}},
        },
    }


def torchdistill(task: Task, seed: int) -> Run:
    """The other side, from building the networks to the last validation."""
    begin = time.perf_counter()
    set_seed(seed)
    torch.backends.cudnn.benchmark = True
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    student = resnet18(num_classes=len(task.classes)).to(device)
    box = get_distillation_box(
        task.teacher().to(device),
        student,
        {split: task.photos(split) for split in ("train", "val")},
        configuration(task, pin=device.type == "cuda"),
        device,
        device_ids=None,
        distributed=False,
        lr_factor=1,
    )
    epochs, accuracy = [], 0.0
    for epoch in range(box.num_epochs):
        start = time.perf_counter()
        box.pre_epoch_process(epoch=epoch)
        train(box, epoch, device)
        accuracy = validate(student, box.val_data_loader, device)
        box.post_epoch_process()
        epochs.append(time.perf_counter() - start)
    box.clean_modules()
    return Run(epochs, time.perf_counter() - begin - sum(epochs), accuracy)


def train(box: DistillationBox, epoch: int, device: torch.device) -> None:
    log = MetricLogger(delimiter="  ")
    log.add_meter("lr", SmoothedValue(window_size=1, fmt="{value}"))
    batches = log.log_every(box.train_data_loader, LOG_EVERY, f"Epoch: [{epoch}]")
    for images, labels, more in batches:
        loss = box.forward_process(images.to(device), labels.to(device), more)
        box.post_forward_process(loss=loss)
        log.update(loss=loss.item(), lr=box.optimizer.param_groups[0]["lr"])


@torch.inference_mode()
def validate(student: nn.Module, loader: DataLoader[Any], device: torch.device) -> float:
    student.eval()  # the box puts it back before the next epoch
    log = MetricLogger(delimiter="  ")
    for images, labels in log.log_every(loader, LOG_EVERY, "Validation:"):
        found = student(images.to(device, non_blocking=True)).argmax(dim=1)
        right = (found == labels.to(device, non_blocking=True)).double().mean()
        log.meters["accuracy"].update(right.item(), n=len(labels))
    return log.accuracy.global_avg


if __name__ == "__main__":
    chosen = options(__doc__)
    chosen.torchdistill = version("torchdistill")
    compare("against-torchdistill", torchdistill, chosen, precision="fp32")
