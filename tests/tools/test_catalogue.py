import tomllib
from typing import Any

import pytest

from session.assistant import parse_assistant
from tests.needs import ROOT
from tests.tools.desk import open_desk
from tools.catalogue import TOOLS, reference_page
from tools.errors import ToolError
from tools.registry import ToolCall, ToolRegistry

RULES = """
Eres Carlos, el asistente virtual de Nova Sonic.
Eres amable, profesional y hablas en español argentino de forma natural y conversacional.
Tu función es ayudar a los usuarios con pedidos y citas médicas.
REGLAS CRÍTICAS PARA TUS RESPUESTAS:
- Responde de forma NATURAL y CONVERSACIONAL, como si estuvieras hablando con un amigo.
- NO hagas listas ni bullet points. Habla de forma fluida y natural.
- Responde SOLO a lo que te preguntan, no des información extra que no pidieron.
- Si preguntan por el ESTADO de un pedido, solo di el estado y fecha estimada de entrega.
- Si preguntan por DETALLES de un pedido, entonces sí menciona los productos.
- Si preguntan por el ESTADO de una cita, solo di la fecha, hora y estado.
- Si preguntan por DETALLES de una cita, entonces sí menciona el doctor y tipo.
- Sé CONCISO: máximo 2-3 frases naturales.
- NO uses frases especulativas como 'podría', 'tal vez', 'quizás'.
- Si necesitas más información, pídela de forma breve y natural.
- Cuando uses herramientas, SIEMPRE envía los números como dígitos (ej: '6' no 'seis').
- Para pedidos, pide DNI o nombre completo para verificar identidad.
- Para citas, pide nombre del paciente para verificar identidad.
- Al final de cada respuesta, incluye [FINAL].
""".strip().split("\n")


@pytest.fixture
def carlos() -> dict[str, Any]:
    return tomllib.loads((ROOT / "assistants" / "carlos.toml").read_text(encoding="utf-8"))


def test_the_reference_page_says_what_the_model_is_told() -> None:
    assert (ROOT / "docs" / "reference" / "tools.md").read_text(encoding="utf-8") == reference_page()


@pytest.mark.req("S4-57")
def test_the_spanish_prompt_holds_every_rule_in_order_and_nothing_else(carlos: dict[str, Any]) -> None:
    assert [line for line in carlos["languages"]["es"]["prompt"].split("\n") if line] == RULES


@pytest.mark.req("S4-57")
def test_the_english_prompt_has_the_same_rules(carlos: dict[str, Any]) -> None:
    english = [line for line in carlos["languages"]["en"]["prompt"].split("\n") if line]

    assert len(english) == len(RULES)
    assert [line[:2] == "- " for line in english] == [line[:2] == "- " for line in RULES]
    assert english[-1].endswith("[FINAL].")


@pytest.mark.req("S4-08")
def test_the_assistant_has_the_seven_tools_and_can_be_loaded(carlos: dict[str, Any]) -> None:
    profile = parse_assistant((ROOT / "assistants" / "carlos.toml").read_text(encoding="utf-8"))

    assert list(profile.tools) == [one.name for one in TOOLS[:7]]
    assert profile.hidden_markers == ("[FINAL]",)
    assert profile.languages["es"].voice_id == "carlos"
    assert carlos["default_language"] == "es"


@pytest.mark.req("S3-07", "S3-16")
def test_the_companion_has_tools_of_its_own() -> None:
    profile = parse_assistant((ROOT / "assistants" / "buddy.toml").read_text(encoding="utf-8"))

    assert list(profile.tools) == [one.name for one in TOOLS[7:]]


async def test_the_example_of_the_how_to_page_is_a_working_tool() -> None:
    page = (ROOT / "docs" / "how-to" / "add-a-tool.md").read_text(encoding="utf-8")
    names: dict[str, Any] = {}
    exec(page.split("```python\n")[1].split("```")[0], names)

    async with open_desk() as desk:
        registry = ToolRegistry([names["track_order"]], [desk.orders])
        call = ToolCall("s", "t", "r")
        shipped = await registry.run("seguirEnvio", call, registry.arguments("seguirEnvio", '{"pedidoId": "tres"}'))
        with pytest.raises(ToolError, match="not_shipped"):
            await registry.run("seguirEnvio", call, registry.arguments("seguirEnvio", '{"orderId": 2}'))

    assert shipped["trackingNumber"] == "TRK987654321"
