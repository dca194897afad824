"""A trained learner as tasks ask it for predictions."""

from __future__ import annotations

from torch import Tensor

from lstm_lab.data.base import Batch
from lstm_lab.models.decoding import Decoded, DecodingModel, SearchOptions
from lstm_lab.training.learner import Learner


class LearnerPredictor:
    """Logits and written sequences of a learner in evaluation mode, for batches of the CPU and on it."""

    def __init__(self, learner: Learner) -> None:
        self.learner = learner

    def logits(self, batch: Batch) -> Tensor:
        """As `Learner.logits`."""
        return self.learner.logits(batch)

    def decode(self, batch: Batch, options: SearchOptions) -> Decoded:
        """What the model writes, of a task that decodes."""
        model, task = self.learner.model, self.learner.task
        assert isinstance(model, DecodingModel)  # An experiment with another model is refused.
        found = model.decode(*task.model_inputs(batch.to(self.learner.device)), options)
        return Decoded(found.tokens.cpu(), None if found.attention is None else found.attention.cpu())
