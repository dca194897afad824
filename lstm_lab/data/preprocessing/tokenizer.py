"""Text becomes tokens, by a vocabulary that is fitted on the training part alone."""

from __future__ import annotations

import json
from abc import abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from lstm_lab.registry import Named, Registered

SPECIAL = ("[PAD]", "[UNK]")
"""Tokens 0 and 1. No tokenizer here lets letters and brackets stand in one token, so no text can spell them."""
UNKNOWN = 1

Size = Annotated[int, Field(ge=3, lt=2**31)]


class Tokenizer(Registered, kind="tokenizer"):
    """How a text is taken apart. Before that, markup such as <br /> and every run of white space become one space, and
    characters that differ in form alone become one (Unicode NFKC)."""

    class Config(Named):
        vocab_size: Size
        """Tokens at most, the most frequent ones; padding and unknown are two of them."""
        lowercase: bool = True
        """Take capitals for small letters."""

    #: What stands once in the training part is unknown there too, so that the unknown token's vector is trained.
    least: ClassVar[int] = 2
    #: Whether spaces become tokens; where they only part them, there is no need to count them.
    spaces: ClassVar[bool] = True

    def __init__(self, vocab_size: int, lowercase: bool) -> None:
        self.vocab_size, self.lowercase = vocab_size, lowercase

    @abstractmethod
    def parts(self) -> tuple[Any, Any]:
        """An untrained tokenizer of the library `tokenizers`, and its trainer."""

    def fit(self, texts: Iterable[str]) -> str:
        """The fitted tokenizer as JSON text, for `Vocabulary`."""
        from tokenizers import Regex, normalizers

        tokenizer, trainer = self.parts()
        tokenizer.normalizer = normalizers.Sequence([
            normalizers.Replace(Regex(r"</?[A-Za-z][^<>]{0,100}>"), " "),
            normalizers.NFKC(),
            *([normalizers.Lowercase()] if self.lowercase else []),
            *([normalizers.Replace(Regex(r"\s+"), " ")] if self.spaces else []),
            normalizers.Strip(),
        ])  # fmt: skip
        tokenizer.train_from_iterator(texts, trainer)
        # The library would take the words [PAD] and [UNK] in a text for its own marks.
        return json.dumps({**json.loads(tokenizer.to_str()), "added_tokens": []}, ensure_ascii=False)


class Word(Tokenizer, name="word"):
    """Runs of letters and digits, and runs of other marks."""

    spaces = False

    class Config(Tokenizer.Config):
        vocab_size: Size = 20_000
        """Tokens at most, the most frequent ones; padding and unknown are two of them."""

    def parts(self) -> tuple[Any, Any]:
        from tokenizers import Tokenizer, models, pre_tokenizers

        tokenizer = Tokenizer(models.WordLevel(unk_token=SPECIAL[UNKNOWN]))
        tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
        return tokenizer, word_trainer(self.vocab_size, self.least)


class BPE(Tokenizer, name="bpe"):
    """Byte pairs (Sennrich, Haddow & Birch, 2016): frequent runs of bytes; nothing is unknown."""

    class Config(Tokenizer.Config):
        vocab_size: Annotated[int, Field(ge=258, lt=2**31)] = 8000
        """Tokens at most: the 256 bytes, the most frequent runs of them, padding and unknown."""

    def parts(self) -> tuple[Any, Any]:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        return tokenizer, trainers.BpeTrainer(
            vocab_size=self.vocab_size, min_frequency=self.least, special_tokens=list(SPECIAL), show_progress=False,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        )  # fmt: skip


class Character(Tokenizer, name="character"):
    """Single characters, spaces too."""

    class Config(Tokenizer.Config):
        vocab_size: Size = 1000
        """Tokens at most, the most frequent ones; padding and unknown are two of them."""

    def parts(self) -> tuple[Any, Any]:
        from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

        tokenizer = Tokenizer(models.WordLevel(unk_token=SPECIAL[UNKNOWN]))
        tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
        tokenizer.decoder = decoders.Fuse()
        return tokenizer, word_trainer(self.vocab_size, self.least)


def word_trainer(vocab_size: int, least: int) -> Any:
    """Learns a vocabulary of whole words, those that stand at least `least` times."""
    from tokenizers import trainers

    return trainers.WordLevelTrainer(
        vocab_size=vocab_size, min_frequency=least, special_tokens=list(SPECIAL), show_progress=False
    )


class Vocabulary:
    """A fitted tokenizer, as `Tokenizer.fit` wrote it."""

    def __init__(self, fitted: str) -> None:
        self.fitted = fitted

    @cached_property
    def tokens(self) -> tuple[str, ...]:
        """The name of each token, by its number."""
        numbers: dict[str, int] = json.loads(self.fitted)["model"]["vocab"]
        return tuple(sorted(numbers, key=numbers.__getitem__))

    @cached_property
    def _tokenizer(self) -> Any:
        from tokenizers import Tokenizer

        return Tokenizer.from_str(self.fitted)

    def normalise(self, text: str) -> str:
        """A text as the tokenizer sees it: its normal form, without markup, in lower case if so chosen."""
        return self._tokenizer.normalizer.normalize_str(text)

    def encode(self, texts: Iterable[str]) -> tuple[np.ndarray, np.ndarray]:
        """Tokens of all texts end to end (sum of T,) int32, and how many each has (N,) int64, at least 1.

        A text with nothing in it is one unknown token.
        """
        rows = [np.array(encoding.ids or [UNKNOWN], np.int32)
                for chunk in chunks(texts, 256)
                for encoding in self._tokenizer.encode_batch_fast(chunk, add_special_tokens=False)]  # fmt: skip
        lengths = np.fromiter(map(len, rows), np.int64, len(rows))
        return (np.concatenate(rows) if rows else np.empty(0, np.int32)), lengths

    def decode(self, numbers: Sequence[int]) -> str:
        """The text of tokens; of words, with single spaces between them."""
        return self._tokenizer.decode(list(numbers), skip_special_tokens=False)


def chunks(items: Iterable[str], size: int) -> Iterator[list[str]]:
    """The items in lists of `size`, the last one shorter."""
    iterator = iter(items)
    while chunk := list(islice(iterator, size)):
        yield chunk
