"""Run folders on storage that is no disk: any URI that pyarrow or fsspec opens, s3://, gs://, abfs://, hdfs://, file://.

A trial works in a folder of its node, and copies what has changed after each epoch, before the driver is told of it.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pyarrow import ArrowException, fs

from lstm_lab.config import ConfigError

RECORDS = (".json", ".jsonl", ".yaml")


class Storage:
    """Files below a URI, or below an absolute path.

    Raises:
        ConfigError: nothing here opens such a URI.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        try:
            self.files, root = _open(uri)
        except (ArrowException, OSError, ValueError, ImportError) as error:
            raise ConfigError(f"--storage {uri}: cannot be opened: {str(error).splitlines()[0]}") from None
        self.root = root.rstrip("/")
        self._known: dict[Path, tuple[int, int]] = {}

    def write(self, name: str, content: bytes) -> None:
        """All of it or nothing: an object store takes only whole files, on a disk it is renamed into place."""
        path = f"{self.root}/{name}"
        disk = isinstance(self.files, fs.LocalFileSystem)
        self.files.create_dir(path.rpartition("/")[0], recursive=True)
        with self.files.open_output_stream(f"{path}.new" if disk else path) as stream:
            stream.write(content)
        if disk:
            self.files.move(f"{path}.new", path)

    def read(self, name: str) -> bytes | None:
        """A file, or None where there is none."""
        try:
            with self.files.open_input_stream(f"{self.root}/{name}") as stream:
                return stream.read()
        except FileNotFoundError:
            return None

    def delete(self, name: str) -> None:
        """Remove a folder and all that lies in it."""
        self.files.delete_dir(f"{self.root}/{name}")

    def push(self, folder: Path, name: str, wanted: Callable[[Path], bool] = lambda path: True) -> None:
        """Copy what has changed since the last time, checkpoints last.

        Cut off in between, the record is ahead of the checkpoint, and is shortened to it; the other way round a row
        would be missing.
        """
        paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "lock" and wanted(path)]
        for path in sorted(paths, key=lambda path: (path.suffix == ".ckpt", path.name == "last.ckpt", path.name)):
            stat = path.stat()
            if self._known.get(path) != (stat.st_mtime_ns, stat.st_ino):
                self.write(f"{name}/{path.relative_to(folder)}".removeprefix("/"), path.read_bytes())
                self._known[path] = (stat.st_mtime_ns, stat.st_ino)

    def pull(self, name: str, folder: Path, suffixes: tuple[str, ...] = ("",)) -> None:
        """Copy what lies there into the folder, over what lies here."""
        below = f"{self.root}/{name}".rstrip("/")
        for found in self.files.get_file_info(fs.FileSelector(below, recursive=True, allow_not_found=True)):
            inside = found.path[len(below) :].lstrip("/")
            if found.type is fs.FileType.File and inside.endswith(suffixes) and not inside.endswith(".new"):
                target = folder / inside
                content = self.read(f"{name}/{inside}".lstrip("/"))
                if content is None:
                    continue  # Replaced or gone meanwhile.
                target.parent.mkdir(parents=True, exist_ok=True)
                new = target.with_name(f".{target.name}.pulled")
                new.write_bytes(content)
                new.replace(target)

    def fetch(self, name: str, folder: Path) -> None:
        """The folder as it lies there, and nothing else."""
        shutil.rmtree(folder, ignore_errors=True)
        self.pull(name, folder)


def own_place(uri: str, name: str, sweep: Any) -> str:
    """Where a sweep of that name keeps its files below the URI.

    Raises:
        ConfigError: another is there, nobody may write there, or its trials must see each other's folders.
    """
    if sweep.scheduler.owner.population:
        raise ConfigError(
            f"--storage {uri}: {sweep.scheduler.name} clones between run folders; use a disk that all nodes share"
        )
    storage = Storage(f"{uri.rstrip('/')}/{name}")
    try:
        if storage.read("sweep.yaml") is not None:
            raise ConfigError(f"--storage {storage.uri}: is a sweep already; choose another --name")
        storage.write(".nodes/new", b"")
        storage.delete(".nodes")
    except OSError as error:
        raise ConfigError(f"--storage {storage.uri}: cannot be written: {str(error).splitlines()[0]}") from None
    return storage.uri


def _open(uri: str) -> tuple[fs.FileSystem, str]:
    try:
        return fs.FileSystem.from_uri(uri)
    except (ArrowException, ValueError, NotImplementedError):
        import fsspec

        files, root = fsspec.core.url_to_fs(uri)
        return fs.PyFileSystem(fs.FSSpecHandler(files)), root
