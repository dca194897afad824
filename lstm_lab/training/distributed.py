"""Data-parallel training of one run in several processes: each takes its shard of every batch, gradients are averaged.

Rank 0 writes the run; the other ranks only compute. A batch has the same samples however many processes share it, so
`batch_size` and the learning rate mean the same as in one process.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
from pytorch_lightning.plugins.environments import LightningEnvironment
from pytorch_lightning.strategies import DDPStrategy

COLLECTIVE_TIMEOUT = timedelta(hours=1)
"""How long the other ranks wait: rank 0 stands still between epochs while the sweep decides."""
JOIN_TIMEOUT = timedelta(seconds=120)
"""How long the ranks wait for each other at the start."""


@dataclass(frozen=True)
class DistributedRank:
    """One of `world_size` processes that train a run together.

    Args:
        rank: 0 in the process that writes the run.
        store: where they find each other; made by `create` in rank 0, by `connect` in the others.
    """

    rank: int
    world_size: int
    store: dist.TCPStore = field(repr=False, compare=False)

    @classmethod
    def create(cls, world_size: int, address: str) -> DistributedRank:
        """Rank 0, which the others reach at `address` and `port`."""
        store = dist.TCPStore(address, 0, None, is_master=True, wait_for_workers=False, timeout=JOIN_TIMEOUT)
        return cls(0, world_size, store)

    @classmethod
    def connect(cls, rank: int, world_size: int, address: str, port: int) -> DistributedRank:
        """Any rank but 0, connected to the store of rank 0 at `address` and `port`."""
        return cls(rank, world_size, dist.TCPStore(address, port, None, is_master=False, timeout=JOIN_TIMEOUT))

    @property
    def port(self) -> int:
        """Port of rank 0's store."""
        port: int = self.store.port
        return port

    @contextmanager
    def process_group(self, accelerator: str) -> Iterator[None]:
        """torch's process group of all ranks. When this rank leaves it, ranks that still wait for it get an error."""
        gpu = accelerator != "cpu" and torch.cuda.is_available()
        self.store.set_timeout(JOIN_TIMEOUT)
        dist.init_process_group(
            "nccl" if gpu else "gloo",
            store=self.store,
            rank=self.rank,
            world_size=self.world_size,
            timeout=COLLECTIVE_TIMEOUT,
        )
        try:
            yield
        finally:
            dist.destroy_process_group()

    @contextmanager
    def broadcast_file(self, path: Path | None) -> Iterator[Path | None]:
        """A file of rank 0 as a path that this rank can read; None where rank 0 passes none.

        The other ranks pass None: they need not see the disk of rank 0.
        """
        content = [path.read_bytes() if path else None]
        dist.broadcast_object_list(content, src=0)
        if path is not None or content[0] is None:
            yield path
            return
        with tempfile.TemporaryDirectory(prefix="ll-rank-") as folder:
            copied = Path(folder) / "last.ckpt"
            copied.write_bytes(content[0])
            yield copied

    def strategy(self) -> DDPStrategy:
        """Lightning's strategy over all ranks."""
        # Not every model uses every weight in every step: an option that is off, a chunk without a target.
        return DDPStrategy(cluster_environment=StartedProcesses(self), find_unused_parameters=True)


class StartedProcesses(LightningEnvironment):
    """Lightning's cluster environment of processes that have been started already, one device each."""

    def __init__(self, rank: DistributedRank) -> None:
        super().__init__()
        self._rank = rank

    @property
    def creates_processes_externally(self) -> bool:
        return True

    def world_size(self) -> int:
        return self._rank.world_size

    def global_rank(self) -> int:
        return self._rank.rank

    def local_rank(self) -> int:
        return 0

    def node_rank(self) -> int:
        return self._rank.rank

    def set_world_size(self, size: int) -> None:
        """Known from the start."""

    def set_global_rank(self, rank: int) -> None:
        """Known from the start."""

    def teardown(self) -> None:
        """Nothing was put into the process's environment."""


def is_lost_rank(error: BaseException) -> bool:
    """Whether an error means that another rank has gone, and not that the training failed."""
    return isinstance(error, dist.DistError) or (isinstance(error, RuntimeError) and "gloo" in str(error).lower())
