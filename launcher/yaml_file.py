"""A YAML file that remembers on which line each key stands, so that a problem can be shown where it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

Key = tuple[str | int, ...]


class BadConfig(Exception):
    """The file cannot be used. `problems` has one line for each fault."""

    def __init__(self, problems: Sequence[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True)
class YamlFile:
    """A file's content, and the line of every key.

    Attributes:
        path: of the file; `None` if the content was made from flags.
        content: the mapping that it holds.
        lines: key path to line number, counted from 1.
    """

    path: Path | None
    content: dict[str, Any]
    lines: dict[Key, int]

    def problem(self, key: Sequence[str | int], message: str) -> str:
        """Returns one line: file, line, key path, what is wrong."""
        name = ".".join(map(str, key))
        text = f"{name}: {message}" if name else message
        if self.path is None:
            return text
        known = next((tuple(key[:end]) for end in range(len(key), 0, -1) if tuple(key[:end]) in self.lines), None)
        return f"{self.path}:{self.lines[known]}: {text}" if known else f"{self.path}: {text}"


def read(path: Path) -> YamlFile:
    """Reads a file. Raises `BadConfig`: it is missing, no YAML, no mapping, or says a key twice."""
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except OSError as error:
        raise BadConfig([f"{path}: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise BadConfig([f"{path}: is not UTF-8 text"]) from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadConfig([f"{path}:{line}: is not valid YAML: {error.problem}"]) from None
    except yaml.YAMLError as error:
        raise BadConfig([f"{path}: is not valid YAML: {' '.join(str(error).split())}"]) from None
    if root is None:
        return YamlFile(path, {}, {})
    if not isinstance(root, yaml.MappingNode):
        raise BadConfig([f"{path}:1: must be a mapping of keys to values, such as `models:`"])
    lines: dict[Key, int] = {}
    if twice := _note_lines(root, (), lines):
        raise BadConfig([f"{path}:{line}: {'.'.join(map(str, key))}: stands here again" for key, line in twice])
    try:
        content = yaml.constructor.SafeConstructor().construct_document(root)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadConfig([f"{path}:{line}: {error.problem}"]) from None
    return YamlFile(path, content, lines)


def _note_lines(node: yaml.Node, at: Key, lines: dict[Key, int]) -> list[tuple[Key, int]]:
    """Notes the line of every key below `node`; returns keys that occur again, with the line where they do."""
    twice: list[tuple[Key, int]] = []
    if isinstance(node, yaml.MappingNode):
        for key_node, value in node.value:
            key = (*at, str(key_node.value))
            if key in lines:
                twice.append((key, key_node.start_mark.line + 1))
                continue
            lines[key] = key_node.start_mark.line + 1
            twice += _note_lines(value, key, lines)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            lines[(*at, index)] = value.start_mark.line + 1
            twice += _note_lines(value, (*at, index), lines)
    return twice
