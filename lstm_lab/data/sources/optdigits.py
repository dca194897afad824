"""Handwritten digits, 8 x 8 pixels, shipped with scikit-learn."""

from __future__ import annotations

import numpy as np

from lstm_lab.data.kinds.images import ImageSequences, Shape, Steps, as_steps
from lstm_lab.data.kinds.labelled import LabelledArrays, LabelledData
from lstm_lab.data.preprocessing.splits import stratified_group_mask
from lstm_lab.data.sources.images import PermuteSeed


class OptDigits(ImageSequences, name="optdigits"):
    """Optical recognition of handwritten digits (Alpaydin & Kaynak 1998; UCI, CC BY 4.0): 1,797 images of 13 writers.

    They are the test split of the published set, all that scikit-learn ships. A fifth of each class, drawn once, is the
    test split here; the writers are not recorded, so that one writer may be on both sides.
    """

    class Config(ImageSequences.Config):
        steps: Steps = "rows"
        """What a step is: a row, whose pixels are its channels; or a pixel, row by row."""
        permute_seed: PermuteSeed | None = None
        """Of a random order of the pixels, the same for all images; null: they keep theirs."""

    shape: Shape = (8, 8, 1)

    def __init__(self, batch_size: int, steps: Steps, permute_seed: int | None) -> None:
        super().__init__(batch_size)
        self.steps, self.permute_seed = steps, permute_seed

    def read(self) -> LabelledData:
        from sklearn.datasets import load_digits

        images, labels = load_digits(return_X_y=True)
        images = images.astype(np.uint8).reshape(-1, *self.shape)
        test = stratified_group_mask(labels, range(len(labels)), 0.2)

        def arrays(mask: np.ndarray) -> LabelledArrays:
            return [as_steps(image, self.steps, self.permutation) for image in images[mask]], labels[mask].astype(str)

        return LabelledData(train=arrays(~test), test=arrays(test))
