"""No field of a request is forgotten by the suite or by the table of engines."""

import pytest

from gpt_server.services.llm.engines import ENGINES
from tests.engines.abilities import ABILITIES, field_paths
from tests.engines.field_cases import CASES
from tests.engines.field_cases import conversation as _conversation  # noqa: F401 (importing them enters their cases)
from tests.engines.field_cases import sampling as _sampling  # noqa: F401


def test_every_field_has_a_case() -> None:
    assert set(CASES) == set(field_paths())
    assert "sampling.temperature" in CASES  # the reading of the descriptor works
    assert "chat.messages.tool_calls.arguments" in CASES


@pytest.mark.parametrize("engine", ABILITIES)
def test_what_an_engine_does_is_said_of_fields_that_there_are(engine: str) -> None:
    abilities = ABILITIES[engine]
    assert engine in ENGINES
    assert abilities.refuses <= set(field_paths())
    assert abilities.harmless.keys() <= set(field_paths())
    assert not abilities.refuses & abilities.harmless.keys()
