"""Fidelity: how closely a student repeats its teacher, whatever the labels are."""

import numpy as np
import numpy.typing as npt

from tutelage.errors import InputError
from tutelage.evaluation.calibration import confidences
from tutelage.storage.scores import TeacherFidelity


def fidelity(student_logits: npt.ArrayLike, teacher_logits: npt.ArrayLike) -> TeacherFidelity:
    """Compare two networks on the same images, at temperature 1.

        kl = mean_i sum_k p_ik (log p_ik - log q_ik)    p: teacher, q: student

    Computed in float64 from log-probabilities, so that nothing is clipped. The top class is the one
    with the largest logit; ties go to the lower index.

    Args:
        student_logits: [N, C], finite.
        teacher_logits: [N, C], the same images and classes in the same order.

    Raises:
        InputError: the shapes differ, there is no image, or a logit is not finite.

    >>> fidelity([[2.0, 0.0], [0.0, 1.0]], [[2.0, 0.0], [1.0, 0.0]])["agreement"]
    0.5
    """
    student, teacher = np.asarray(student_logits), np.asarray(teacher_logits)
    if student.ndim != 2 or student.shape != teacher.shape or not student.size:
        raise InputError(
            "student and teacher cannot be compared: their logits differ in shape",
            found=f"student {list(student.shape)}, teacher {list(teacher.shape)}",
            expected="both [N, C] with N of at least 1",
            fix="predict the same images and classes with both networks",
        )
    for name, logits in (("student", student), ("teacher", teacher)):
        if not np.isfinite(logits).all():
            raise InputError(f"the logits of the {name} hold NaN or infinity")
    agreement = (student.argmax(axis=1) == teacher.argmax(axis=1)).mean()
    log_q = confidences(student).log_probabilities
    log_p, p = confidences(teacher)
    kl = (p * (log_p - log_q)).sum(axis=1).mean()
    # A divergence is never negative, its rounding can be.
    return {"agreement": float(agreement), "kl": max(0.0, float(kl))}
