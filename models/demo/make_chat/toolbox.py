"""The tools that are offered in training: some well-known ones and endless random ones."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from .source import Source, Tool
from .tables import words

VERBS = words(
    "get set find create delete update check list send open close start stop book order play read "
    "add remove save load move copy print show count rename lock"
)
NOUNS = words(
    "file user order song note email event task price stock flight room report message light alarm "
    "door route ticket photo table page record account invoice device calendar recipe product"
)
KINDS = ("string", "string", "string", "integer", "integer", "number", "boolean", "enum")
KEYS = words(
    "name title text topic path key value level color country amount id quantity query date user "
    "subject label tag category target source size count page limit speed volume status mode unit "
    "room owner email code"
)


@dataclass(frozen=True)
class Field:
    """One parameter of a random tool, with the value that the user will ask for."""

    name: str
    schema: dict[str, Any]
    value: Any


def tool(source: Source, name: str, about: str, fields: dict[str, Any], required: list[str]) -> Tool:
    """A tool definition in one of the forms that people write."""
    parameters: dict[str, Any] = {"type": "object", "properties": fields}
    if required or source.chance(0.7):
        parameters["required"] = required
    if source.chance(0.25):
        parameters["additionalProperties"] = False
    function: dict[str, Any] = {"name": name}
    if source.chance(0.85):
        function["description"] = about
    function["parameters"] = parameters
    if source.chance(0.08):
        function["strict"] = True
    return {"type": "function", "function": function}


def described(source: Source, kind: str, about: str) -> dict[str, Any]:
    """A property schema, often with a description."""
    schema: dict[str, Any] = {"type": kind}
    if source.chance(0.4):
        schema["description"] = about
    return schema


def place_tool(source: Source, name: str, about: str, key: str, unit: bool = False) -> Tool:
    """A tool about a city, sometimes with an optional unit."""
    hint = source.pick(
        (
            "The city",
            "The city name",
            "City name, e.g. Paris",
            "Name of the city",
            "The name of the city",
            "The city and state, e.g. San Francisco, CA",
            "City and country e.g. Bogota, Colombia",
        )
    )
    fields = {key: described(source, "string", hint)}
    if unit:
        fields["unit"] = {"type": "string", "enum": ["celsius", "fahrenheit"]}
        if source.chance(0.2):
            fields["unit"]["description"] = "The temperature unit"
    return tool(source, name, about, fields, [key])


def weather(source: Source, unit: bool | None = None) -> Tool:
    """get_weather in its usual forms."""
    name = "get_weather" if source.chance(0.8) else "get_current_weather"
    key = source.rng.choices(("city", "location"), (3, 1))[0]
    about = source.pick(
        (
            "Get the weather",
            "Get the current weather",
            "Get the weather in a city",
            "Get the weather of a city.",
            "Get current weather for a city.",
            "Get the current weather in a given location",
            "Get current temperature for a given location.",
            "The weather in a city",
            "Returns the weather.",
        )
    )
    return place_tool(source, name, about, key, source.chance(0.35) if unit is None else unit)


def clock(source: Source) -> Tool:
    """get_time(city)."""
    about = source.pick(("Get the time", "Get the current time", "Get the local time in a city", "The time in a city."))
    return place_tool(source, "get_time", about, "city")


def timer(source: Source) -> Tool:
    """set_timer(minutes)."""
    about = source.pick(("Set a timer", "Start a timer", "Set a timer for some minutes."))
    fields = {"minutes": described(source, "integer", source.pick(("The minutes", "Number of minutes")))}
    return tool(source, "set_timer", about, fields, ["minutes"])


def adder(source: Source) -> Tool:
    """add(a, b)."""
    about = source.pick(("Add two numbers", "Add two numbers.", "Adds a and b"))
    kind = source.pick(("integer", "number"))
    return tool(source, "add", about, {"a": {"type": kind}, "b": {"type": kind}}, ["a", "b"])


def calculator(source: Source) -> Tool:
    """calculate(expression)."""
    about = source.pick(("Calculate an expression", "Evaluate a math expression", "A calculator."))
    fields = {"expression": described(source, "string", "The expression")}
    return tool(source, "calculate", about, fields, ["expression"])


def searcher(source: Source) -> Tool:
    """search(query)."""
    about = source.pick(("Search the web", "Search for documents", "Web search."))
    fields = {"query": described(source, "string", source.pick(("The query", "Search query")))}
    return tool(source, source.pick(("search", "web_search", "search")), about, fields, ["query"])


def event_maker(source: Source) -> Tool:
    """create_event(title, date)."""
    fields = {"title": {"type": "string"}, "date": described(source, "string", "The day")}
    return tool(
        source,
        "create_event",
        source.pick(("Create an event", "Add an event to the calendar")),
        fields,
        ["title", "date"],
    )


KNOWN: tuple[Callable[[Source], Tool], ...] = (weather, clock, timer, adder, calculator, searcher, event_maker)


def _value(source: Source, kind: str) -> tuple[dict[str, Any], Any]:
    """A property schema and a value of it."""
    if kind == "integer":
        return {"type": "integer"}, source.number(0, 999) if source.chance(0.3) else source.number(0, 99)
    if kind == "number":
        return {"type": "number"}, source.number(1, 99) + source.number(1, 9) / 10
    if kind == "boolean":
        return {"type": "boolean"}, source.chance(0.5)
    if kind == "enum":
        options = [source.word(0.2) for _ in range(source.number(2, 3))]
        return {"type": "string", "enum": options}, source.pick(options)
    draws: tuple[Callable[[], str], ...] = (source.word, source.word, source.name, source.city, source.two_words)
    return {"type": "string"}, source.pick(draws)()


def random_tool(source: Source) -> tuple[Tool, str, str, list[Field]]:
    """A tool nobody has seen, its verb and noun, and the values to call it with."""
    verb, noun = source.until_ours(lambda: (source.rng.choice(VERBS), source.rng.choice(NOUNS)))
    if source.chance(0.3):
        noun = source.nonsense()
    fields = []
    for key in source.rng.sample(KEYS, source.rng.choices((1, 2, 3), (5, 4, 1))[0]):
        schema, value = _value(source, source.pick(KINDS))
        if source.chance(0.3):
            schema["description"] = source.pick((f"The {key}", f"The {key} of the {noun}", f"{key} to use"))
        fields.append(Field(key, schema, value))
    about = source.pick((f"{verb.capitalize()} a {noun}", f"{verb.capitalize()} the {noun}.", f"{verb} {noun}"))
    keys = [field.name for field in fields]
    definition = tool(source, f"{verb}_{noun}", about, {f.name: f.schema for f in fields}, keys)
    return definition, verb, noun, fields


def offered(source: Source, needed: list[Tool], most: int = 3) -> list[Tool]:
    """The needed tools among some others, in any order, each name once."""
    others = source.rng.choices(range(most + 1), (4, 3, 2, 1)[: most + 1])[0]
    found = {item["function"]["name"]: item for item in needed}
    for _ in range(others):
        other = random_tool(source)[0] if source.chance(0.5) else source.pick(KNOWN)(source)
        name = other["function"]["name"]
        # two weather tools in one request would make the right answer a matter of taste
        if not any(name.split("_")[-1] == known.split("_")[-1] for known in found):
            found.setdefault(name, other)
    tools = list(found.values())
    source.rng.shuffle(tools)
    return tools
