import pytest

from nova_sonic_local.brains.phrasing import MissingField, Phrasing
from nova_sonic_local.speech.language import load_language
from tests.speech.stage import built_in, today


def phrasing(language: str) -> Phrasing:
    return Phrasing(load_language(language), built_in().languages[language], today)


@pytest.mark.parametrize(
    ("language", "template", "expected"),
    [
        ("es", "{a.b}", 3),
        ("es", "{a.b} y {a.b}", "3 y 3"),
        ("es", "{day|date}", "el viernes 5 de diciembre"),
        ("en", "{day|date}", "friday, december 5"),
        ("es", "{now|date}", "hoy"),
        ("en", "{soon|date}", "tomorrow"),
        ("es", "{soon|time}", "09:30"),
        ("es", "{price|money}", "$12.50"),
        ("es", "{items|items}", "2 lápices, 1 goma y 1 regla"),
        ("en", "{items|total}", 4.5),
        ("es", "{doctor|doctor}", "la doctora López"),
        ("en", "{doctor|doctor}", "doctor López"),
        ("es", "{status|status}", "en camino"),
        ("es", "{other|status}", "lost"),
    ],
)
def test_templates_take_fields_through_filters(language: str, template: str, expected: object) -> None:
    values = {
        "a": {"b": 3},
        "day": "2025-12-05",
        "now": "2025-11-19T23:00:00-03:00",
        "soon": "2025-11-20T09:30:00-03:00",
        "price": "12.5",
        "items": [{"name": "lápices", "quantity": 2, "price": 1.5}, {"name": "goma", "price": 0.5}, {"name": "regla", "price": 1}],
        "doctor": "Dra. López",
        "status": "shipped",
        "other": "lost",
    }

    assert phrasing(language).value(template, values) == expected


@pytest.mark.parametrize(
    "template", ["{nothing}", "{a.b.c}", "{empty}", "{text|date}", "{text|time}", "{text|money}", "{text|items}", "{a|total}"]
)
def test_a_field_that_is_not_there_or_does_not_fit_is_missing(template: str) -> None:
    with pytest.raises(MissingField):
        phrasing("es").value(template, {"a": {"b": 3}, "empty": "", "text": "abc"})
