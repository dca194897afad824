"""Tokenizers: encoding and decoding, special tokens, and the size of the vocabulary."""

from __future__ import annotations

from itertools import chain

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from lstm_lab.data.preprocessing.tokenizer import SPECIAL, UNKNOWN, Tokenizer, Vocabulary

CORPUS = ["The film was good, very good.", "A bad film!", "don't see this film", "see it; it was good fun"] * 2
LETTERS = st.text(st.sampled_from("abc ABC.,!é<>[]PADUNK0\n\t"), max_size=30)
each_tokenizer = pytest.mark.parametrize("name", sorted(Tokenizer.members))


def fit(name, texts=CORPUS, **choices):
    return Vocabulary(Tokenizer.members[name].Config(**choices).build().fit(texts))


FITTED = {name: fit(name, [*CORPUS, "abc ABC .,!é [ ] < > PADUNK0"] * 2) for name in sorted(Tokenizer.members)}


@each_tokenizer
@given(text=LETTERS)
@example(text="<A<A>>")
@example(text="a b, c!")
def test_encoding_is_one_to_one_up_to_the_normal_form(name, text):
    vocabulary = FITTED[name]
    tokens, lengths = vocabulary.encode([text])
    assert len(tokens) == lengths[0] >= 1
    assert tokens.min() > 0, "padding never comes out of a text"
    if name != "word":  # of words, only the spaces between them are lost
        assert vocabulary.decode(tokens) == vocabulary.normalise(text) or UNKNOWN in tokens
    decoded = vocabulary.decode(tokens)
    if UNKNOWN not in tokens and vocabulary.normalise(decoded) == decoded:  # <a<b>> leaves <a >, markup once more
        assert vocabulary.encode([decoded])[0].tolist() == tokens.tolist()


@given(texts=st.lists(st.text(max_size=20), max_size=6))
def test_byte_pairs_encode_every_text_and_texts_are_independent(texts):
    for name, vocabulary in FITTED.items():
        tokens, lengths = vocabulary.encode(texts)
        alone = [vocabulary.encode([text])[0] for text in texts]
        assert tokens.tolist() == [*chain(*alone)]
        assert lengths.tolist() == [*map(len, alone)]
        if name == "bpe":
            for text, numbers in zip(texts, alone, strict=True):
                normal = vocabulary.normalise(text)
                assert normal == "" or (UNKNOWN not in numbers and vocabulary.decode(numbers) == normal)


@each_tokenizer
def test_padding_and_unknown_come_first_and_no_text_produces_them(name):
    vocabulary = FITTED[name]
    assert vocabulary.tokens[:2] == SPECIAL
    assert len(set(vocabulary.tokens)) == len(vocabulary.tokens)
    tokens, _ = vocabulary.encode(["[PAD] good [PAD] [pad]"])
    assert 0 not in tokens
    assert len(tokens) >= 4
    blank = " " if name == "whitespace" else " <br />\n"  # It keeps marks, and reads line ends.
    assert vocabulary.encode(["", blank])[0].tolist() == [UNKNOWN, UNKNOWN]


@each_tokenizer
@pytest.mark.parametrize("size", [300, 305])
def test_the_vocabulary_is_no_larger_than_configured(name, size):
    texts = [" ".join(f"{chr(200 + i % 500)}{i % 700}" for i in range(3000))] * 2
    assert len(fit(name, texts, vocab_size=size).tokens) == size


def test_words_that_occur_once_are_unknown_and_the_most_frequent_are_kept():
    vocabulary = fit("word", ["a a a b b c c d"], vocab_size=4)
    assert vocabulary.tokens == (*SPECIAL, "a", "b")
    assert vocabulary.encode(["a b c d"])[0].tolist() == [2, 3, UNKNOWN, UNKNOWN]


def test_capitals_markup_and_forms_of_characters():
    texts = ["The <b>film</b><br />was", "THE ﬁlm   was"] * 2
    lower, upper = fit("word", texts), fit("word", texts, lowercase=False)
    assert lower.encode(texts[:1])[0].tolist() == lower.encode(texts[1:2])[0].tolist()
    assert upper.encode(["The"])[0].tolist() != upper.encode(["THE"])[0].tolist()
    assert lower.normalise("1 < 2 > 0, I <3 you") == "1 < 2 > 0, i <3 you"
