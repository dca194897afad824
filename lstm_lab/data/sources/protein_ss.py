"""Secondary structure of proteins from their sequence: helix, strand or coil at each residue."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lstm_lab.data.kinds.pre_split import RawSplit, RawSplits
from lstm_lab.data.kinds.tagged import TaggedSequences
from lstm_lab.data.readers.locate import locate

if TYPE_CHECKING:
    import pandas as pd

RESIDUES = "ACDEFGHIKLMNPQRSTVWY"
"""The twenty amino acids, a channel each; the 21st channel is any other letter."""
STATES = "HEC"


class ProteinSS(TaggedSequences, name="protein_ss"):
    """Trained on the chains of NetSurfP-2.0 (Klausen et al. 2019, less than 25 % identical to CB513), tested on CB513
    (Cuff & Barton 1999). Residues without a resolved structure have no target.

    FLIP (AFL-3.0) and PS4 (CC0); underlying PDB data CC0. Two chains are exact copies of chains of CB513: they are
    removed from training and validation.
    """

    classes = ("helix", "strand", "coil")
    standardized = False

    def read(self) -> RawSplits[list[np.ndarray]]:
        import pandas as pd

        flip = "github.com/J-SNACKKB/FLIP, splits/secondary_structure (id, split, seq, ss3, mask)"
        ps4 = "github.com/omarperacha/ps4-dataset, ps4_data/data/cb513 (id, seq, ss3, ordered, cb513_mask)"
        chains = pd.read_parquet(locate("protein_ss/netsurfp2_flip_ss3.parquet", flip))
        cb513 = pd.read_parquet(locate("protein_ss/cb513.parquet", ps4))
        scored = zip(cb513["ordered"], cb513["cb513_mask"], strict=True)
        cb513 = cb513.assign(mask=["".join(map(min, *masks)) for masks in scored])
        train, validation = (raw_split(chains[chains["split"] == name]) for name in ("train", "validation"))
        return RawSplits(train, validation, raw_split(cb513)).without_copies()


def raw_split(chains: pd.DataFrame) -> RawSplit[list[np.ndarray]]:
    """Rows with seq, ss3 and mask ("1" where scored) -> one-hot residues (T, 21) and states (T,)."""
    sequences = [one_hot(seq) for seq in chains["seq"]]
    labels = [
        np.where(letter_indices(mask, "1") == 0, letter_indices(states, STATES), -1).astype(np.int8)
        for states, mask in zip(chains["ss3"], chains["mask"], strict=True)
    ]
    return RawSplit(sequences, list(chains["seq"]), labels)


def letter_indices(text: str, alphabet: str) -> np.ndarray:
    """(T,) index of each letter in the alphabet, its length for any other."""
    table = np.full(256, len(alphabet))
    table[np.frombuffer(alphabet.encode(), np.uint8)] = np.arange(len(alphabet))
    indices: np.ndarray = table[np.frombuffer(text.encode(), np.uint8)]
    return indices


def one_hot(seq: str) -> np.ndarray:
    """Letters of T residues -> (T, 21); the last channel is for any other letter."""
    channels: np.ndarray = np.eye(len(RESIDUES) + 1, dtype=np.uint8)[letter_indices(seq, RESIDUES)]
    return channels
