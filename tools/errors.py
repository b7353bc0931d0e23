"""How a tool says no. The message is for the model: it says what to ask the user, and never repeats what was given.

ToolError                  any refusal, with a code
└── InvalidArguments       the arguments cannot be used as they are
"""


class ToolError(Exception):
    """A refusal.

    Args:
        code: stable slug.
        message: what the model should tell or ask the user.
    """

    def __init__(self, code: str, message: str) -> None:
        super().__init__(code)
        self.code = code
        self.message = message


class InvalidArguments(ToolError):
    """The arguments cannot be used as they are."""

    def __init__(self, message: str, code: str = "invalid_arguments") -> None:
        super().__init__(code, message)
