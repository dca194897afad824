"""Run folders on remote storage: any URI that pyarrow or fsspec opens, as s3://, gs://, abfs://, hdfs://, file://.

A trial works in a local folder of its node, and uploads what has changed after each epoch, before it reports the epoch
to the driver.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shlex
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pyarrow import ArrowException, fs

from lstm_lab.config import ConfigError, DataError
from lstm_lab.records import files
from lstm_lab.sweeps.spec import Sweep

if TYPE_CHECKING:
    from lstm_lab.sweeps.store.folder import SweepFolder

RECORDS = (".json", ".jsonl", ".yaml")
"""Suffixes of the files of a record: everything but checkpoints."""


class Storage:
    """Files below a URI, or below an absolute path.

    Raises:
        ConfigError: neither pyarrow nor fsspec opens the URI.
    """

    def __init__(self, uri: str) -> None:
        self.uri = uri
        try:
            self.filesystem, root = _open(uri)
        except (ArrowException, OSError, ValueError, ImportError) as error:
            raise ConfigError(f"--storage {uri}: cannot be opened: {str(error).splitlines()[0]}") from None
        self.root = root.rstrip("/")
        self._uploaded: dict[Path, tuple[int, int]] = {}
        """Local file -> its time and inode when it was last uploaded."""

    def write(self, name: str, content: bytes) -> None:
        """Write a file, whole or not at all: object stores take only whole files; on a disk it is renamed last."""
        path = f"{self.root}/{name}"
        disk = isinstance(self.filesystem, fs.LocalFileSystem)
        self.filesystem.create_dir(path.rpartition("/")[0], recursive=True)
        with self.filesystem.open_output_stream(f"{path}.new" if disk else path) as stream:
            stream.write(content)
        if disk:
            self.filesystem.move(f"{path}.new", path)

    def read(self, name: str) -> bytes | None:
        """A file, or None where there is none."""
        try:
            with self.filesystem.open_input_stream(f"{self.root}/{name}") as stream:
                content: bytes = stream.read()
                return content
        except FileNotFoundError:
            return None

    def delete(self, name: str) -> None:
        """Delete a folder with everything in it."""
        self.filesystem.delete_dir(f"{self.root}/{name}")

    def push(self, folder: Path, name: str, wanted: Callable[[Path], bool] = lambda path: True) -> None:
        """Upload the files of a folder that have changed since the last time, checkpoints last.

        If it is interrupted, the record is ahead of the checkpoint and is truncated to it on resume; in the other order
        a row would be missing.

        Args:
            wanted: which files.
        """
        paths = [path for path in folder.rglob("*") if path.is_file() and path.name != files.LOCK and wanted(path)]
        for path in sorted(paths, key=lambda path: (path.suffix == ".ckpt", path.name == files.LAST, path.name)):
            stat = path.stat()
            if self._uploaded.get(path) != (stat.st_mtime_ns, stat.st_ino):
                self.write(f"{name}/{path.relative_to(folder)}".removeprefix("/"), path.read_bytes())
                self._uploaded[path] = (stat.st_mtime_ns, stat.st_ino)

    def pull(self, name: str, folder: Path, suffixes: tuple[str, ...] = ("",)) -> None:
        """Download files over those of the same name in a local folder.

        Args:
            suffixes: of the names of the files.

        Raises:
            DataError: a name there leads out of the local folder.
        """
        below = f"{self.root}/{name}".rstrip("/")
        for found in self.filesystem.get_file_info(fs.FileSelector(below, recursive=True, allow_not_found=True)):
            inside = found.path[len(below) :].lstrip("/")
            if found.type is fs.FileType.File and inside.endswith(suffixes) and not inside.endswith(".new"):
                if ".." in inside.split("/"):
                    raise DataError(f"{self.uri}: holds a file named {name}/{inside}, which leads out of {folder}")
                target = folder / inside
                content = self.read(f"{name}/{inside}".lstrip("/"))
                if content is None:
                    continue  # Replaced or deleted meanwhile.
                target.parent.mkdir(parents=True, exist_ok=True)
                new = target.with_name(f".{target.name}.pulled")
                new.write_bytes(content)
                new.replace(target)

    def fetch(self, name: str, folder: Path) -> None:
        """Replace a local folder by the remote one."""
        shutil.rmtree(folder, ignore_errors=True)
        self.pull(name, folder)


def node_folder(key: str) -> Path:
    """A folder on this node's disk for the sweep of that key, the same each time, and private to this user.

    Raises:
        ConfigError: another user has made what lies there.
    """
    parent = Path(tempfile.gettempdir()) / f"lstm-lab-{os.getuid()}"
    with contextlib.suppress(FileExistsError):
        parent.mkdir(mode=0o700)
    found = parent.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ConfigError(f"{parent}: is not a folder that only this user can enter: remove it, or set TMPDIR")
    return parent / hashlib.sha256(key.encode()).hexdigest()[:12]


def claim_storage(uri: str, name: str, sweep: Sweep) -> str:
    """The URI below which a new sweep of that name stores its files.

    Raises:
        ConfigError: a sweep is there already, it cannot be written, or the trials must see each other's folders.
    """
    if sweep.is_population_based:
        raise ConfigError(
            f"--storage {uri}: {sweep.scheduler.name} copies between run folders; use a disk that all nodes share"
        )
    storage = Storage(f"{uri.rstrip('/')}/{name}")
    try:
        if storage.read(files.SWEEP) is not None:
            raise ConfigError(f"--storage {storage.uri}: is a sweep already; choose another --name")
        storage.write(".nodes/new", b"")
        storage.delete(".nodes")
    except OSError as error:
        raise ConfigError(f"--storage {storage.uri}: cannot be written: {str(error).splitlines()[0]}") from None
    return storage.uri


def trial_storage(folder: SweepFolder, given: str | None) -> str | None:
    """The URI that the trials of a sweep are stored below; None: in its own folder.

    The record alone does not decide that, because a folder may come from anybody: the user names the place each time.

    Args:
        given: what the user names, with or without the sweep's name at its end.

    Raises:
        ConfigError: it is not what the record says, or is missing.
    """
    recorded = folder.about.get("storage")
    if recorded is None:
        if given is not None:
            raise ConfigError(f"--storage {given}: the trials of {folder.path} are in its own folder; leave it out")
        return None
    uri = str(recorded)
    if given is None:
        raise ConfigError(
            f"{folder.path}: its record says that its trials are stored below {uri}, and a record is not obeyed in "
            f"that: if it is right, name the place: {resume_command(folder.path, None, uri)}"
        )
    if given.rstrip("/") not in (uri, uri.rpartition("/")[0]):
        raise ConfigError(f"--storage {given}: the trials of {folder.path} are stored below {uri}")
    return uri


def resume_command(path: Path, address: str | None, storage: str | None) -> str:
    """The command that resumes a sweep."""
    options = [word for option in (("--address", address), ("--storage", storage)) if option[1] for word in option]
    return shlex.join(["lstm-lab", "resume", str(path), *map(str, options)])


def _open(uri: str) -> tuple[fs.FileSystem, str]:
    try:
        system, root = fs.FileSystem.from_uri(uri)
        return system, root
    except (ArrowException, ValueError, NotImplementedError):
        import fsspec

        opened, root = fsspec.core.url_to_fs(uri)
        return fs.PyFileSystem(fs.FSSpecHandler(opened)), root
