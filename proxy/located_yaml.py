"""YAML whose values are known by their lines, so that whatever is wrong with one can be found in the file."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import yaml

Place: TypeAlias = tuple[str | int, ...]
"""To a value: the keys and the positions that lead there."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    line: int
    """From 1."""
    message: str


class InvalidYAMLError(Exception):
    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = problems


class LocatedYAML:
    def __init__(self, value: Any, root: yaml.Node | None) -> None:
        self.value = value
        self._root = root

    @classmethod
    def parse(cls, content: bytes) -> "LocatedYAML":
        """One document of plain values. Keys that stand twice are errors. Raises InvalidYAMLError."""
        try:
            text = content.decode("utf-8")
            loader = yaml.SafeLoader(text)
            root = loader.get_single_node()
            if root is None:
                return cls(None, None)
            if duplicates := sorted(set(_duplicates(root, set()))):
                raise InvalidYAMLError(duplicates)
            return cls(loader.construct_document(root), root)
        except UnicodeDecodeError as problem:
            line = content.count(b"\n", 0, problem.start) + 1
            raise InvalidYAMLError([Problem(line, "is not UTF-8")]) from None
        except yaml.MarkedYAMLError as problem:
            raise InvalidYAMLError([_syntax_problem(problem)]) from None
        except yaml.reader.ReaderError as problem:
            line = text.count("\n", 0, problem.position) + 1
            message = f"is not YAML: the character {problem.character!r} is not allowed"
            raise InvalidYAMLError([Problem(line, message)]) from None
        except RecursionError:
            raise InvalidYAMLError([Problem(1, "is not YAML: nested too deeply")]) from None
        except (ValueError, LookupError, AttributeError) as problem:
            # PyYAML's own, of a scalar that is not what its form or tag says: the date 2026-99-99, !!bool x.
            raise InvalidYAMLError([Problem(1, f"is not YAML: a value makes no sense: {problem}")]) from None

    def line(self, place: Place) -> int:
        """Of the key or the list's item at its end, or of the last on the way that there is."""
        node, line = self._root, 1
        if node is not None:
            line = node.start_mark.line + 1
        for step in place:
            found = _child(node, step)
            if found is None:
                break
            at, node = found
            line = at.start_mark.line + 1
        return line


def _child(node: yaml.Node | None, step: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """Where a value stands that is one step further, and the value."""
    if isinstance(node, yaml.MappingNode):
        # The last: what was merged in stands before what is written there.
        pairs = reversed(node.value)
        return next(((key, value) for key, value in pairs if key.value == str(step)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        return node.value[step], node.value[step]
    return None


def _duplicates(node: yaml.Node, seen_nodes: set[int]) -> Iterator[Problem]:
    if id(node) in seen_nodes:  # aliases lead to it again, perhaps in a circle
        return
    seen_nodes.add(id(node))
    if isinstance(node, yaml.MappingNode):
        lines: dict[str, int] = {}
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                line = key.start_mark.line + 1
                if key.value in lines:
                    yield Problem(
                        line, f"the key `{key.value}` stands here again, after line {lines[key.value]}"
                    )
                lines[key.value] = line
            yield from _duplicates(value, seen_nodes)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            yield from _duplicates(item, seen_nodes)


def _syntax_problem(problem: yaml.MarkedYAMLError) -> Problem:
    mark = problem.problem_mark or problem.context_mark
    parts = [part for part in (problem.context, problem.problem) if part]
    return Problem(mark.line + 1 if mark is not None else 1, f"is not YAML: {': '.join(parts)}")
