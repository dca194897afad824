"""What mkdocs does to our pages, which are written for GitHub: formulas become MathML, links out of docs/ are resolved.

Pages outside docs/ (CHANGELOG.md, CONTRIBUTING.md, benchmarks/*.md) join the site; a link to any other file of the
repository becomes its name, once it is certain that the file exists.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parent.parent
JOINING = ("CHANGELOG.md", "CONTRIBUTING.md", "benchmarks/*.md")

FENCE = re.compile(r"^(```+|~~~+).*?^\1\s*?$", re.M | re.S)
CODE = re.compile(r"`[^`\n]+`")
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
INLINE = re.compile(r"(?<![\\$\w])\$(?!\s)([^$`]+?)(?<!\s)\$(?![\w$])")


def mathml(formula: str, display: str) -> str:
    """LaTeX as MathML, in which Markdown finds nothing to mark up."""
    marks = {"|": "&#124;", "*": "&#42;", "_": "&#95;"}
    # latex2mathml knows align*, not aligned.
    found = convert(re.sub(r"\\(begin|end)\{aligned\}", r"\\\1{align*}", formula), display=display)
    return re.sub(r">([^<]*)<", lambda text: f">{re.sub(r'[|*_]', lambda mark: marks[mark[0]], text[1])}<", found)


def on_files(files: Files, config: Any) -> Files:
    """Add the pages that lie outside docs/, and leave this module out."""
    for pattern in JOINING:
        for path in sorted(ROOT.glob(pattern)):
            files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    return Files([file for file in files if not file.src_uri.endswith(".py")])


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Formulas and links; what stands in code stays as it is."""
    # Where the page lies in the repository, and where the site has it.
    origin = page.file.src_uri if page.file.generated_by else f"docs/{page.file.src_uri}"
    kept: list[str] = []

    def keep(text: str) -> str:
        kept.append(text)
        return f"\x02{len(kept) - 1}\x03"

    def fence(found: re.Match[str]) -> str:
        text = found[0]
        if not text.startswith("```math\n"):
            return keep(text)
        return keep(f"<div>{mathml(text.split(chr(10), 1)[1].rsplit('```', 1)[0], 'block')}</div>")

    def link(found: re.Match[str]) -> str:
        image, text, target = found.groups()
        if re.match(r"[a-z]+:|#", target):
            return found[0]
        path, _, anchor = target.partition("#")
        place = posixpath.normpath(posixpath.join(posixpath.dirname(origin), path))
        if not (ROOT / place).exists():
            raise PluginError(f"{origin}: the link {target} leads nowhere")
        uri = place.removeprefix("docs/")
        if files.get_file_from_path(uri) is None:
            return text
        there = posixpath.relpath(uri, posixpath.dirname(page.file.src_uri) or ".")
        return f"{image}[{text}]({there}{f'#{anchor}' if anchor else ''})"

    markdown = FENCE.sub(fence, markdown)
    markdown = CODE.sub(lambda found: keep(found[0]), markdown)
    markdown = INLINE.sub(lambda found: keep(f"<span>{mathml(found[1], 'inline')}</span>"), markdown)
    # A code span may stand inside the text of a link, so links come last but for what was kept.
    markdown = LINK.sub(link, markdown)
    while "\x02" in markdown:
        markdown = re.sub(r"\x02(\d+)\x03", lambda found: kept[int(found[1])], markdown)
    return markdown
