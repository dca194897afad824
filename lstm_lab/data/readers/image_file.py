"""Images of a user and their classes: from an .npz or .npy file, an IDX file, or a folder for each class."""

from __future__ import annotations

import gzip
import re
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lstm_lab.config import DataError
from lstm_lab.data.preprocessing.splits import SPLITS
from lstm_lab.data.readers.array_file import UNREADABLE
from lstm_lab.data.readers.folders import FolderFile, files_of_folder
from lstm_lab.data.readers.locate import candidates, find_file
from lstm_lab.data.readers.sequence_file import SequenceFile
from lstm_lab.data.readers.table import LARGEST, list_names

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

ENDINGS = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".pgm", ".ppm", ".tif", ".tiff", ".webp")
"""Of the files of a folder that are images."""
ARRAY_ENDINGS = (".npz", ".npy")
CONVENTIONS = {
    "train": (("x_train", "y_train"), ("train_images", "train_labels")),
    "validation": (("x_val", "y_val"), ("x_valid", "y_valid"), ("val_images", "val_labels")),
    "test": (("x_test", "y_test"), ("test_images", "test_labels")),
}
"""Split -> names of its images and of its classes in .npz files of Keras and of MedMNIST, in lower case."""
IDX_TYPES = {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
"""Code of the third byte of an IDX file -> its numbers (LeCun, Cortes & Burges)."""
CHANNELS = (1, 3, 4)
"""Numbers that a pixel may have: brightness, colours, or colours and opacity."""


def read_images(path: str, y_path: str | None, labelled: bool, size: tuple[int, int] | None = None) -> SequenceFile:
    """The images (H, W, C) of a file as `SequenceFile.sequences`, and their classes.

    Args:
        y_path: .npy or IDX file of the classes; None: in the .npz file, or beside the IDX file.
        labelled: whether classes and splits are read; if not, they need not be there.
        size: height and width that a single image file is resized to.

    Raises:
        DataError: it cannot be read, or images and classes do not fit together.
    """
    file = find_file(path)
    if file.suffix.lower() in ENDINGS:
        if labelled:
            raise DataError(f"{file}: is one image: set data.path to a folder with a folder of images for each class")
        return SequenceFile(file, [read_picture(file, size)], ids=[file.name], id_column="file")
    if size is not None and labelled:
        raise DataError(f"{file}: data.size has no effect on arrays, whose images have one size: remove it")
    arrays = _load_npz(file) if file.suffix.lower() == ".npz" else {"X": _load_array(file)}
    y_file = y_path or (_labels_beside(path) if labelled and "y" not in arrays else None)
    if y_file is not None and labelled:
        if "y" in arrays:
            raise DataError(f"{file}: has an array y, but data.y_path names another: remove data.y_path")
        arrays["y"] = _load_array(find_file(y_file))
    images = as_images(arrays["X"], str(file))
    if not labelled:
        return SequenceFile(file, images, id_column="image")
    for name in ("y", "groups", "splits"):
        if name in arrays and len(arrays[name]) != len(images):
            raise DataError(f"{file}: has {len(images)} images, but {name} has {len(arrays[name])} entries: provide "
                            "one for each image")  # fmt: skip
    y, splits = arrays.get("y"), arrays.get("splits")
    if y is None:
        raise DataError(f"{file}: has no classes: write them as array y of an .npz file, or set data.y_path to an .npy "
                        "or IDX file of them")  # fmt: skip
    if splits is not None and not np.isin(splits, SPLITS).all():
        wrong = next(str(split) for split in splits if split not in SPLITS)
        raise DataError(f"{file}: splits has {wrong!r}: use {', '.join(SPLITS)}")
    classes = tuple(str(name) for name in arrays.get("classes", ()))
    return SequenceFile(file, images, y.reshape(len(y), -1)[:, 0], arrays.get("groups"), splits, classes)


def as_images(arrays: object, name: str) -> list[np.ndarray]:
    """N images (H, W, C) of one array (N, H, W) or (N, H, W, C), or of a list of arrays (H, W) or (H, W, C).

    Args:
        name: of the arrays, for messages.

    Raises:
        DataError: not such arrays, or numbers that are not finite.
    """
    if not isinstance(arrays, np.ndarray | list | tuple):
        raise DataError(f"{name}: {type(arrays).__name__} must be an (N, H, W) or (N, H, W, C) array of images")
    if isinstance(arrays, np.ndarray) and arrays.ndim not in (3, 4):
        raise DataError(f"{name}: has shape {arrays.shape}, but images are (N, H, W) or (N, H, W, C): reshape it")
    if not len(arrays):
        raise DataError(f"{name}: has no images: provide at least one")
    found = [_as_image(np.asarray(image), f"{name}: image {number}") for number, image in enumerate(arrays, 1)]
    other = next((number for number, image in enumerate(found) if image.shape != found[0].shape), None)
    if other is not None:
        raise DataError(f"{name}: image {other + 1} is {size_text(found[other].shape)}, but image 1 is "
                        f"{size_text(found[0].shape)}: make all of one size")  # fmt: skip
    return found


def size_text(shape: tuple[int, ...]) -> str:
    """Of an image (H, W, C), for messages.

    >>> size_text((28, 20, 3))
    '28 x 20 pixels of 3 channels'
    """
    height, width, channels = shape
    return f"{height} x {width} pixels" + (f" of {channels} channels" if channels > 1 else "")


def _as_image(image: np.ndarray, name: str) -> np.ndarray:
    if image.dtype.kind not in "uifb":
        raise DataError(f"{name}: has type {image.dtype}, but pixels are numbers: convert it")
    image = image[:, :, None] if image.ndim == 2 else image
    if image.ndim != 3 or 0 in image.shape:
        raise DataError(f"{name}: has shape {image.shape}, but an image is (H, W) or (H, W, C): reshape it")
    if image.shape[2] not in CHANNELS:
        raise DataError(f"{name}: has {image.shape[2]} numbers for a pixel, where 1, 3 or 4 are: write images as "
                        "(N, H, W, C), the colours last")  # fmt: skip
    if image.dtype.kind == "f":
        wrong = np.argwhere(~(np.abs(image) <= LARGEST))
        if len(wrong):
            row, column, _ = wrong[0].tolist()
            raise DataError(f"{name}: the pixel at ({row}, {column}) is {image[row, column].tolist()}: replace values "
                            f"that are not finite, or larger than {LARGEST:g}")  # fmt: skip
    return image.astype(np.uint8) if image.dtype.kind == "b" else image


def _load_npz(path: Path) -> dict[str, np.ndarray]:
    """X, y and, if the file has them, groups, splits and classes."""
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except UNREADABLE as error:
        raise _unreadable(path, ".npz without pickle", error) from None
    if "X" in arrays:
        return {name: arrays[name] for name in ("X", "y", "groups", "splits", "classes") if name in arrays}
    lower = {name.lower(): array for name, array in arrays.items()}
    found = [(split, lower[x], lower[y]) for split, names in CONVENTIONS.items() for x, y in names
             if x in lower and y in lower]  # fmt: skip
    if not found or found[0][0] != "train":
        raise DataError(f"{path}: has no array X: write the images under this name and their classes as y, or as "
                        f"x_train, y_train, x_test and y_test; it has {list_names([*arrays]) or 'none'}")  # fmt: skip
    try:
        joined = [np.concatenate(parts) for parts in zip(*((x, y) for _, x, y in found), strict=True)]
    except ValueError:
        raise DataError(
            f"{path}: the splits have images of different sizes: "
            f"{', '.join(f'{split} {x.shape}' for split, x, _ in found)}: make them equal"
        ) from None
    counts = [len(x) for _, x, _ in found]
    return {"X": joined[0], "y": joined[1], "splits": np.repeat([split for split, _, _ in found], counts)}


def _load_array(path: Path) -> np.ndarray:
    """The array of an .npy file, or of an IDX file, which may be compressed."""
    if path.suffix.lower() in ARRAY_ENDINGS:
        try:
            loaded = np.load(path, allow_pickle=False)
        except UNREADABLE as error:
            raise _unreadable(path, ".npy without pickle", error) from None
        if isinstance(loaded, np.ndarray):
            return loaded
        raise DataError(f"{path}: is an .npz file: write its one array as .npy")
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix.lower() == ".gz" else path.read_bytes()
        zeros, code, dims = struct.unpack(">HBB", content[:4])
        if zeros or code not in IDX_TYPES or not dims:
            raise ValueError("its first four bytes are not those of an IDX file")
        shape = struct.unpack(f">{dims}I", content[4 : 4 + 4 * dims])
        values = np.frombuffer(content, IDX_TYPES[code], offset=4 + 4 * dims).reshape(shape)
    except (OSError, EOFError, ValueError, struct.error) as error:
        raise _unreadable(path, ".npz, .npy, IDX or an image", error) from None
    return values.astype(values.dtype.newbyteorder("="))


def _labels_beside(path: str) -> str | None:
    """The file of classes beside an IDX file: train-labels-idx1-ubyte beside train-images-idx3-ubyte; None without."""
    name = Path(path).name
    other = str(Path(path).with_name(re.sub(r"idx\d", "idx1", name.replace("images", "labels"))))
    return other if "images" in name and any(place.is_file() for place in candidates(other)) else None


def read_folder(
    root: Path, size: tuple[int, int] | None, split: str | None = None, labelled: bool = True
) -> SequenceFile:
    """The images of a folder, whose classes are the names of the folders that they lie in.

    Args:
        size: height and width that they are resized to; None: they have one size.
        split: of all of them, whatever the folders are called; None: as folders train, validation and test say.

    Raises:
        DataError: no images, or one that cannot be read or has another size.
    """
    files = files_of_folder(root, ENDINGS, mixed=True, what="an image")
    images = [read_picture(file.path, size) for file in files]
    images = images if len({image.shape[2] for image in images}) == 1 else with_colours(images)
    first = images[0].shape
    for file, image in zip(files, images, strict=True):
        if image.shape != first:
            raise DataError(f"{file.path}: is {size_text(image.shape)}, but {files[0].path.name} is {size_text(first)}:"
                            " set data.size to the height and width that all are resized to")  # fmt: skip
    if not labelled:
        return SequenceFile(root, images, ids=[file.id for file in files], id_column="file")
    return SequenceFile(root, images, folder_classes(files), None, folder_splits(root, files, split))


def folder_classes(files: Sequence[FolderFile]) -> np.ndarray:
    """(N,) class of each file: the name of its folder."""
    unlabelled = next((file for file in files if not file.label), None)
    if unlabelled is not None:
        raise DataError(f"{unlabelled.path}: lies in no folder that names its class: move it into one")
    return np.array([file.label for file in files])


def folder_splits(root: Path, files: Sequence[FolderFile], split: str | None) -> np.ndarray | None:
    """(N,) split of each file, as folders say; None where they name none.

    Args:
        split: of all of them, whatever the folders are called.
    """
    named = np.array([file.split for file in files]) if any(file.split for file in files) else None
    if named is not None and split is not None:
        raise DataError(f"{root}: has folders for splits, but is the {split} split: name one of its folders")
    if named is not None and "train" not in named:
        raise DataError(f"{root}: has a folder for {next(filter(None, named))} but none for train: make one")
    return named


def read_picture(path: Path, size: tuple[int, int] | None) -> np.ndarray:
    """An image (H, W, 1) of brightness, or (H, W, 3) of colours, upright as its camera says.

    Raises:
        DataError: the package Pillow is not installed, or it cannot read the file.
    """
    try:
        from PIL import Image, ImageOps, UnidentifiedImageError
    except ImportError:
        raise DataError(f"{path}: image files are read by the package Pillow: pip install 'lstm-lab[images]'") from None
    try:
        with Image.open(path) as opened:
            image: Picture = ImageOps.exif_transpose(opened)
            if image.mode not in ("L", "I", "I;16", "F"):  # Those have one number for each pixel.
                image = image.convert("L" if image.mode in ("1", "LA") else "RGB")
    except (OSError, ValueError, SyntaxError, UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise _unreadable(path, "an image", error) from None
    if size is not None:
        image = image.resize((size[1], size[0]), Image.Resampling.BILINEAR)
    return _as_image(np.asarray(image), str(path))


def with_colours(images: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Images (H, W, C), those of one channel (H, W, 1) as grey ones (H, W, 3)."""
    return [np.repeat(image, 3, 2) if image.shape[2] == 1 else image for image in images]


def _unreadable(path: Path, kind: str, error: Exception) -> DataError:
    return DataError(f"{path}: cannot be read as {kind} ({' '.join(str(error).split())[:120]}): write it again")
