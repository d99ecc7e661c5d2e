"""Paragraphs of an explanation: what is said of each layer, and of repeated blocks once."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass


class Explanation(str):
    """A text of one paragraph a layer, headed by its name; notebooks show it as Markdown."""

    __slots__ = ()

    def _repr_markdown_(self) -> str:
        headed = (paragraph.partition(": ") for paragraph in self.split("\n\n"))
        return "\n\n".join(f"**{_escaped(head)}**: {_escaped(rest)}" for head, _, rest in headed)


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|])", r"\\\1", text)


@dataclass(frozen=True)
class Sentence:
    """A sentence. A claim of a pair has the change of the outputs that was measured, None where none was."""

    text: str
    claim: bool = False
    error: float | None = None


@dataclass(frozen=True)
class Paragraph:
    """What is said of a layer: claims first, then their grade, then what is refused."""

    name: str
    kind: str
    sentences: tuple[Sentence, ...]

    def __str__(self) -> str:
        head = f"{self.name} ({self.kind})" if self.kind else self.name
        claims = [s.text for s in self.sentences if s.claim]
        others = [s.text for s in self.sentences if not s.claim]
        return f"{head}: {' '.join([*claims, *self._grade(), *others])}"

    def _grade(self) -> list[str]:
        claims = [s for s in self.sentences if s.claim]
        errors = [s.error for s in claims if s.error is not None]
        if not claims:
            return []
        if len(errors) < len(claims):
            return ["For all inputs; not run."]
        most = "" if len(claims) == 1 else "at most "
        return [
            f"For all inputs; outputs {f'change by {most}{max(errors):.0e}' if max(errors) else 'keep every bit'}."
        ]


def summed(paragraphs: Sequence[Paragraph]) -> list[Paragraph]:
    """Paragraphs with those of repeated blocks, ``h.0``, ``h.1`` ..., said once."""
    result: list[Paragraph] = []
    rest = list(paragraphs)
    while rest:
        run = _run(rest)
        if run is None:
            result.append(rest.pop(0))
            continue
        prefix, first, last, length = run
        blocks = [rest[k * length : (k + 1) * length] for k in range(last - first + 1)]
        for same in zip(*blocks, strict=True):
            result.append(_merged(prefix, first, last, same))
        rest = rest[length * len(blocks) :]
    return result


def _run(paragraphs: Sequence[Paragraph]) -> tuple[str, int, int, int] | None:
    """The longest run of equal blocks at the front: (prefix, first, last, paragraphs in each)."""
    match = re.match(r"(.*?\.|)(\d+)(\.|$)", paragraphs[0].name)
    if match is None or not match[1]:
        return None
    prefix, first = match[1], int(match[2])

    def block(start: int, index: int) -> list[Paragraph]:
        taken: list[Paragraph] = []
        for paragraph in paragraphs[start:]:
            if not re.match(rf"{re.escape(prefix)}{index}(\.|$)", paragraph.name):
                break
            taken.append(paragraph)
        return taken

    own = block(0, first)
    shape = [_pattern(prefix, first, p) for p in own]
    last = first
    while True:
        following = block(len(own) * (last + 1 - first), last + 1)
        if len(following) != len(own) or [_pattern(prefix, last + 1, p) for p in following] != shape:
            break
        last += 1
    return (prefix, first, last, len(own)) if last > first else None


def _pattern(prefix: str, index: int, paragraph: Paragraph) -> tuple[str, str, tuple[tuple[str, bool], ...]]:
    """A paragraph with the number of its block, and of its neighbours, as letters; errors apart."""

    def lettered(match: re.Match[str]) -> str:
        step = int(match[1]) - index
        return f"{prefix}{'i' if not step else f'(i{step:+d})'}"

    def letters(text: str) -> str:
        return re.sub(rf"(?<![\w.]){re.escape(prefix)}(\d+)(?![\w])", lettered, text)

    said = tuple((letters(s.text), s.claim) for s in paragraph.sentences)
    return letters(paragraph.name), paragraph.kind, said


def _merged(prefix: str, first: int, last: int, same: Sequence[Paragraph]) -> Paragraph:
    name, kind, said = _pattern(prefix, first, same[0])
    sentences = []
    for k, (text, claim) in enumerate(said):
        errors = [error for p in same if (error := p.sentences[k].error) is not None]
        sentences.append(Sentence(text, claim, max(errors) if len(errors) == len(same) else None))
    return Paragraph(f"{name} for i = {first} to {last}", kind, tuple(sentences))


__all__ = ["Explanation", "Paragraph", "Sentence", "summed"]
