"""Offline distillation: one finished teacher."""

from tutelage.methods.plan import plan_under_teacher
from tutelage.methods.spec import MethodSpec, one_teacher

SPEC = MethodSpec(
    name="offline",
    family="offline",
    line="one finished teacher",
    source="Hinton 2015, arXiv:1503.02531",
    builder="factory:build_offline",
    needs_teacher=True,
    plan=lambda _spec, job: plan_under_teacher(job),
    check_teachers=one_teacher,
    keeps_teacher_classifier=True,
)
