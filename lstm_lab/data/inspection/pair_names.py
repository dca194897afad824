"""What columns and files of pairs of texts are named."""

from __future__ import annotations

CERTAIN = (("source", "target"), ("src", "tgt"), ("src", "trg"))
"""Names of columns that only pairs have, in lower case."""
USUAL = (
    ("input", "output"), ("question", "answer"), ("query", "response"), ("query", "answer"), ("prompt", "completion"),
    ("prompt", "response"), ("text", "summary"), ("article", "summary"), ("article", "highlights"),
    ("document", "summary"), ("sentence1", "sentence2"), ("before", "after"), ("wrong", "right"),
)  # fmt: skip
"""Names that the columns of pairs have beside no column of classes."""
LANGUAGES = frozenset((
    "ar", "bg", "bn", "ca", "cs", "cz", "da", "de", "el", "en", "es", "et", "eu", "fa", "fi", "fr", "ga", "gl",
    "gu", "he", "hi", "hr", "hu", "hy", "is", "it", "ja", "jp", "ka", "kk", "ko", "lt", "lv", "mk", "mn", "ms",
    "mt", "nl", "no", "pl", "pt", "ro", "ru", "sk", "sl", "sq", "sr", "sv", "sw", "ta", "te", "th", "tr", "uk",
    "ur", "uz", "vi", "zh", "cn", "deu", "eng", "fra", "spa", "ita", "por", "rus", "zho", "jpn", "arabic",
    "bulgarian", "chinese", "czech", "danish", "dutch", "english", "estonian", "finnish", "french", "german",
    "greek", "hebrew", "hindi", "hungarian", "italian", "japanese", "korean", "latin", "norwegian", "persian",
    "polish", "portuguese", "romanian", "russian", "spanish", "swedish", "turkish", "ukrainian", "vietnamese",
    "deutsch", "englisch", "français", "francais", "español",
))  # fmt: skip
"""Codes and names of languages, in lower case; without "id", which names other things more often."""
KNOWN = LANGUAGES | {name for pair in (*CERTAIN, *USUAL) for name in pair}
"""All of them."""
