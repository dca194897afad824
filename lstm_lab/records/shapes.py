"""What the files of a record must hold: checked where they are read, so that nothing after that meets another type.

Each class names the keys that are read and their types; a record may hold more. A JSON file of another shape is
refused by one line, and a row of another shape is left out like one that a killed process left incomplete.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from lstm_lab.config import DataError

Content = dict[str, Any]


def _iso_time(text: str) -> str:
    datetime.fromisoformat(text)
    return text


Time = Annotated[str, AfterValidator(_iso_time)]
Metrics = dict[str, float | None]
Index = Annotated[int, Field(ge=0, lt=2**31)]
Name = Annotated[str, Field(pattern=r"^[^/\x00]{1,255}$")]
"""Of a file or folder."""
TrialId = Annotated[str, Field(pattern=r"^t[0-9]{1,9}$")]
Mode = Literal["min", "max"]
State = Literal["running", "finished", "stopped", "failed", "interrupted", "pending"]


class Shape(BaseModel):
    """Base of every shape: types are taken strictly, further keys are allowed."""

    model_config = ConfigDict(strict=True, extra="allow")


class Git(Shape):
    """State of the code."""

    commit: str | None = None
    dirty: bool | None = None


class Code(Shape):
    """What computed the cells."""

    engine: str | None = None


class Data(Shape):
    """The data set that a run was trained on."""

    digest: str
    info: Content
    notes: list[str] = []


class Confusion(Shape):
    """Classes, and counts: rows are true classes, columns predicted ones."""

    classes: list[str | int]
    counts: list[list[int | float]]

    @model_validator(mode="after")
    def _square(self) -> Confusion:
        sizes = {len(self.counts), *map(len, self.counts)}
        if sizes != {len(self.classes)} or not self.classes:
            raise ValueError("counts must have a row and a column for each class")
        return self


class Label(Shape):
    """Counts and scores of one of several labels."""

    name: str
    n: Index
    predicted: Index
    correct: Index
    average_precision: float | None = None
    auroc: float | None = None


class Evaluation(Shape):
    """A row of tests.jsonl, and `validation` of run.json: `Scores.dump()`."""

    scores: Metrics
    split: str | None = None
    metric: str | None = None
    baselines: dict[str, Metrics] | None = None
    skill: Metrics | None = None
    at: Time | None = None
    epoch: Index | None = None
    test_evaluations: int | None = None
    confusion: Confusion | None = None
    labels: list[Label] | None = None
    steps: list[Metrics] | None = None
    """The scores at each step ahead."""


class WandbEntry(Shape):
    """What is known of the W&B run."""

    mode: str | None = None
    id: str | None = None
    ended: bool | None = None
    rows: int | None = None
    error: str | None = None
    synced: Content | None = None


class PrunedUnits(Shape):
    """The hidden units that a run took from a larger model."""

    of: Index
    """How many that has in each layer and direction."""
    kept: list[list[list[Index]]]
    """Their numbers there, of each layer and direction."""


class Transferred(Shape):
    """What a run took from the run that it started from."""

    run: str
    id: str
    epoch: Index
    task: str
    data: str
    taken: list[str]
    """Weights that are the source's."""
    merged: dict[str, Index]
    """Weights with a row for each token, and how many of these the source has."""
    left: dict[str, str]
    """Weights that are not, and why."""
    units: PrunedUnits | None = None
    tokens: Index | None = None
    """Tokens of the vocabulary without padding, where rows were merged."""
    notes: list[str]


class Teacher(Shape):
    """A run whose predictions were learned."""

    run: str
    id: str
    epoch: Index
    sha256: str
    """Of its checkpoint."""


class Distilled(Shape):
    """What a run learned from."""

    teachers: list[Teacher]


class PrunedFrom(Shape):
    """The model that a pruned one was made of."""

    parameters: Index | None = None
    scores: Metrics
    """On the validation split."""


class ExportedForm(Shape):
    """What was measured of one form of a model."""

    form: str
    bytes: Index
    ms: float
    value: float | None = None


class Exports(Shape):
    """The run and what it was exported to, side by side."""

    metric: str
    steps: Index
    """Of the sequence that was timed."""
    rows: list[ExportedForm]


class Latency(Shape):
    """The time of a forward pass for one sample."""

    ms: float
    """Milliseconds, the median of the repeats."""
    steps: int
    """Of the sample."""
    repeats: int
    device: str


class RunFile(Shape):
    """run.json."""

    id: Name
    name: str | None = None
    created: Time | None = None
    git: Git | None = None
    code: Code | None = None
    versions: dict[str, str] | None = None
    command: str | None = None
    job_type: str | None = None
    tags: list[str] | None = None
    data: Data | None = None
    monitor: str | None = None
    mode: Mode | None = None
    select: Literal["best", "last"] | None = None
    parameters: int | None = None
    latency: Latency | None = None
    measures: dict[str, float] | None = None
    """What other code has told of its model."""
    hidden_size: int | None = None
    device: str | None = None
    group: str | None = None
    validation: Evaluation | None = None
    transfer: Transferred | None = None
    distillation: Distilled | None = None
    exports: Exports | None = None
    pruned_from: PrunedFrom | None = None
    before_finetuning: Metrics | None = None
    """Of a pruned model on the validation split, before it was trained further."""
    calibration: object = None
    """As its task reads it."""
    wandb: WandbEntry | None = None
    rank: int | None = None
    halved: list[Content] | None = None


class Best(Shape):
    """The epoch that counts, in status.json."""

    epoch: Index | None = None
    value: float | None = None


class StatusFile(Shape):
    """status.json."""

    state: State
    at: Time | None = None
    reason: str | None = None
    epochs: Index | None = None
    best: Best | None = None
    seconds: float | None = None


class LineageRow(Shape):
    """A row of lineage.jsonl."""

    overrides: Content
    changes: dict[str, Content]
    source: str
    epoch: Index | None = None
    source_epoch: Index | None = None


def check(content: Mapping[str, Any], shape: type[Shape], where: str) -> None:
    """Refuse the content of a file that has another shape.

    Args:
        where: the file, for the message.

    Raises:
        DataError: the first place that is wrong, what it must be, and what it is.
    """
    try:
        shape.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(map(str, first["loc"]))
        found = "" if first["type"] == "missing" else f", not {_shown(first['input'])}"
        reason = first["msg"][:1].lower() + first["msg"][1:]
        raise DataError(f"{where}: {place}: {reason}{found}: correct it, or restore a copy of the file") from None


def is_metric_row(row: Mapping[str, Any]) -> bool:
    """Whether a row is one of metrics.jsonl: every column is a number or null, and one is the epoch.

    There may be a hundred thousand of them: written out, it takes a tenth of the time of a `Shape`.
    """
    epoch = row.get("epoch")
    return type(epoch) is int and 0 <= epoch < 2**31 and all(map(_is_number, row.values()))


def _is_number(value: object) -> bool:
    return value is None or isinstance(value, float) or (type(value) is int and -(2**63) <= value < 2**63)


def fits(row: Mapping[str, Any], shape: type[Shape]) -> bool:
    """Whether a row has a shape."""
    try:
        shape.model_validate(row)
    except ValidationError:
        return False
    return True


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
