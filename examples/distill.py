"""Knowledge distillation from images to a deployable student, in one screen.

    python examples/distill.py

Packs images, trains a teacher, three students and three controls, prints the verdict, exports a
student. Tiny networks and few images: a minute on two CPU cores, and figures that mean nothing.
"""

import json
from dataclasses import replace
from pathlib import Path

import tutelage

OUT = Path("runs/example")
PACK, JOB = OUT / "pack", OUT / "job"

# 1. Decode every image once. `sample` is the part of Fashion-MNIST that comes with the package; a
# folder of your own, a CSV, a zip or `cifar10` can take its place.
data = tutelage.DataConfig(image_size=32, splits="redraw", split=(600, 200, 200))
tutelage.pack("sample", data, out=PACK, quiet=True)

# 2. Describe the job. Any timm name can take the place of `test_resnet`, which is tiny.
tiny = tutelage.NetworkConfig(
    model="test_resnet", weights="none", epochs=2, batch_size=25, lr=3e-3, schedule="cosine"
)
job = tutelage.DistillConfig(
    title="Example",
    data=data,
    teacher=replace(tiny, epochs=6),
    student=tiny,  # and the control: the same network without a teacher
    losses=tutelage.LossConfig(kd=tutelage.KDConfig(temperature=4.0)),
    alpha=0.7,  # weight of the teacher's loss; the labels get 0.3
    seeds=3,  # three students and three controls: the fewest for a verdict
)

# 3. Train the teacher, store its outputs, train students and controls, and write the report.
report = tutelage.run(PACK, job, out=JOB, quiet=True)

# 4. Read the verdict: did the teacher help, by how much, and how certain is that?
verdict = json.loads((report.parent / "scores.json").read_text())["verdict"]
print(verdict["sentence"])
print("report:", report)

# 5. Use a student: measure it on the test images, and export it to a checked ONNX file.
metrics = tutelage.evaluate(JOB / "student-0", PACK, split="test")
print(f"student-0: {metrics['accuracy']:.1%} on {metrics['images']} images")
print(tutelage.export(JOB / "student-0", out=OUT / "student.onnx", data="sample"))
