"""The roles of runs in a job; a report groups runs by them."""

from typing import Literal

Role = Literal[
    "teacher",
    "specialist",
    "assistant",
    "generation",
    "student",
    "control",
    "control-equal-compute",
    "peer-control",
]

TEACHER: Role = "teacher"
SPECIALIST: Role = "specialist"
ASSISTANT: Role = "assistant"
GENERATION: Role = "generation"
STUDENT: Role = "student"
CONTROL: Role = "control"
EQUAL_COMPUTE: Role = "control-equal-compute"
PEER_CONTROL: Role = "peer-control"

UNTAUGHT = (TEACHER, SPECIALIST, CONTROL, EQUAL_COMPUTE, PEER_CONTROL)
"""Roles of runs without a teacher, whatever the method: their only loss is that of the label."""
