"""scores.json of a run, read into its nouns."""

import numpy as np

from tutelage.errors import InputError
from tutelage.reports.record.fields import Fields
from tutelage.reports.record.types import (
    BinRecord,
    ClassScoreRecord,
    CostRecord,
    FidelityRecord,
    MetricsRecord,
    ScoredRecord,
)


def read_scored(fields: Fields) -> ScoredRecord:
    """The part of one epoch, `last` or `best`."""
    test = fields.optional_table("test")
    return ScoredRecord(
        epoch=fields.integer("epoch"),
        val=read_metrics(fields.table("val")),
        test=read_metrics(test) if test is not None else None,
    )


def read_cost(fields: Fields) -> CostRecord:
    """What the network costs."""
    return CostRecord(
        parameters=fields.integer("parameters"),
        flops=fields.integer("flops"),
        size_bytes=fields.integer("size_bytes"),
        input_size=fields.integer("input_size"),
        parameters_1000=fields.optional_integer("parameters_1000"),
        flops_1000_224=fields.optional_integer("flops_1000_224"),
    )


def read_metrics(fields: Fields) -> MetricsRecord:
    """One network on one split.

    Raises:
        InputError: a field is missing, or the confusion matrix does not fit the classes.
    """
    low, high = (_plain_number(fields, item) for item in fields.items("accuracy_interval"))
    fidelity = fields.optional_table("fidelity")
    per_class = tuple(
        ClassScoreRecord(
            images=row.integer("images"),
            precision=row.optional_number("precision") or 0.0,
            recall=row.optional_number("recall") or 0.0,
            f1=row.optional_number("f1") or 0.0,
        )
        for row in fields.tables("per_class")
    )
    try:
        confusion = np.asarray(fields.items("confusion"), dtype=np.int64)
    except (TypeError, ValueError, OverflowError):
        confusion = np.empty(0, dtype=np.int64)
    if confusion.shape != (len(per_class), len(per_class)):
        raise InputError(
            f"{fields.path}confusion is not a square table of whole numbers",
            where=fields.where,
            found=confusion.shape,
            expected=(len(per_class), len(per_class)),
        )
    return MetricsRecord(
        images=fields.integer("images"),
        accuracy=fields.number("accuracy"),
        accuracy_interval=(low, high),
        top5=fields.optional_number("top5"),
        macro_f1=fields.number("macro_f1"),
        nll=_maybe(fields, "nll"),
        brier=_maybe(fields, "brier"),
        ece=_maybe(fields, "ece"),
        per_class=per_class,
        confusion=confusion,
        reliability=tuple(
            BinRecord(
                lower=row.number("lower"),
                upper=row.number("upper"),
                images=row.integer("count"),
                confidence=row.optional_number("confidence") or 0.0,
                accuracy=row.optional_number("accuracy") or 0.0,
            )
            for row in fields.tables("reliability")
        ),
        fidelity=FidelityRecord(agreement=fidelity.number("agreement"), kl=_maybe(fidelity, "kl"))
        if fidelity is not None
        else None,
    )


def _maybe(fields: Fields, key: str) -> float:
    """A number that a diverged run may have written as null."""
    value = fields.optional_number(key)
    return float("nan") if value is None else value


def _plain_number(fields: Fields, item: object) -> float:
    return Fields({"accuracy_interval": item}, fields.where, fields.path).number(
        "accuracy_interval"
    )
