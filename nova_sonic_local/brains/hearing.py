"""Make the recogniser's grammar from what can be understood."""

import datetime as dt
from pathlib import Path

from nova_sonic_local.brains.intents import Understanding
from nova_sonic_local.brains.scenario import load_scenario
from nova_sonic_local.speech.grammar import Grammar, alternatives, write_grammar


def hearing_grammar(understanding: Understanding) -> Grammar:
    """Return the grammar of everything that can be said: requests with their slots' phrases, and answers to questions."""
    rules: dict[str, str] = {}
    for name, phrases in understanding.clauses.items():
        rules[f"slot_{name}"] = alternatives(phrase.node.jsgf() for phrase in phrases)
        rules[f"bare_{name}"] = understanding.readers[name].bare.jsgf()
    rules = {name: expansion for name, expansion in rules.items() if expansion}
    requests: list[str] = []
    for number, intent in enumerate(understanding.offered):
        spoken = alternatives(phrase.node.jsgf() for phrase in intent.heard)
        clauses = alternatives(f"<slot_{name}>" for name in intent.spec.slots if f"slot_{name}" in rules)
        if spoken:
            rules[f"intent_{number}"] = f"{spoken} {clauses}*" if clauses else spoken
            requests.append(f"<intent_{number}>")
    slots = alternatives(f"<slot_{name}>" for name in understanding.clauses if f"slot_{name}" in rules)
    bare = alternatives(f"<bare_{name}>" for name in understanding.clauses if f"bare_{name}" in rules)
    answers = alternatives((f"{slots}+" if slots else "", bare))
    prefix, suffix = understanding.prefix.jsgf(), understanding.suffix.jsgf()
    rules["utterance"] = " ".join(part for part in (prefix, alternatives((*requests, answers)), suffix) if part)
    return write_grammar(understanding.language.id, rules, "utterance")


def scenario_words(path: Path | None = None) -> dict[str, tuple[str, ...]]:
    """Return the words of a scenario with all its tools, by language: what its dictionary has to hold."""
    scenario = load_scenario(path)
    tools = frozenset(intent.tool for intent in scenario.intents if intent.tool)
    return {language: hearing_grammar(Understanding(scenario, language, tools, dt.date.today)).words for language in scenario.languages}
