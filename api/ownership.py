"""Whose records somebody may see: an operator all, anybody else those of the own verified e-mail address."""

from auth.principal import Principal


def may_see(principal: Principal, email: str) -> bool:
    """Tell whether a record of this e-mail address is the principal's to see."""
    return principal.is_operator or (principal.email is not None and principal.email.lower() == email.lower())


def visible_email(principal: Principal, wanted: str | None) -> str | None:
    """Return whose records a list may have; None for everybody's, and the empty text for nobody's.

    Args:
        principal: who asks.
        wanted: whose records are asked for, None for all that can be seen.
    """
    if principal.is_operator:
        return wanted.lower() if wanted is not None else None
    own = (principal.email or "").lower()
    return own if wanted is None or wanted.lower() == own else ""
