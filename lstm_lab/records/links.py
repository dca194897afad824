"""Names and symbolic links in a record, which may come from anybody: they lead nowhere outside of its folder."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TypeGuard

from lstm_lab.config import ConfigError


def check_links(folder: Path) -> None:
    """Check that whatever is written below a folder stays below it: a record may come from anybody.

    Raises:
        ConfigError: a symbolic link in it leads out of it, or an entry is neither a file nor a folder.
    """
    root = os.path.realpath(folder)
    for parent, folders, names in os.walk(folder):
        for name in (*folders, *names):
            path = os.path.join(parent, name)
            mode = os.lstat(path).st_mode
            if stat.S_ISLNK(mode):
                target = os.path.realpath(path)
                if os.path.commonpath((root, target)) != root:
                    raise ConfigError(
                        f"{path}: is a symbolic link to {target}, outside of {folder}: nothing is written through it; "
                        "replace it by what it points to"
                    )
            elif not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
                raise ConfigError(f"{path}: is neither a file nor a folder: remove it")
        # W&B links its logs, which lie elsewhere, into its folders. What was there before is removed, and no link in it
        # followed, when they are written again.
        folders[:] = [name for name in folders if name != "wandb"]


def is_plain_name(name: object) -> TypeGuard[str]:
    """Whether it is the name of an entry of a folder, and leads nowhere else."""
    return isinstance(name, str) and name not in ("", ".", "..") and "/" not in name and "\0" not in name
