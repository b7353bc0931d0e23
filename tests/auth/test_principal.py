"""What a principal may do."""

from auth.principal import Principal, Role


def test_only_who_has_the_role_is_an_operator() -> None:
    operator = Principal("u-1", roles=frozenset({Role.OPERATOR}))

    assert operator.is_operator
    assert not Principal("u-2").is_operator
