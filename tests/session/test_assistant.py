"""Assistants from TOML, and what a client may change of them."""

from dataclasses import replace

import pytest

from s2s.events import Endpointing, InferenceConfiguration, Role
from s2s.models import capabilities
from session.assistant import AssistantError, AssistantLanguage, SessionPlan, parse_assistant, plan_session
from session.errors import NotAllowed
from session.events import HistoryTurn, Start
from tests.session.doubles import MODEL_ID, PROFILE

GOOD = """
name = "carlos"
default_language = "es"
client_may_set = ["voice", "endpointing"]
tools = ["consultarOrder", "cancelarOrder"]
hidden_markers = ["[FINAL]"]
endpointing = "HIGH"
[inference]
max_tokens = 2048
temperature = 0.2
[languages.es]
voice = "carlos"
prompt = '''
Sos Carlos.
'''
[languages.en]
voice = "matthew"
prompt = "You are Carlos."
"""
EVERYTHING = frozenset({"prompt", "voice", "inference", "endpointing", "history"})


def plan(start: Start, client_may_set: frozenset[str] = PROFILE.client_may_set, model_id: str = MODEL_ID) -> SessionPlan:
    return plan_session(replace(PROFILE, client_may_set=client_may_set), start, capabilities(model_id))


@pytest.mark.req("S4-57")
def test_an_assistant_is_read_from_its_file() -> None:
    profile = parse_assistant(GOOD)

    assert profile.name == "carlos"
    assert profile.languages["es"].prompt == "Sos Carlos."
    assert profile.languages["en"].voice_id == "matthew"
    assert profile.tools == ("consultarOrder", "cancelarOrder")
    assert profile.client_may_set == {"voice", "endpointing"}
    assert profile.inference == InferenceConfiguration(2_048, 0.9, 0.2)
    assert profile.endpointing is Endpointing.HIGH
    assert profile.hidden_markers == ("[FINAL]",)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('name = "carlos"', "", "missing: name"),
        ('voice = "matthew"', "", "missing: voice"),
        ('voice = "matthew"', 'voice = ""', "languages.en: prompt and voice"),
        ('"You are Carlos."', '" "', "languages.en: prompt and voice"),
        ('default_language = "es"', 'default_language = "fr"', "default_language fr has no"),
        ('"voice", "endpointing"', '"voice", "accent"', "accent cannot be set by clients"),
        ('"HIGH"', '"QUICK"', "QUICK"),
        ("max_tokens = 2048", "max_tokens = 0", "inference: max_tokens"),
        ("max_tokens = 2048", "max_tokens = 1.5", "inference: max_tokens"),
        ("max_tokens = 2048", 'max_tokens = "many"', "not supported"),
        ("max_tokens = 2048", "top_k = 3", "top_k"),
        ("[inference]", "[inference", "line"),
        ('tools = ["consultarOrder", "cancelarOrder"]', 'tools = "consultarOrder"', "tools: a list"),
        ("[inference]", "acknowledge_after_seconds = 0.4\n[inference]", "acknowledge_after_seconds: a number from 0.5 to 30"),
        ("[inference]", "acknowledge_after_seconds = true\n[inference]", "acknowledge_after_seconds: a number"),
        ("[languages.en]", "[languages.en]\nacknowledgement = 3", "acknowledgement: a text"),
        ("[languages.en]", f"[languages.en]\nacknowledgement = '{'x' * 201}'", "acknowledgement: a text of at most 200"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_with_the_reason(old: str, new: str, complaint: str) -> None:
    with pytest.raises(AssistantError, match=complaint):
        parse_assistant(GOOD.replace(old, new))


def test_what_is_said_while_a_tool_takes_its_time_is_set_for_each_language() -> None:
    text = GOOD.replace("[inference]", "acknowledge_after_seconds = 3\n[inference]")
    profile = parse_assistant(text.replace("[languages.en]", "[languages.en]\nacknowledgement = ' One moment. '"))
    planned = [plan_session(profile, Start(language=language), capabilities(MODEL_ID)) for language in ("en", "es")]

    assert [(one.acknowledgement, one.acknowledge_after_seconds) for one in planned] == [("One moment.", 3.0), ("", 3.0)]
    assert parse_assistant(GOOD).acknowledge_after_seconds == 2.0


@pytest.mark.parametrize("languages", ["3", "{es = 3}", "{es = {voice = 'carlos'}}", "{}"])
def test_languages_of_another_shape_are_refused(languages: str) -> None:
    with pytest.raises(AssistantError):
        parse_assistant(f'name = "carlos"\ndefault_language = "es"\nlanguages = {languages}')


def test_what_the_client_leaves_open_is_the_assistants_choice() -> None:
    planned = plan(Start())

    assert (planned.assistant, planned.language, planned.voice_id, planned.prompt) == ("carlos", "es", "carlos", "Sos Carlos.")
    assert planned.tools == ("lookUp",)
    assert planned.takes_text


@pytest.mark.req("S0-34")
def test_the_language_is_the_clients_choice() -> None:
    planned = plan(Start(language="en"))

    assert (planned.voice_id, planned.prompt) == ("matthew", "You are Carlos.")


@pytest.mark.req("S0-35")
@pytest.mark.parametrize(
    ("start", "complaint"),
    [
        (Start(language="fr"), "does not speak 'fr'"),
        (Start(voice_id="zarathustra"), "no voice 'zarathustra'"),
        (Start(input_hertz=44_100), "samples per second"),
        (Start(output_hertz=0), "samples per second"),
        (Start(inference=InferenceConfiguration(max_tokens=0)), "numbers cannot be used"),
        (Start(inference=InferenceConfiguration(top_p=1.5)), "numbers cannot be used"),
        (Start(inference=InferenceConfiguration(temperature=-0.1)), "numbers cannot be used"),
    ],
)
def test_a_choice_that_does_not_exist_is_refused(start: Start, complaint: str) -> None:
    with pytest.raises(NotAllowed, match=complaint):
        plan(start)


def test_what_the_server_knows_of_the_user_stands_after_the_prompt() -> None:
    planned = plan(Start(context=" Her name is Ana. "))

    assert planned.prompt == "Sos Carlos.\n\nHer name is Ana."
    assert plan(Start(prompt="Be brief.", context="She is Ana."), EVERYTHING).prompt == "Be brief.\n\nShe is Ana."


def test_what_clients_may_set_is_taken() -> None:
    history = (HistoryTurn(Role.USER, "Hola."),)
    numbers = InferenceConfiguration(512, 0.5, 0.0)
    start = Start(voice_id="lupe", prompt="Be brief.", inference=numbers, endpointing=Endpointing.LOW, history=history)
    planned = plan(start, EVERYTHING)

    assert (planned.voice_id, planned.prompt, planned.inference) == ("lupe", "Be brief.", numbers)
    assert (planned.endpointing, planned.history) == (Endpointing.LOW, history)


def test_what_clients_may_not_set_is_left_aside() -> None:
    start = Start(
        voice_id="lupe",
        prompt="Be brief.",
        inference=InferenceConfiguration(1),
        endpointing=Endpointing.LOW,
        history=(HistoryTurn(Role.USER, "Hola."),),
    )

    assert plan(start, frozenset()) == plan(Start(), frozenset())


@pytest.mark.parametrize("prompt", ["", "  \n", "\x00"])
def test_a_prompt_without_words_is_no_prompt(prompt: str) -> None:
    assert plan(Start(prompt=prompt), EVERYTHING).prompt == "Sos Carlos."


def test_an_older_model_is_not_asked_for_what_it_cannot_do() -> None:
    talkative = AssistantLanguage("Sos Carlos.", "carlos", "Un momento.")
    profile = replace(PROFILE, languages={"es": talkative})
    start, models = Start(endpointing=Endpointing.LOW), ("amazon.nova-sonic-v1:0", MODEL_ID)
    old, new = (plan_session(profile, start, capabilities(model_id)) for model_id in models)

    assert old.endpointing is None
    assert not old.takes_text
    assert (old.acknowledgement, new.acknowledgement) == ("", "Un momento.")


@pytest.mark.req("S0-67")
@pytest.mark.parametrize(
    ("start", "may_set", "voice"),
    [
        (Start(preferred_voice_id="tiffany"), {"voice"}, "tiffany"),
        (Start(preferred_voice_id="tiffany", voice_id="lupe"), {"voice"}, "lupe"),
        (Start(preferred_voice_id="tiffany"), set(), PROFILE.languages[PROFILE.default_language].voice_id),
        (Start(preferred_voice_id="a voice that was taken away"), {"voice"}, PROFILE.languages[PROFILE.default_language].voice_id),
    ],
)
def test_the_voice_that_a_user_likes_best_counts_where_clients_may_choose_one_and_name_none(
    start: Start, may_set: set[str], voice: str
) -> None:
    assert plan(start, frozenset(may_set)).voice_id == voice
