"""How a session goes on with other wishes of its client: what may change, and what stays as it began. Pure."""

from collections.abc import Callable
from dataclasses import replace

from s2s.events import ToolSpec
from session.assistant import SessionPlan
from session.effects import Replan
from session.events import Start

type Plan = Callable[[Start], SessionPlan]
"""Joins what a client asks for with what its assistant allows; raises SessionError."""
type Specs = Callable[[SessionPlan], tuple[ToolSpec, ...]]
"""Returns the specs of all tools of a plan."""
type Reconsider = Callable[[Start], Replan]
"""Returns what a session is told of its client's other wishes; raises SessionError."""


def reconsidering(first: SessionPlan, plan: Plan, specs: Specs) -> Reconsider:
    """Return what joins later wishes with those that the session began with.

    Args:
        first: what the session began with.
        plan: plans a session.
        specs: gives the tools.
    """

    def reconsider(wishes: Start) -> Replan:
        start = replace(
            first.start,
            voice_id=wishes.voice_id,
            prompt=wishes.prompt,
            inference=wishes.inference,
            endpointing=wishes.endpointing,
            client_tools=wishes.client_tools,
        )
        after = plan(start)
        return Replan(start, after.voice_id, after.prompt, after.inference, after.endpointing, after.client_tools, specs(after))

    return reconsider


def revised(before: SessionPlan, other: Replan) -> SessionPlan:
    """Return a plan with what has changed."""
    return replace(
        before,
        start=other.start,
        voice_id=other.voice_id,
        prompt=other.prompt,
        inference=other.inference,
        endpointing=other.endpointing,
        client_tools=other.client_tools,
    )
