"""Text to token numbers, with a vocabulary that is fitted on the training split."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field

from lstm_lab.config.registry import Named, Registered

if TYPE_CHECKING:
    import tokenizers
    from tokenizers.trainers import Trainer

SPECIAL = ("[PAD]", "[UNK]")
"""Tokens 0 and 1. No tokenizer here puts letters and brackets into one token, so no text can produce them."""
UNKNOWN = 1

VocabSize = Annotated[int, Field(ge=3, lt=2**31)]


class Tokenizer(Registered, kind="tokenizer"):
    """Splits a text into tokens. Before that, markup such as <br /> and every run of white space become one space, and
    characters that differ in form alone become one (Unicode NFKC)."""

    class Config(Named):
        vocab_size: VocabSize
        """Tokens at most, the most frequent ones; padding and unknown are two of them."""
        lowercase: bool = True
        """Convert to lower case."""

    #: What occurs once in the training split is unknown there too, so that the unknown token's vector is trained.
    min_frequency: ClassVar[int] = 2
    #: Whether white space becomes tokens; where it only separates them, runs of it need no replacement.
    keeps_spaces: ClassVar[bool] = True

    def __init__(self, vocab_size: int, lowercase: bool) -> None:
        self.vocab_size, self.lowercase = vocab_size, lowercase

    @abstractmethod
    def untrained(self) -> tuple[tokenizers.Tokenizer, Trainer]:
        """A tokenizer of the library `tokenizers`, and the trainer that fits it."""

    def normalizers(self, fitting: bool) -> list[tokenizers.normalizers.Normalizer]:
        """What is done to a text before it is split; `fitting` says whether the vocabulary is made of it."""
        from tokenizers import Regex, normalizers

        return [
            normalizers.Replace(Regex(r"</?[A-Za-z][^<>]{0,100}>"), " "),
            normalizers.NFKC(),
            *([normalizers.Lowercase()] if self.lowercase else []),
            *([normalizers.Replace(Regex(r"\s+"), " ")] if self.keeps_spaces else []),
            normalizers.Strip(),
        ]

    def fit(self, texts: Iterable[str]) -> str:
        """The fitted tokenizer as JSON text, for `Vocabulary`."""
        from tokenizers import normalizers

        tokenizer, trainer = self.untrained()
        tokenizer.normalizer = normalizers.Sequence(self.normalizers(fitting=True))
        tokenizer.train_from_iterator(texts, trainer)
        tokenizer.normalizer = normalizers.Sequence(self.normalizers(fitting=False))
        # The library would take the words [PAD] and [UNK] in a text for its own special tokens.
        return json.dumps({**json.loads(tokenizer.to_str()), "added_tokens": []}, ensure_ascii=False)


class Word(Tokenizer, name="word"):
    """Runs of letters and digits, and runs of other marks."""

    keeps_spaces = False

    class Config(Tokenizer.Config):
        vocab_size: VocabSize = 20_000
        """Tokens at most, the most frequent ones; padding and unknown are two of them."""

    def untrained(self) -> tuple[tokenizers.Tokenizer, Trainer]:
        from tokenizers import Tokenizer, models, pre_tokenizers

        tokenizer = Tokenizer(models.WordLevel(unk_token=SPECIAL[UNKNOWN]))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        return tokenizer, word_level_trainer(self.vocab_size, self.min_frequency)


class Whitespace(Tokenizer, name="whitespace"):
    """What stands between blanks, as in texts that are split into tokens already (Penn Treebank, WikiText).

    The end of a line is the token <eos>, and <unk> in a text is the unknown token; nothing else is changed.
    """

    keeps_spaces = False

    class Config(Tokenizer.Config):
        vocab_size: VocabSize = 50_000
        """Tokens at most, the most frequent ones; padding and unknown are two of them."""
        lowercase: bool = False
        """Convert to lower case."""

    def normalizers(self, fitting: bool) -> list[tokenizers.normalizers.Normalizer]:
        from tokenizers import Regex, normalizers

        return [
            normalizers.Replace(Regex(r"\r?\n"), " <eos> "),
            # The library would give a special token that a text has a second number.
            normalizers.Replace(Regex(r"(?<!\S)(<unk>|\[UNK\]|\[PAD\])(?!\S)"), "" if fitting else SPECIAL[UNKNOWN]),
            *([normalizers.Lowercase()] if self.lowercase else []),
            normalizers.Strip(),
        ]

    def untrained(self) -> tuple[tokenizers.Tokenizer, Trainer]:
        from tokenizers import Tokenizer, models, pre_tokenizers

        tokenizer = Tokenizer(models.WordLevel(unk_token=SPECIAL[UNKNOWN]))
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        return tokenizer, word_level_trainer(self.vocab_size, self.min_frequency)


class BPE(Tokenizer, name="bpe"):
    """Byte-pair encoding (Sennrich, Haddow & Birch, 2016): frequent runs of bytes; nothing is unknown."""

    class Config(Tokenizer.Config):
        vocab_size: Annotated[int, Field(ge=258, lt=2**31)] = 8000
        """Tokens at most: the 256 bytes, the most frequent runs of them, padding and unknown."""

    def untrained(self) -> tuple[tokenizers.Tokenizer, Trainer]:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer, trainers.BpeTrainer(
            vocab_size=self.vocab_size, min_frequency=self.min_frequency, special_tokens=list(SPECIAL),
            show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )  # fmt: skip


class Character(Tokenizer, name="character"):
    """Single characters, spaces included."""

    class Config(Tokenizer.Config):
        vocab_size: VocabSize = 1000
        """Tokens at most, the most frequent ones; padding and unknown are two of them."""

    def untrained(self) -> tuple[tokenizers.Tokenizer, Trainer]:
        from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

        tokenizer = Tokenizer(models.WordLevel(unk_token=SPECIAL[UNKNOWN]))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        tokenizer.decoder = decoders.Fuse()
        return tokenizer, word_level_trainer(self.vocab_size, self.min_frequency)


def word_level_trainer(vocab_size: int, min_frequency: int) -> Trainer:
    """Trainer of a vocabulary of whole words, those that occur at least `min_frequency` times."""
    from tokenizers import trainers

    return trainers.WordLevelTrainer(
        vocab_size=vocab_size, min_frequency=min_frequency, special_tokens=list(SPECIAL), show_progress=False
    )


class Vocabulary:
    """A fitted tokenizer.

    Args:
        fitted: JSON text as `Tokenizer.fit` returned it.
    """

    def __init__(self, fitted: str) -> None:
        self.fitted = fitted

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """Name of each token, by its number."""
        numbers: dict[str, int] = json.loads(self.fitted)["model"]["vocab"]
        return tuple(sorted(numbers, key=numbers.__getitem__))

    @cached_property
    def _tokenizer(self) -> tokenizers.Tokenizer:
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self.fitted)

    def normalise(self, text: str) -> str:
        """A text in the form that is tokenized: normalised, without markup, in lower case if so configured."""
        normal: str = self._tokenizer.normalizer.normalize_str(text)
        return normal

    def encode(self, texts: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of all texts end to end (sum of T,) int32, and the number of tokens of each (N,) int64, at least 1.

        An empty text is one unknown token.
        """
        rows = [np.array(encoding.ids or [UNKNOWN], np.int32)
                for chunk in batched(texts, 256)
                for encoding in self._tokenizer.encode_batch_fast(chunk, add_special_tokens=False)]  # fmt: skip
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        return (np.concatenate(rows) if rows else np.empty(0, np.int32)), lengths

    def encode_beginning(self, text: str) -> np.ndarray:
        """Tokens (T,) int64 of a text that goes on: white space at its end counts. Of an empty text, none."""
        from tokenizers import Tokenizer

        fitted = json.loads(self.fitted)
        steps = fitted["normalizer"]["normalizers"]
        fitted["normalizer"]["normalizers"] = [step for step in steps if step["type"] != "Strip"]
        return np.array(Tokenizer.from_str(json.dumps(fitted)).encode(text, add_special_tokens=False).ids, np.int64)

    def decode(self, numbers: Sequence[int]) -> str:
        """The text of token numbers; words are joined by single spaces."""
        return self._tokenizer.decode(list(numbers), skip_special_tokens=False)


def batched(items: Iterable[str], size: int) -> Iterator[list[str]]:
    """The items in lists of `size`, the last one shorter."""
    iterator = iter(items)
    while batch := list(islice(iterator, size)):
        yield batch
