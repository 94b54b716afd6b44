"""Joint training: teacher and student from the start."""

from tutelage.methods.spec import MethodSpec, refuse_teacher_weights

SPEC = MethodSpec(
    name="joint",
    family="online",
    line="teacher and student from the start",
    source="Gou 2021, arXiv:2006.05525, section 3.2",
    builder="online.joint:build_joint",
    peers=lambda settings, _student: {"teacher": settings.methods.joint.model},
    teacher_among_peers=True,
    refuse=refuse_teacher_weights,
)
