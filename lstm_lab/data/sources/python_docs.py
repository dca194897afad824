"""The Python language reference as one long text."""

from __future__ import annotations

from lstm_lab.data.kinds.text_stream import TextStream


class PythonDocs(TextStream, name="python_docs"):
    """The Python language reference, 465,000 characters in version 3.11, which every Python ships for help().

    Python Software Foundation License. The text depends on the version of Python: compare runs of the same one.
    """

    def text(self) -> tuple[str, str]:
        from pydoc_data.topics import topics

        return "\n".join(topics[name] for name in sorted(topics)), "pydoc_data.topics"
