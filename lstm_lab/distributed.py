"""Several processes that train one run together: each takes its share of every batch, gradients are averaged.

The first of them, rank 0, keeps the run; the others only compute. A batch is the same batch however many share it, so
`batch_size` and the learning rate mean what they mean alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies import DDPStrategy

PATIENCE = timedelta(hours=1)
"""How long the others wait for one that is behind: rank 0 stands still between epochs while the sweep decides."""
MEETING = timedelta(seconds=120)
"""How long they wait for each other to begin."""


@dataclass(frozen=True)
class Rank:
    """One of `count` processes, and where they meet.

    Args:
        store: made by `host` in rank 0, by `join` in the others.
    """

    number: int
    count: int
    store: Any = field(repr=False, compare=False)

    @classmethod
    def host(cls, count: int, address: str) -> Rank:
        """Rank 0, which the others find at `address` and the port of its store."""
        store = dist.TCPStore(address, 0, None, is_master=True, wait_for_workers=False, timeout=MEETING)
        return cls(0, count, store)

    @classmethod
    def join(cls, number: int, count: int, address: str, port: int) -> Rank:
        """Any rank but 0, which finds the store of rank 0 at `address` and `port`."""
        return cls(number, count, dist.TCPStore(address, port, None, is_master=False, timeout=MEETING))

    @property
    def port(self) -> int:
        """Where the store of rank 0 listens."""
        return self.store.port

    @contextmanager
    def together(self, accelerator: str) -> Iterator[None]:
        """All are there; on leaving, whoever still waits for this one is told that it has gone."""
        gpu = accelerator != "cpu" and torch.cuda.is_available()
        self.store.set_timeout(MEETING)
        dist.init_process_group(
            "nccl" if gpu else "gloo", store=self.store, rank=self.number, world_size=self.count, timeout=PATIENCE
        )
        try:
            yield
        finally:
            dist.destroy_process_group()

    @contextmanager
    def copy(self, path: Path | None) -> Iterator[Path | None]:
        """The file that rank 0 names, as each can read it: the others need not see its disk."""
        said = [path.read_bytes() if path else None]
        dist.broadcast_object_list(said, src=0)
        if path is not None or said[0] is None:
            yield path
            return
        with tempfile.TemporaryDirectory(prefix="ll-rank-") as folder:
            copied = Path(folder) / "last.ckpt"
            copied.write_bytes(said[0])
            yield copied

    def strategy(self) -> DDPStrategy:
        """How Lightning trains over all of them."""
        # Not every model uses every weight in every step: an option that is switched off, a chunk without an answer.
        return DDPStrategy(cluster_environment=ExternalProcessEnvironment(self), find_unused_parameters=True)


class ExternalProcessEnvironment(LightningEnvironment):
    """Tells Lightning that the processes are there already, one device each."""

    def __init__(self, rank: Rank) -> None:
        super().__init__()
        self._rank = rank

    @property
    def creates_processes_externally(self) -> bool:
        return True

    def world_size(self) -> int:
        return self._rank.count

    def global_rank(self) -> int:
        return self._rank.number

    def local_rank(self) -> int:
        return 0

    def node_rank(self) -> int:
        return self._rank.number

    def set_world_size(self, size: int) -> None:
        """Known from the start."""

    def set_global_rank(self, rank: int) -> None:
        """Known from the start."""

    def teardown(self) -> None:
        """Nothing was put into the environment."""


def is_lost(error: BaseException) -> bool:
    """Whether an error says that another of the processes has gone, and not that the training failed."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())
