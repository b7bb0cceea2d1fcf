"""Questions and answers without any download: the docstrings of Python's own library, first line and the rest."""

import ast
import re
import sysconfig
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

LEAST_WORDS, MOST_WORDS = 5, 120


def pairs() -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """Returns pairs to learn from, and pairs of every eighth module, which are kept out of it."""
    learned: dict[tuple[str, str], None] = {}
    held_out: dict[tuple[str, str], None] = {}
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.rglob("*.py")):
        name = path.relative_to(library).as_posix()
        if "site-packages" in name or "test" in name:
            continue
        kept_out = sha256(name.encode()).digest()[0] % 8 == 0
        (held_out if kept_out else learned).update(dict.fromkeys(_of_file(path)))
    return list(learned), [pair for pair in held_out if pair not in learned]


def _of_file(path: Path) -> Iterator[tuple[str, str]]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first, _, rest = (ast.get_docstring(node) or "").partition("\n\n")
            first, words = re.sub(r"\s+", " ", first).strip(), rest.split()
            if len(first.split()) >= LEAST_WORDS and len(words) >= 2 * LEAST_WORDS:
                yield first, " ".join(words[:MOST_WORDS])
