"""`engine_args` that engines have in common whose library's server knows them, or guesses nothing of them."""

from collections.abc import Collection, Sequence
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from gpt_server.services.llm.engine import Problem


class ServingArguments(BaseModel):
    """How a model's text is written and read."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    #: How tool calls are written: a name of the library's. Unset: by the chat template; `none`: tools are refused.
    tool_parser: str | None = None
    #: How reasoning is marked: a name of the library's. Unset: by the chat template; `none`: part of the content.
    reasoning_parser: str | None = None
    #: File with a chat template, instead of the model's own.
    chat_template: str | None = None

    def check(self, library: str, tools: Collection[str], reasoning: Collection[str]) -> Sequence[Problem]:
        """Returns what is wrong with them. `tools`, `reasoning`: parsers that the library has."""
        problems = []
        for key, name, allowed in (
            ("tool_parser", self.tool_parser, tools),
            ("reasoning_parser", self.reasoning_parser, reasoning),
        ):
            if name not in (None, "none", *allowed):
                message = f"{library} has no {name!r}; allowed: none, {', '.join(sorted(allowed))}"
                problems.append(Problem(f"engine_args.{key}", message))
        if self.chat_template and not Path(self.chat_template).is_file():
            problems.append(Problem("engine_args.chat_template", f"no such file: {self.chat_template}"))
        return problems
