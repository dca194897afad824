"""What a node of a graph reads of its neighbours: each filter is a few sparse matrices that multiply their values."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lstm_lab import config
from lstm_lab.config.registry import Named, Registered

if TYPE_CHECKING:
    from scipy.sparse import csr_array


class Graph(NamedTuple):
    """Directed edges between N nodes."""

    nodes: int
    """N"""
    pairs: tuple[tuple[int, int], ...]
    """Nodes at both ends of each edge: from, to. Those from a node to itself do not count."""
    weights: tuple[float, ...]
    """Of each edge, above 0."""

    def matrix(self) -> csr_array:
        """A (N, N) float64: A[i, j] the weight of the edge from i to j."""
        from scipy.sparse import csr_array

        edges = [(i, j, weight) for (i, j), weight in zip(self.pairs, self.weights, strict=True) if i != j]
        rows, columns, values = np.array(edges, np.float64).reshape(-1, 3).T
        shape = (self.nodes, self.nodes)
        return csr_array((values, (rows.astype(np.int64), columns.astype(np.int64))), shape=shape)


class SparseMatrix(nn.Module):
    """A constant matrix S (N, N) of few elements that are not 0; made again from the edges, and in no checkpoint."""

    rows_and_columns: Tensor
    values: Tensor

    def __init__(self, matrix: csr_array) -> None:
        super().__init__()
        found, self.size = matrix.tocoo(), matrix.shape[0]
        self.register_buffer("rows_and_columns", torch.tensor(np.stack([found.row, found.col]), dtype=torch.int64),
                             persistent=False)  # fmt: skip
        self.register_buffer("values", torch.tensor(found.data, dtype=torch.float64), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """S x of x (N, F)."""
        precision = torch.promote_types(x.dtype, torch.float32)  # No product of sparse matrices has half precision.
        S = torch.sparse_coo_tensor(
            self.rows_and_columns, self.values.to(precision), (self.size, self.size), is_coalesced=True,
            check_invariants=False,
        )  # fmt: skip
        with torch.autocast(x.device.type, enabled=False):
            product: Tensor = torch.sparse.mm(S, x.to(precision))
        return product.to(x.dtype)


def scaled_rows(matrix: csr_array, factors: np.ndarray) -> csr_array:
    """Row i times factors[i], which are (N,)."""
    from scipy.sparse import diags_array

    return (diags_array(factors) @ matrix).tocsr()


def inverse(sums: np.ndarray) -> np.ndarray:
    """1 / sums; 0 for a node without an edge, whose sum is 0."""
    found: np.ndarray = np.divide(1.0, sums, out=np.zeros_like(sums), where=sums > 0)
    return found


class GraphFilter(Registered, nn.Module, kind="graph filter"):
    """Blocks of values that a node reads beside its own."""

    class Config(Named):
        hops: config.Count = 2
        """Edges that the farthest node that is read is away, K."""

    num_blocks: int
    """Blocks of as many values as each node has."""

    @abstractmethod
    def forward(self, x: Tensor) -> list[Tensor]:
        """x (N, F) -> the blocks, (N, F) each."""


class Chebyshev(GraphFilter, name="chebyshev"):
    """T_1(L) x .. T_K(L) x, T_0 = 1, T_1(L) = L, T_k(L) = 2 L T_{k-1}(L) - T_{k-2}(L) (Defferrard et al. 2016).

    L = 2 (1 - D^-1/2 A D^-1/2) / l - 1, the scaled Laplacian, with 2, its upper bound, for the largest eigenvalue l: so
    L = -D^-1/2 A D^-1/2. A is symmetric: the mean of the weights of both directions.
    """

    def __init__(self, graph: Graph, hops: int) -> None:
        super().__init__()
        A = graph.matrix()
        A = ((A + A.T) / 2).tocsr()
        scale = np.sqrt(inverse(A.sum(1)))
        self.num_blocks = hops
        self.laplacian = SparseMatrix(-scaled_rows(scaled_rows(A, scale).T.tocsr(), scale))

    def forward(self, x: Tensor) -> list[Tensor]:
        blocks, before, now = [], x, self.laplacian(x)
        for _ in range(self.num_blocks):
            blocks.append(now)
            before, now = now, 2 * self.laplacian(now) - before
        return blocks


class Diffusion(GraphFilter, name="diffusion"):
    """P x .. P^K x, and Q x .. Q^K x: random walks along the edges and against them (Li et al. 2018).

    P = D^-1 A and Q = D'^-1 A^T, with the sums of the rows of A and of A^T: of a weighted graph, the mean over the
    neighbours that an edge leads to, and over those that one comes from. A node without any reads zeros.
    """

    def __init__(self, graph: Graph, hops: int) -> None:
        super().__init__()
        A = graph.matrix()
        self.hops, self.num_blocks = hops, 2 * hops
        self.walks = nn.ModuleList(SparseMatrix(scaled_rows(W, inverse(W.sum(1)))) for W in (A, A.T.tocsr()))

    def forward(self, x: Tensor) -> list[Tensor]:
        blocks = []
        for walk in self.walks:
            now = x
            for _ in range(self.hops):
                now = walk(now)
                blocks.append(now)
        return blocks
