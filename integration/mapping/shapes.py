"""Which lines of a mapping table apply to a record, and the digest that says whether two records are equal.

A digest is of the texts that a comparison sees: those of a row of the source, mapped, and those of a record
of the target are the same where nothing is to be written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from integration.mapping.cells import cell_text
from integration.mapping.values import Comparison, TransformError, canonical

if TYPE_CHECKING:
    from collections.abc import Sequence

    from integration.mapping.tables import Mapped

Texts = tuple[str, ...]
Kept = tuple[Texts, bytes]
Fold = tuple[int, Callable[[str], str]]  # the place of a text, and what makes its key of comparison
DIGEST_SIZE = 8
NEVER = b"\xff" * DIGEST_SIZE  # of a row that cannot be compared: different from everything
_END = "\x1f"  # between two fields of a digest; clean text does not hold it


@dataclass(frozen=True, slots=True)
class Shape:
    """The lines that apply to some records: the target fields kept equal, and those only a creation sets."""

    number: int
    targets: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    create_only: tuple[str, ...]
    create_comparisons: tuple[Comparison, ...]


def kept_of(shape: Shape, mapped: Mapped) -> Kept:
    """The texts and the digest of a record that the table mapped. Raises KeyError where that has another
    shape."""
    values = [mapped.values[name] for name in shape.targets]
    texts = tuple(cell_text(*pair) for pair in zip(values, shape.comparisons, strict=True))
    return texts, digest_of(shape, values)


def created_of(shape: Shape, mapped: Mapped) -> Texts:
    """What `CompiledTable.created` gives. Raises KeyError as `kept_of`."""
    values = [mapped.create_only[name] for name in shape.create_only]
    return tuple(cell_text(*pair) for pair in zip(values, shape.create_comparisons, strict=True))


def digest_of(shape: Shape, values: Sequence[object]) -> bytes:
    """Of values in the order of the shape's targets."""
    try:
        pairs = zip(values, shape.comparisons, strict=True)
        return digest_of_keys([canonical(value, comparison) for value, comparison in pairs])
    except TransformError:
        return NEVER


def folds_of(shape: Shape) -> list[Fold]:
    """Where the key of comparison is not the text itself."""
    folds: list[Fold] = []
    for place, comparison in enumerate(shape.comparisons):
        if comparison == "ignore-case":
            folds.append((place, str.casefold))
        elif comparison == "number":
            folds.append((place, lambda text: canonical(text, "number")))
        elif comparison == "date":
            folds.append((place, lambda text: canonical(text, "date")))
    return folds


def digest_of_keys(keys: Sequence[str]) -> bytes:
    text = _END.join(keys).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=DIGEST_SIZE).digest()
