import random
import time

import pytest

from nova_sonic_local.brains.hearing import hearing_grammar, scenario_words
from nova_sonic_local.brains.intents import Understanding
from nova_sonic_local.speech.automaton import Automaton, compile_grammar
from nova_sonic_local.speech.dictionary import shipped
from tests.speech.stage import TOOLS, built_in, today, understanding

TABLE = [
    (
        "es",
        "Quiero consultar el pedido número uno, mi DNI es uno dos tres cuatro cinco seis siete ocho",
        "order_status",
        {"order": "1", "dni": "12345678"},
    ),
    ("es", "Consulta el pedido número 1 con DNI 12345678", "order_status", {"order": "1", "dni": "12345678"}),
    ("es", "Cancela el pedido número 2 para Juan Pérez", "cancel_order", {"order": "2", "customer": "Juan Pérez"}),
    ("es", "Crea un pedido para María García con 2 productos", "create_order", {"customer": "María García", "count": 2}),
    (
        "es",
        "Agenda una cita para mañana a las 10 con el Dr. Rodríguez",
        "book_appointment",
        {"date": "2025-11-20", "time": "10:00", "doctor": "Dr. Rodríguez"},
    ),
    ("es", "Cancela la cita número 3 para Ana Martínez", "cancel_appointment", {"appointment": "3", "patient": "Ana Martínez"}),
    (
        "es",
        "Modifica la cita número 1 para el viernes a las 15:00",
        "change_appointment",
        {"appointment": "1", "date": "2025-11-21", "time": "15:00"},
    ),
    ("es", "Consulta la cita número 2 para Luis Fernández", "appointment_status", {"appointment": "2", "patient": "Luis Fernández"}),
    ("es", "¿Me podrías decir cómo está el pedido 3? soy ramiro gutiérrez", "order_status", {"order": "3", "customer": "Ramiro Gutiérrez"}),
    ("es", "Hola, quería saber por el pedido 12, mi documento es 30.991.245", "order_status", {"order": "12", "dni": "30991245"}),
    ("es", "cancelame el pedido nro 4", "cancel_order", {"order": "4"}),
    ("es", "quiero los detalles de mi pedido número dos", "order_details", {"order": "2"}),
    (
        "es",
        "crea un pedido para maría garcía con dos productos a, mi email es maria@empresa.com",
        "create_order",
        {"customer": "María García", "items": [{"name": "Producto A", "quantity": 2, "price": 25.99}], "email": "maria@empresa.com"},
    ),
    ("es", "quiero sacar un turno con la doctora lópez", "book_appointment", {"doctor": "Dra. López"}),
    ("es", "hola", "greet", {}),
    ("es", "muchas gracias", "thanks", {}),
    ("es", "no gracias", "goodbye", {}),
    ("es", "no entiendo nada de lo que me decís", None, {}),
    ("es", "¿Qué tiempo hace hoy?", None, {}),
    ("es", "", None, {}),
    (
        "en",
        "I want to check order number one, my ID is one two three four five six seven eight",
        "order_status",
        {"order": "1", "dni": "12345678"},
    ),
    ("en", "Check order number 1 with ID 12345678", "order_status", {"order": "1", "dni": "12345678"}),
    ("en", "Cancel order number 2 for Juan Pérez", "cancel_order", {"order": "2", "customer": "Juan Pérez"}),
    ("en", "Create an order for Maria Garcia with 2 products", "create_order", {"customer": "María García", "count": 2}),
    (
        "en",
        "Book an appointment for tomorrow at 10 with Dr. Rodríguez",
        "book_appointment",
        {"date": "2025-11-20", "time": "10:00", "doctor": "Dr. Rodríguez"},
    ),
    ("en", "Cancel appointment number 3 for Ana Martínez", "cancel_appointment", {"appointment": "3", "patient": "Ana Martínez"}),
    (
        "en",
        "Move appointment 1 to friday at 3 p.m.",
        "change_appointment",
        {"appointment": "1", "date": "2025-11-21", "time": "15:00"},
    ),
    ("en", "Check appointment number 2 for Luis Fernández", "appointment_status", {"appointment": "2", "patient": "Luis Fernández"}),
    ("en", "Where is my order 7? I'm John Smith", "order_status", {"order": "7", "customer": "John Smith"}),
    ("en", "hello", "greet", {}),
    ("en", "bye", "goodbye", {}),
    ("en", "what is the weather like", None, {}),
]


@pytest.mark.req("S4-59")
@pytest.mark.parametrize(("language", "text", "intent", "slots"), TABLE)
def test_a_typed_sentence_is_understood(language: str, text: str, intent: str | None, slots: dict[str, object]) -> None:
    reading = understanding(language).understand(text)

    assert (reading.intent.name if reading.intent else None) == intent
    assert reading.slots == slots


@pytest.mark.parametrize(
    ("language", "text", "expected", "slots"),
    [
        ("es", "uno dos tres cuatro cinco seis siete ocho", ("dni", "customer"), {"dni": "12345678"}),
        ("es", "es 12.345.678, gracias", ("dni", "customer"), {"dni": "12345678"}),
        ("es", "Juan Pérez", ("dni", "customer"), {"customer": "Juan Pérez"}),
        ("es", "soy Ramiro Gutiérrez", ("dni", "customer"), {"customer": "Ramiro Gutiérrez"}),
        ("es", "Ramiro", ("customer",), {"customer": "Ramiro"}),
        ("es", "juan punto perez arroba email punto com", ("email",), {"email": "juan.perez@email.com"}),
        ("es", "dos del producto a y uno del producto b", ("items",), None),
        ("es", "diez y media", ("time",), {"time": "10:30"}),
        ("es", "el viernes a las quince", ("date",), {"date": "2025-11-21", "time": "15:00"}),
        ("es", "el doctor rodríguez", ("doctor",), {"doctor": "Dr. Rodríguez"}),
        ("es", "el siete", ("order",), {"order": "7"}),
        ("es", "ni idea", ("order",), {}),
        ("en", "it's one two three four five six seven eight", ("dni", "customer"), {"dni": "12345678"}),
        ("en", "on friday", ("date",), {"date": "2025-11-21"}),
        ("en", "john dot smith at example dot com", ("email",), {"email": "john.smith@example.com"}),
    ],
)
def test_the_answer_to_a_question_needs_no_phrase(
    language: str, text: str, expected: tuple[str, ...], slots: dict[str, object] | None
) -> None:
    reading = understanding(language).understand(text, expected)

    assert reading.intent is None
    if slots is None:
        assert [(item["name"], item["quantity"]) for item in reading.slots["items"]] == [("Producto A", 2), ("Producto B", 1)]  # type: ignore[attr-defined]
    else:
        assert reading.slots == slots


def test_a_new_request_is_heard_while_a_question_is_open() -> None:
    reading = understanding("es").understand("mejor cancela el pedido número dos", ("dni", "customer"))

    assert reading.intent is not None
    assert reading.intent.name == "cancel_order"


def test_a_tool_that_is_not_there_is_not_listened_for() -> None:
    narrow = Understanding(built_in(), "es", frozenset(("consultarOrder",)), today)
    grammar = hearing_grammar(narrow)

    assert "pedido" in grammar.words
    assert "turno" not in grammar.words
    assert len(hearing_grammar(understanding("es")).words) > len(grammar.words)


def test_answers_are_listened_for_only_after_their_question() -> None:
    phrases = understanding("es")
    intent = next(intent.spec for intent in phrases.offered if intent.spec.name == "book_appointment")
    quiet, asking = compile_grammar(hearing_grammar(phrases).jsgf), compile_grammar(hearing_grammar(phrases, intent, ("email",)).jsgf)
    address = ["juan", "punto", "pérez", "arroba", "email", "punto", "com"]

    assert not quiet.accepts(address)
    assert asking.accepts(address)
    assert asking.accepts(["cancela", "el", "pedido", "número", "dos"])


def walk(automaton: Automaton, source: random.Random) -> str:
    """Return a sentence of the grammar by a random walk."""
    steps: dict[int, list[tuple[str, int]]] = {}
    for start, word, end in automaton.transitions:
        steps.setdefault(start, []).append((word, end))
    words: list[str] = []
    state = 0
    while state not in automaton.accepting or (state in steps and len(words) < 25 and source.random() < 0.7):
        word, state = source.choice(steps[state])
        words.append(word)
    return " ".join(words)


@pytest.mark.parametrize("language", ["es", "en"])
def test_whatever_the_recogniser_can_return_is_understood(language: str) -> None:
    phrases = understanding(language)
    source = random.Random(7)
    intent = next(intent.spec for intent in phrases.offered if intent.spec.name == "book_appointment")
    for expected in ((), ("date",), ("email",), ("doctor",)):
        automaton = compile_grammar(hearing_grammar(phrases, intent if expected else None, expected).jsgf)
        sentences = {walk(automaton, source) for _ in range(100)}

        assert [sentence for sentence in sentences if sentence and not phrases.understand(sentence, expected)] == []


def test_the_shipped_dictionaries_hold_every_word_of_the_built_in_scenario() -> None:
    missing = {language: set(words) - shipped(language).keys() for language, words in scenario_words().items()}

    assert missing == {"es": set(), "en": set()}


def test_understanding_does_not_hold_up_the_event_loop() -> None:
    text = "quiero consultar el pedido número uno para juan pérez con el doctor rodríguez el cinco de diciembre a las diez " * 6
    phrases = understanding("es")
    phrases.understand(text)
    took = []
    for _ in range(5):
        start = time.perf_counter()
        phrases.understand(text, tuple(TOOLS))
        took.append(time.perf_counter() - start)

    assert min(took) < 0.05
