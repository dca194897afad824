"""The contract of a model: a padded batch of sequences in, the numbers that a task is computed from out."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar, NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn

from lstm_lab.config.registry import Named, Registered
from lstm_lab.data.base import DataInfo, Dataset
from lstm_lab.models.encoder import Encoded
from lstm_lab.models.sites import IN_EVERY_MODEL, Place
from lstm_lab.models.state import EncoderState
from lstm_lab.records.files import Row


@runtime_checkable
class TokenDataInfo(Protocol):
    """What a model must know of data whose steps are token numbers."""

    @property
    def tokens(self) -> tuple[str, ...]:
        """The text of each token, by its number; number 0 is padding."""


class TaskInfo(Protocol):
    """What a model must know of the task it is built for."""

    per_step: ClassVar[bool]
    """Whether the task has a target at every step, or one for the whole sequence."""

    @property
    def output_size(self) -> int:
        """Numbers in one prediction."""


class TaskType(Protocol):
    """What a model's configuration is checked against: the class of a task."""

    per_step: ClassVar[bool]
    causal: ClassVar[bool]


class TaskConfig(Protocol):
    """What a model's configuration is checked against: the configuration of a task."""

    @property
    def name(self) -> str: ...

    @property
    def owner(self) -> type[TaskType]: ...

    def input_steps(self, data: Dataset.Config) -> int | None:
        """Steps of each window that the model reads; None for a task that does not forecast."""


class Output(NamedTuple):
    """What a model computes for a batch."""

    logits: Tensor
    """(B, output_size), or (B, T, output_size) for a task with a target per step: what the head returns."""
    encoded: Encoded | None = None
    """What the encoder returned: for a penalty on activations, or an explanation."""
    attention: Tensor | None = None
    """Weights that sum to 1 over the steps of the input: (B, T) of a pooling, (B, horizon, T) of a decoder."""
    dropped: Tensor | None = None
    """(B, T, D) the encoder's outputs after dropout, where the head reads each step."""
    features: Tensor | None = None
    """(B, D) what the head reads of a whole sequence, in evaluation its embedding; None where it reads each step."""


class Model(Registered, nn.Module, kind="model"):
    """Built from the info of a data set, a task, and the fields of its Config."""

    class Config(Named):
        """Base of every model's Config."""

        owner: ClassVar[type[Model]]

        def recurrent_cell(self) -> Named | None:
            """The cell in whose recurrence noise can act; None where the model has no such place."""
            return None

        def check(self, task: TaskConfig, data: Dataset.Config) -> None:
            """Raise ValueError where the sections do not go together, or a choice would have no effect."""

        def recurrent_steps(self, task: TaskConfig, data: Dataset.Config) -> int | None:
            """Steps of the recurrence for each sequence; None where that depends on the sequence."""
            return task.input_steps(data)

        def places(self, data: Dataset.Config) -> frozenset[Place]:
            """Where regularizers can act in the model, for these data; those of SITES are `Site` modules of it."""
            return IN_EVERY_MODEL

    decodes: ClassVar[bool] = False
    """Whether it writes a sequence token by token (`DecodingModel`), for a task whose predictions are sequences."""
    hidden_size: int | None = None
    """Units of its recurrent layers, where they all have the same number and run.json is to record it."""

    def load_pretrained(self, info: DataInfo) -> Row:
        """Load weights that were trained elsewhere. Called once, before the first step, and never on resuming.

        Returns:
            What run.json records of it.
        """
        return {}

    def of_batch(self, x: Tensor, lengths: Tensor, y: Tensor) -> Output:
        """`forward`, of a batch whose targets are y; a model that writes sequences reads them too."""
        output: Output = self(x, lengths)
        return output

    @abstractmethod
    def forward(self, x: Tensor, lengths: Tensor) -> Output:
        """Logits of each sequence, or of each step.

        Args:
            x: (B, T, I), or token numbers (B, T).
            lengths: (B,) valid steps.
        """


class StatefulModel(Model):
    """A model that can read a sequence in chunks: each chunk starts from the state that the one before it left."""

    def forward(self, x: Tensor, lengths: Tensor) -> Output:
        return self.forward_stateful(x, lengths, None)[0]

    @abstractmethod
    def forward_stateful(self, x: Tensor, lengths: Tensor, state: EncoderState | None) -> tuple[Output, EncoderState]:
        """`forward` from a state, and the state after the last valid step of each sample.

        Args:
            x, lengths: as `forward` takes them.
            state: as returned for the chunk before; None for that of `initial_state`.
        """

    @abstractmethod
    def initial_state(self, batch_size: int) -> EncoderState:
        """The state before the first step of `batch_size` sequences, on the device and in the dtype of the weights."""
