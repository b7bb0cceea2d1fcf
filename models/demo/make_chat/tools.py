"""Dialogues with tools: one call, two calls, no call, and the answer from a result."""

from __future__ import annotations

import json
from typing import Any

from . import copying, phrases, sums, tables, talk, toolbox
from .source import Dialog, Message, Source, Tool, answer, user

Call = tuple[str, dict[str, Any]]


def calls(*items: Call, thought: str = "") -> Message:
    """An assistant message with tool calls."""
    functions = [{"type": "function", "function": {"name": n, "arguments": a}} for n, a in items]
    return {"role": "assistant", "content": "", "reasoning_content": thought, "tool_calls": functions}


def _result(value: Any) -> Message:
    return {"role": "tool", "content": value if isinstance(value, str) else json.dumps(value)}


def _thought(name: str) -> str:
    return f"I call {name}."


def weather(source: Source, follow: bool | None = None) -> Dialog:
    """One city; with the optional unit only when the user names it."""
    definition = toolbox.weather(source)
    name = definition["function"]["name"]
    fields = definition["function"]["parameters"]["properties"]
    city = source.city()
    asked, arguments = source.pick(phrases.WEATHER).format(city), {next(iter(fields)): city}
    if "unit" in fields and source.chance(0.4):
        arguments["unit"] = source.pick(("celsius", "fahrenheit"))
        shown = source.pick((arguments["unit"], arguments["unit"].capitalize()))
        asked = source.pick(phrases.UNITS).format(asked, u=shown)
    messages = [user(asked), calls((name, arguments), thought=_thought(name))]
    if source.chance(0.35) if follow is None else follow:
        messages += _weather_reply(source, [city])
    return Dialog("weather", messages, toolbox.offered(source, [definition]))


def _weather_reply(source: Source, cities: list[str]) -> list[Message]:
    """Tool results about these cities in one of the usual forms, and the answer from them."""
    form, swap = source.pick(phrases.FORMS), source.chance(0.3)
    key, sky_key = (
        source.pick(("temperature", "temperature", "temp")),
        source.pick(("condition", "sky", "conditions", "weather")),
    )
    results, said = [], []
    for city in cities:
        degrees, sky = source.number(-9, 39), source.pick(phrases.SKIES)
        unit = source.pick(("celsius", "fahrenheit"))
        known: dict[str, Any] = {"city": city, "location": city, "degrees": degrees, "sky": sky, "unit": unit}
        if isinstance(form, str):
            results.append(_result(form.format(**known)))
            said.append(f"It is {degrees} degrees and {sky} in {city}.")
            continue
        parts = form[::-1] if swap else form
        names = {"degrees": key, "sky": sky_key}
        results.append(_result({names.get(part, part): known[part] for part in parts}))
        number = f"{degrees} degrees" + (f" {unit}" if "unit" in form else "")
        facts = [number] * ("degrees" in form) + [sky] * ("sky" in form)
        said.append(f"It is {' and '.join(facts)} in {city}.")
    return [*results, answer(" ".join(said), "The tool gave the weather.")]


def weather_two(source: Source) -> Dialog:
    """Two cities are two calls in one turn."""
    definition = toolbox.weather(source)
    name = definition["function"]["name"]
    key = next(iter(definition["function"]["parameters"]["properties"]))
    cities = [source.city(), source.city()]
    asked = source.pick(phrases.WEATHER_TWO).format(*cities)
    messages = [user(asked), calls(*((name, {key: city}) for city in cities), thought=_thought(name))]
    if source.chance(0.35):
        messages += _weather_reply(source, cities)
    return Dialog("two calls", messages, toolbox.offered(source, [definition], 2))


def weather_and_time(source: Source) -> Dialog:
    """Two different tools in one turn."""
    definition, clock = toolbox.weather(source), toolbox.clock(source)
    name = definition["function"]["name"]
    key = next(iter(definition["function"]["parameters"]["properties"]))
    first = source.city()
    second = first if source.chance(0.3) else source.city()
    asked = source.pick(phrases.BOTH).format(first, second)
    both = calls((name, {key: first}), ("get_time", {"city": second}), thought=_thought(name))
    return Dialog("two calls", [user(asked), both], toolbox.offered(source, [definition, clock], 1))


def known(source: Source) -> Dialog:
    """The other well-known tools."""
    kind = source.number(0, 4)
    definition, name, arguments, asked, result, reply = (
        _clock_case,
        _timer_case,
        _sum_case,
        _search_case,
        _event_case,
    )[kind](source)
    messages = [user(asked), calls((name, arguments), thought=_thought(name))]
    if source.chance(0.3):
        messages += [_result(result), answer(reply, "The tool gave a result.")]
    return Dialog("known tools", messages, toolbox.offered(source, [definition]))


Case = tuple[Tool, str, dict[str, Any], str, Any, str]


def _clock_case(source: Source) -> Case:
    city, time = source.city(), f"{source.number(0, 23):02}:{source.number(0, 59):02}"
    result: Any = source.pick((time, {"time": time}, {"city": city, "time": time}))
    return (
        toolbox.clock(source),
        "get_time",
        {"city": city},
        source.pick(phrases.CLOCK).format(city),
        result,
        f"It is {time} in {city}.",
    )


def _timer_case(source: Source) -> Case:
    minutes = source.until_ours(lambda: source.number(1, 120))
    reply = f"The timer is set for {minutes} minutes."
    result: Any = source.pick(("ok", {"status": "ok"}, {"minutes": minutes}))
    return (
        toolbox.timer(source),
        "set_timer",
        {"minutes": minutes},
        source.pick(phrases.TIMER).format(minutes),
        result,
        reply,
    )


def _sum_case(source: Source) -> Case:
    a, b = source.until_ours(lambda: (source.number(0, 999), source.number(0, 99)))
    result: Any = source.pick((str(a + b), {"result": a + b}))
    reply = f"The result is {a + b}."
    if source.chance(0.6):
        return toolbox.adder(source), "add", {"a": a, "b": b}, source.pick(phrases.ADD).format(a, b), result, reply
    expression = f"{a} {source.pick('+-*')} {b}"
    asked = source.pick(("Calculate {}.", "What is {}?", "Please calculate {}", "Compute {}")).format(expression)
    return toolbox.calculator(source), "calculate", {"expression": expression}, asked, result, reply


def _search_case(source: Source) -> Case:
    query, hit = source.phrase(1, 3), source.phrase(2, 4)
    tool = toolbox.searcher(source)
    name = tool["function"]["name"]
    result: Any = source.pick((hit, {"result": hit}))
    return tool, name, {"query": query}, source.pick(phrases.SEARCH).format(query), result, f"I found this: {hit}"


def _event_case(source: Source) -> Case:
    title, day = source.pick((source.value(tables.EVENTS), source.phrase(1, 2))), source.pick(tables.DAYS)
    arguments = {"title": title, "date": day}
    result: Any = source.pick(("ok", {"status": "ok"}, {"id": source.number(1, 99)}))
    return (
        toolbox.event_maker(source),
        "create_event",
        arguments,
        source.pick(phrases.EVENT).format(title, day),
        result,
        f"I created the event {title} on {day}.",
    )


def random_call(source: Source) -> Dialog:
    """A tool with a random name and random parameters."""
    definition, verb, noun, fields = toolbox.random_tool(source)
    name = definition["function"]["name"]
    said = [f"{field.name} {_spoken(field.value)}" for field in fields]
    asked = source.pick(
        (
            f"{verb.capitalize()} the {noun} with {' and '.join(said)}.",
            f"Please {verb} a {noun} with {', '.join(said)}.",
            f"{verb.capitalize()} {noun}: {', '.join(said)}",
            f"Use {name} with {' and '.join(said)}.",
            f"Call {name}: {', '.join(said)}.",
            f"I want to {verb} a {noun}, {', '.join(said)}.",
            f"{verb.capitalize()} a {noun} where the "
            + " and the ".join(s.replace(" ", " is ", 1) for s in said)
            + ".",
        )
    )
    arguments = {field.name: field.value for field in fields}
    messages = [user(asked), calls((name, arguments), thought=_thought(name))]
    if source.chance(0.25):
        hit = source.phrase(1, 3)
        messages += [
            _result(source.pick((hit, {"result": hit}))),
            answer(f"The result is: {hit}", "The tool gave a result."),
        ]
    return Dialog("random tools", messages, toolbox.offered(source, [definition]))


def _spoken(value: Any) -> str:
    return json.dumps(value) if isinstance(value, bool) else str(value)


def no_call(source: Source) -> Dialog:
    """Tools are offered but the question does not need them."""
    skill = source.pick(
        (
            talk.small_talk,
            talk.small_talk,
            talk.fact,
            talk.world,
            copying.repeat,
            copying.spell,
            talk.memory,
            talk.unknown,
        )
    )
    messages = skill(source).messages
    tools = toolbox.offered(
        source, [source.pick((toolbox.weather, toolbox.weather, toolbox.clock, toolbox.timer))(source)], 2
    )
    return Dialog("no call", messages, tools)


NO_TOOL = "I have no tool for that."


def no_tool(source: Source) -> Dialog:
    """A question for a tool that is not among the offered ones; sums need no tool."""
    kind = source.rng.choices(("weather", "time", "timer", "sum", "search", "event", "other"), (6, 3, 3, 5, 1, 1, 1))[0]
    if source.held_out and kind in ("search", "event", "other"):
        kind = "weather"
    earlier: list[Message] = []
    needed: list[Tool] = []
    if not source.held_out and source.chance(0.2):
        part = source.pick((weather, known, random_call))(source)
        earlier, needed = part.messages, [t for t in part.tools if not _serves(t, kind)]
        if len(needed) < len(part.tools):
            earlier = []
    elif not source.held_out and source.chance(0.15):
        earlier = talk.small_talk(source).messages
    tools = [tool for tool in toolbox.offered(source, needed) if not _serves(tool, kind)]
    if kind == "sum" and not tools:
        tools = [source.pick((toolbox.weather, toolbox.clock, toolbox.timer))(source)]
    if not earlier and kind != "sum" and source.chance(0.4):
        tools = []
    return Dialog("no tool", [*earlier, *_no_tool_turn(source, kind)], tools)


def _no_tool_turn(source: Source, kind: str) -> list[Message]:
    if kind == "sum":
        return sums.sums(source).messages
    reply = answer(NO_TOOL, "No tool does that.")
    if kind == "weather":
        one, two = source.pick(phrases.WEATHER).format(source.city()), source.pick(phrases.WEATHER_TWO)
        return [user(two.format(source.city(), source.city()) if source.chance(0.12) else one), reply]
    makers = {"time": _clock_case, "timer": _timer_case, "search": _search_case, "event": _event_case}
    return [user(makers[kind](source)[3]) if kind in makers else random_call(source).messages[0], reply]


def _serves(tool: Tool, kind: str) -> bool:
    """Could this tool answer questions of that kind?"""
    name = tool["function"]["name"]
    return (kind == "other" and name not in _KNOWN_NAMES) or name.split("_")[-1] in (
        ("add", "calculate") if kind == "sum" else (kind,)
    )


_KNOWN_NAMES = ("get_weather", "get_current_weather", "get_time", "set_timer", "add", "calculate", "create_event")


def session(source: Source) -> Dialog:
    """Several requests under one list of tools: many calls for the price of one list."""
    parts = [
        source.pick((weather, known, random_call, random_call, weather_two))(source) for _ in range(source.number(2, 3))
    ]
    found: dict[str, Tool] = {}
    messages: list[Message] = []
    for part in parts:
        names = {tool["function"]["name"] for tool in part.tools}
        used = {c["function"]["name"] for m in part.messages for c in m.get("tool_calls", ())}
        if names & set(found) or any(n.split("_")[-1] == f.split("_")[-1] for n in used for f in found):
            continue
        found.update({t["function"]["name"]: t for t in part.tools if t["function"]["name"] in used})
        messages += part.messages
        if source.chance(0.2):
            messages += talk.small_talk(source).messages
    return Dialog("random tools", messages, toolbox.offered(source, list(found.values()), 1))
