"""The README's own examples, for tests that do what it says."""

import re

from tests.processes import ROOT


def blocks(language: str) -> list[str]:
    """Return the code blocks of a language, each with its last line feed."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text(), re.DOTALL | re.MULTILINE)


def block(language: str, beginning: str) -> str:
    """Return the first code block of a language that begins so."""
    for found in blocks(language):
        if found.lstrip().startswith(beginning):
            return found
    raise AssertionError(f"README has no {language} block that begins with {beginning!r}")
