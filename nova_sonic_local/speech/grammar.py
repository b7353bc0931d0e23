"""Write a JSGF grammar, and list its words.

pocketsphinx reads JSGF (W3C note of 5 June 2000) and compiles each reference to a rule into its own copy of the network, so the size of the
search grows with the number of references, not with that of rules.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

_HEADER = "#JSGF V1.0;"
_REFERENCE = re.compile(r"<(\w+)>")
_MARKS = re.compile(r"<[^>]*>|[\[\]()|*+;=]|\bpublic\b")


@dataclass(frozen=True, slots=True)
class Grammar:
    """A closed set of sentences in one language."""

    language: str
    jsgf: str
    words: tuple[str, ...]
    """Sorted; each needs a pronunciation."""


def alternatives(expansions: Iterable[str]) -> str:
    """Join expansions to a choice, leaving out what is empty or double; empty when nothing is left."""
    parts = list(dict.fromkeys(part for part in expansions if part))
    return f"( {' | '.join(parts)} )" if parts else ""


def write_grammar(language: str, rules: Mapping[str, str], public: str) -> Grammar:
    """Write a grammar.

    Args:
        language: Its language.
        rules: Rule name -> expansion.
        public: The name of the rule that is a whole utterance.

    """
    rules = _used(rules, public)
    body = "\n".join(f"{'public ' if name == public else ''}<{name}> = {expansion};" for name, expansion in rules.items())
    words = {word for expansion in rules.values() for word in _MARKS.sub(" ", expansion).split()}
    return Grammar(language, f"{_HEADER}\ngrammar scenario;\n{body}\n", tuple(sorted(words)))


def _used(rules: Mapping[str, str], public: str) -> dict[str, str]:
    """Return the rules that the public one needs."""
    found, pending = {public}, [public]
    while pending:
        for name in _REFERENCE.findall(rules[pending.pop()]):
            if name not in found:
                found.add(name)
                pending.append(name)
    return {name: expansion for name, expansion in rules.items() if name in found}
