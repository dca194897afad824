"""Images of a user, read as sequences of rows or pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from lstm_lab.config import Count
from lstm_lab.config.paths import FilePath
from lstm_lab.data.kinds.images import ImageFiles, Steps
from lstm_lab.data.kinds.user_files import SequenceReader, no_frames
from lstm_lab.data.kinds.user_sequences import Kind, UserSequences
from lstm_lab.data.readers.image_file import read_folder, read_images
from lstm_lab.data.readers.locate import find_folder
from lstm_lab.data.readers.sequence_file import SequenceFile

PermuteSeed = Annotated[int, Field(ge=0, lt=2**32)]
Size = Annotated[tuple[Count, Count], Field(strict=False)]


@dataclass(frozen=True)
class ImageReader:
    """How files and folders of images are read."""

    y_paths: tuple[tuple[str, str], ...] = ()
    """Split and file of its classes, of those that have one."""
    size: tuple[int, int] | None = None
    """Height and width that the images of a folder are resized to."""

    def read(self, path: str, split: str | None = None, labelled: bool = True) -> SequenceFile:
        folder = find_folder(path)
        if folder is not None:
            return read_folder(folder, self.size, split, labelled)
        return read_images(path, dict(self.y_paths).get(split or "train"), labelled, self.size)

    def read_frame(self, frame: Any) -> SequenceFile:
        raise no_frames("images", "a file, a folder, or arrays (N, H, W)")


class Images(UserSequences, name="images"):
    """Images of one size with a class each: a folder of image files for each class; an .npz file with X (N, H, W) or
    (N, H, W, C) and y (N,), or with x_train, y_train, x_test, y_test; an IDX file, as of MNIST; or an .npy file.

    Pixels are standardised by one mean and standard deviation for each colour, of the training split. The .npz file may
    also have groups (N,), splits (N,) and classes (names in the order of their indices).
    """

    class Config(UserSequences.Config):
        target: Literal["class"] = "class"
        """A class for each image."""
        missing: Literal["error"] = "error"
        """Images have no missing values."""
        y_path: FilePath | None = None
        """An .npy or IDX file of the classes; null: in the .npz file, the folders' names, or beside an IDX file under
        its name with labels in place of images."""
        validation_y_path: FilePath | None = None
        """The same for `validation_path`."""
        test_y_path: FilePath | None = None
        """The same for `test_path`."""
        steps: Steps = "rows"
        """What a step is: a row, whose pixels are its channels; or a pixel, row by row."""
        permute_seed: PermuteSeed | None = None
        """Of a random order of the pixels, the same for all images; null: they keep theirs. A model that needs
        neighbours is then at a loss (Le, Jaitly & Hinton 2015)."""
        size: Size | None = None
        """Height and width that the images of a folder are resized to; null: they have one size."""

        @model_validator(mode="after")
        def _classes_belong_to_a_file(self) -> Images.Config:
            for split, path in (("validation", self.validation_y_path), ("test", self.test_y_path)):
                if path is not None and split not in self.given:
                    raise ValueError(f"{split}_y_path would have no effect without {split}_path: set it to the file of "
                                     "images")  # fmt: skip
            return self

        @property
        def reader(self) -> SequenceReader:
            paths = {"train": self.y_path, "validation": self.validation_y_path, "test": self.test_y_path}
            return ImageReader(tuple((split, path) for split, path in paths.items() if path is not None), self.size)

        @property
        def dataset(self) -> Kind:
            return ImageFiles

        def make(self, *info: Any, **more: Any) -> Any:
            return super().make(*info, **more, steps=self.steps, permute_seed=self.permute_seed)
