from collections.abc import Mapping

import pytest

from nova_sonic_local.brains.dialogue import Call, Dialogue, Say
from nova_sonic_local.brains.intents import Understanding
from nova_sonic_local.brains.interface import Tool
from nova_sonic_local.brains.phrasing import Phrasing
from nova_sonic_local.brains.scenario import parse_scenario
from nova_sonic_local.speech.language import load_language
from tests.speech.stage import TOOLS, Json, built_in, today, tool, understanding

ORDER: Json = {
    "id": "1",
    "status": "pending",
    "estimatedDelivery": "2025-11-24T00:00:00+00:00",
    "items": [{"name": "Producto A", "quantity": 2}, {"name": "Producto B", "quantity": 1}],
    "total": 67.48,
}
APPOINTMENT: Json = {"id": "2", "doctorName": "Dra. López", "date": "2025-11-20T10:00:00-03:00", "time": "10:00", "status": "confirmed"}


def dialogue(language: str = "es", tools: Mapping[str, Tool] = TOOLS) -> Dialogue:
    phrases = built_in().languages[language]
    return Dialogue(built_in(), understanding(language), tools, Phrasing(load_language(language), phrases, today))


def said(step: Say | Call) -> str:
    assert isinstance(step, Say)
    return step.text


@pytest.mark.req("S4-46", "S4-53")
def test_the_issue_s_sentence_calls_the_tool_at_once() -> None:
    step = dialogue().hear("Quiero consultar el pedido número uno, mi DNI es uno dos tres cuatro cinco seis siete ocho")

    assert step == Call("consultarOrder", {"orderId": "1", "dni": "12345678"})


def test_missing_slots_are_asked_for_one_after_the_other() -> None:
    talk = dialogue()
    question = said(talk.hear("Quiero consultar el pedido número uno"))
    asked_for = talk.expected
    call = talk.hear("uno dos tres cuatro cinco seis siete ocho")

    assert "DNI" in question
    assert asked_for == ("dni", "customer")
    assert call == Call("consultarOrder", {"orderId": "1", "dni": "12345678"})
    assert talk.expected == ()


@pytest.mark.req("S4-48")
def test_an_order_is_placed_with_items_and_their_sum() -> None:
    talk = dialogue()

    assert "productos" in said(talk.hear("Crea un pedido para María García con 2 productos"))
    assert "email" in said(talk.hear("dos productos a y un producto b"))
    assert talk.hear("maria punto garcia arroba email punto com") == Call(
        "crearOrder",
        {
            "customerName": "María García",
            "customerEmail": "maria.garcia@email.com",
            "items": [
                {"name": "Producto A", "quantity": 2, "price": 25.99},
                {"name": "Producto B", "quantity": 1, "price": 15.5},
            ],
            "total": 67.48,
        },
    )


@pytest.mark.req("S4-49")
def test_an_appointment_is_made_with_day_and_time_in_one_argument() -> None:
    talk = dialogue("en")

    assert "patient" in said(talk.hear("Book an appointment for tomorrow at 10 with Dr. Rodríguez"))
    assert "email" in said(talk.hear("John Smith"))
    assert talk.hear("john dot smith at example dot com") == Call(
        "agendarTurno",
        {"patientName": "John Smith", "patientEmail": "john.smith@example.com", "doctorName": "Dr. Rodríguez", "date": "2025-11-20T10:00"},
    )


@pytest.mark.req("S4-51")
@pytest.mark.parametrize(
    ("text", "arguments"),
    [
        ("modifica la cita número 1 para el viernes a las 15:00", {"newDate": "2025-11-21T15:00", "newTime": "15:00"}),
        ("modifica la cita número 1 para el viernes", {"newDate": "2025-11-21"}),
        ("modifica la cita número 1 a las 15:00", {"newTime": "15:00"}),
    ],
)
def test_what_is_not_said_of_a_new_time_is_left_out(text: str, arguments: Json) -> None:
    talk = dialogue()
    talk.hear(text)

    assert talk.hear("Juan Pérez") == Call("modificarTurno", {"appointmentId": "1", "patientName": "Juan Pérez", **arguments})


@pytest.mark.parametrize(
    ("language", "text", "result", "expected"),
    [
        (
            "es",
            "consulta el pedido número 1 con dni 12345678",
            {"success": True, "order": ORDER},
            "Tu pedido 1 está pendiente y la entrega se estima para el lunes 24 de noviembre.",
        ),
        (
            "es",
            "detalles del pedido 1 para Juan Pérez",
            {"success": True, "order": ORDER},
            "Tu pedido 1 tiene 2 Producto A y 1 Producto B, con un total de $67.48. Está pendiente.",
        ),
        (
            "en",
            "check order number 1 with id 12345678",
            {"success": True, "order": {**ORDER, "estimatedDelivery": None}},
            "Your order 1 is pending.",
        ),
        (
            "en",
            "check appointment number 2 for Luis Fernández",
            {"success": True, "appointment": APPOINTMENT},
            "Your appointment 2 is on tomorrow at 10:00 and it is confirmed.",
        ),
        ("en", "cancel order number 2 for Juan Pérez", {"success": True, "message": "Order 2 is gone."}, "Done, your order is cancelled."),
        ("en", "check order number 2 for Juan Pérez", {"success": True, "message": "Order 2 is here."}, "Order 2 is here."),
        ("en", "check order number 2 for Juan Pérez", {"success": True}, "Done."),
        ("en", "check order number 2 for Juan Pérez", {"success": False, "error": "strange", "message": "No luck."}, "No luck."),
        ("en", "check order number 2 for Juan Pérez", {"success": False}, "I had a problem doing that. Shall we try again?"),
    ],
)
def test_results_are_told_in_the_language_of_the_conversation(language: str, text: str, result: Json, expected: str) -> None:
    talk = dialogue(language)
    step = talk.hear(text)

    assert isinstance(step, Call)
    assert said(talk.told(result)) == expected


def test_a_refused_identity_can_be_corrected_without_saying_the_rest_again() -> None:
    talk = dialogue()
    talk.hear("consulta el pedido número 1 con dni 87654321")

    assert "nombre completo" in said(talk.told({"success": False, "error": "identity_not_verified", "message": "Ask again."}))
    assert talk.expected == ("dni", "customer")
    assert talk.hear("Juan Pérez") == Call("consultarOrder", {"orderId": "1", "customerName": "Juan Pérez"})


def test_a_follow_up_question_knows_what_was_spoken_of() -> None:
    talk = dialogue()
    talk.hear("consulta el pedido número 1 con dni 12345678")
    talk.told({"success": True, "order": ORDER})

    assert talk.hear("¿y los detalles?") == Call("consultarOrder", {"orderId": "1", "dni": "12345678"})


def test_what_is_not_understood_is_said_and_the_question_is_repeated() -> None:
    talk = dialogue()
    first, second = said(talk.hear(None)), said(talk.hear("bla bla bla"))
    talk.hear("consulta el pedido número 1")

    assert first != second
    assert "DNI" in said(talk.hear("99"))
    assert talk.expected == ("dni", "customer")


def test_never_mind_ends_what_was_asked_for() -> None:
    talk = dialogue()
    talk.hear("consulta el pedido número 1")

    assert said(talk.hear("no")) == "Está bien, lo dejamos así. ¿Necesitás algo más?"
    assert talk.asked_for is None
    assert "no te entendí" in said(talk.hear("12345678"))


def test_a_greeting_does_not_end_what_was_asked_for() -> None:
    talk = dialogue()
    talk.hear("consulta el pedido número 1")
    talk.hear("hola")

    assert talk.hear("12345678") == Call("consultarOrder", {"orderId": "1", "dni": "12345678"})


def test_a_tool_that_the_client_did_not_bring_is_refused() -> None:
    talk = dialogue(tools={"consultarOrder": TOOLS["consultarOrder"]})

    assert said(talk.hear("cancela el pedido número 2 para Juan Pérez")) == "Eso no lo puedo hacer en esta conversación."


def test_arguments_go_under_the_names_of_the_tool_s_own_schema() -> None:
    snake = tool("consultarOrder", ["order_id"], ["order_id", "customer_name"])

    step = dialogue(tools={"consultarOrder": snake}).hear("consulta el pedido número 1 para Juan Pérez")

    assert step == Call("consultarOrder", {"order_id": "1", "customer_name": "Juan Pérez"})


def test_an_argument_that_no_scenario_fills_is_named() -> None:
    strict = tool("consultarOrder", ["orderId", "branch"], ["orderId", "customerName", "branch"])

    assert said(dialogue("en", {"consultarOrder": strict}).hear("check order number 1 for Juan Pérez")) == "I need one more thing: branch."


def test_a_required_argument_is_asked_for_although_the_scenario_does_not_need_it() -> None:
    scenario = parse_scenario(
        """
        [languages.en]
        [slots.order]
        kind = "digits"
        [slots.order.en]
        ask = "Which order?"
        [[intents]]
        name = "status"
        tool = "status"
        slots = ["order"]
        arguments = { order_id = "{order}" }
        [intents.en]
        hear = ["status"]
        """
    )
    phrases = Understanding(scenario, "en", frozenset(("status",)), today)
    phrasing = Phrasing(load_language("en"), scenario.languages["en"], today)

    assert (
        said(Dialogue(scenario, phrases, {"status": tool("status", ["order_id"], ["order_id"])}, phrasing).hear("status")) == "Which order?"
    )
