"""Hides the values of records in the words of both systems, and of the mapping, which quote them.

`The value 'QQ' in field 'State' is not found` becomes `The value '…' in field '…' is not found`. Names that
stand between quotes are hidden too, because nothing tells them from values; `--show-values` shows all.
"""

from __future__ import annotations

import re
from typing import Any

HINT = "values are hidden; --show-values shows them"
# An apostrophe inside of a word opens and closes nothing.
_QUOTED = re.compile(r"""(?<!\w)(['"])(?!…\1).+?\1(?!\w)""")


def veiled(text: str, *, values: bool) -> str:
    """`values`: they were asked for."""
    return text if values else _QUOTED.sub(r"\1…\1", text)


def veiled_document(data: Any, *, values: bool) -> Any:
    """The same for every text of a JSON document, beside the names of its members."""
    match data:
        case str():
            return veiled(data, values=values)
        case dict():
            return {name: veiled_document(each, values=values) for name, each in data.items()}
        case list():
            return [veiled_document(each, values=values) for each in data]
    return data
