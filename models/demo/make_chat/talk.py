"""Small talk, facts about GPT Server, memory, counting, stories, and saying "I do not know"."""

from __future__ import annotations

from . import facts, scripts, tables
from .source import Dialog, Message, Source, answer, is_held_out, user

OPENERS = (
    *("Please tell me: ", "Question: ", "Hey, ", "Hi! ", "Tell me: ", "Please: ", "Hi, ", "One question: "),
    *("Quick question: ", "OK. ", "OK, ", "So, ", "Well, ", "Excuse me. ", "Next: "),
)
LEADS = ("Please ", "Can you tell me ", "Tell me, ", "I want to know: ", "and ", "Could you say ", "so ")
ENDINGS = (", please", " please", " then")
UNKNOWN = "I am only a small demo model, so I do not know that."


def small_talk(source: Source) -> Dialog:
    """Greetings, thanks, good-bye, who are you, what can you do."""
    group = source.pick(facts.SMALL_TALK)
    asked = source.pick(group.held_out if source.held_out else group.phrasings)
    if not source.held_out and group.patterns and source.chance(0.35):
        asked = pattern(source, group)
    return Dialog("small talk", [user(_vary(source, asked)), answer(group.reply, group.thought)])


def pattern(source: Source, group: facts.Group) -> str:
    """A phrasing with something drawn in it, but never a held-out one."""
    while True:
        values = {"name": source.name(), "good": source.pick(facts.GOOD), "thing": source.pick(facts.THINGS)}
        text = source.pick(group.patterns).format(**values)
        if plain(text) not in map(plain, group.held_out):
            return text


def plain(text: str) -> str:
    """A phrasing without its last mark and its capitals."""
    return text.strip().rstrip("?!.").casefold()


def fact(source: Source) -> Dialog:
    """A question about GPT Server."""
    group = source.pick(facts.FACTS)
    asked = source.pick(group.held_out if source.held_out else group.phrasings)
    thought = "The user asks about GPT Server. I know this."
    return Dialog("facts", [user(_vary(source, asked)), answer(group.reply, thought)])


def _vary(source: Source, text: str) -> str:
    """People leave out marks and capitals."""
    if source.held_out:
        return text
    if source.chance(0.2):
        text = text.rstrip("?!.")
    if source.chance(0.15):
        text = text.lower()
    if source.chance(0.05):
        text = text.rstrip("?!.") + source.pick(ENDINGS) + text[len(text.rstrip("?!.")) :]
    if source.chance(0.07):
        text = source.pick(OPENERS) + text
    if source.chance(0.07):
        text = source.pick(LEADS) + text[0].lower() + text[1:]
    return text


def world(source: Source) -> Dialog:
    """Capitals, days and months. These are learned by heart, so the values are not split."""
    kind = source.number(0, 2)
    if kind == 0:
        country = source.pick(list(tables.CAPITALS))
        ask = source.pick(("What is the capital of {}?", "Capital of {}?", "Which city is the capital of {}?"))
        text = f"The capital of {country} is {tables.CAPITALS[country]}."
        return Dialog("world", [user(_vary(source, ask.format(country))), answer(text, "The user asks for a capital.")])
    ring = tables.DAYS if kind == 1 else tables.MONTHS
    unit = "day" if kind == 1 else "month"
    index, step = source.number(0, len(ring) - 1), source.pick((1, -1))
    side = "after" if step == 1 else "before"
    ask = source.pick((f"What {unit} comes {side} {{}}?", f"Which {unit} is {side} {{}}?"))
    text = f"{ring[(index + step) % len(ring)]} comes {side} {ring[index]}."
    return Dialog("world", [user(ask.format(ring[index])), answer(text, f"The user asks for a {unit}.")])


def unknown(source: Source) -> Dialog:
    """Questions outside what the model learned: it says so."""
    topic = source.pick(scripts.UNKNOWN)
    while is_held_out(topic) != source.held_out and not (source.held_out and "{" in topic):
        topic = source.pick(scripts.UNKNOWN)
    asked = topic.format(word=source.word(), name=source.name(), city=source.city())
    return Dialog("unknown", [user(asked), answer(UNKNOWN, "I did not learn this.")])


def memory(source: Source) -> Dialog:
    """Remember a name, a city or a color over some turns."""
    kind = source.pick(("name", "name", "city", "color", "pet"))
    value = {
        "name": source.name,
        "city": source.city,
        "color": lambda: source.pick(tables.COLORS),
        "pet": source.name,
    }[kind]()
    tell, reply, ask, recall = scripts.MEMORY[kind]
    messages: list[Message] = [user(source.pick(tell).format(value)), answer(reply.format(value))]
    for _ in range(source.rng.choices((0, 1, 2), (6, 3, 1))[0]):
        messages += source.pick((small_talk, fact, world))(source).messages
    thought = f"The user told me the {kind}: {value}."
    messages += [user(source.pick(ask)), answer(recall.format(value), thought)]
    return Dialog("memory", messages)


def counting(source: Source) -> Dialog:
    """Count from one number to another, or down again."""
    low, high = source.until_ours(lambda: _span(source))
    numbers = list(range(low, high + 1))
    if low == 1 and source.chance(0.3):
        asked = source.pick(("Count to {1}.", "Please count to {1}."))
    else:
        asked = source.pick(
            ("Count from {0} to {1}.", "Please count from {0} to {1}", "List the numbers from {0} to {1}.")
        )
    thought = f"I start at {low} and stop at {high}."
    return Dialog("counting", [user(asked.format(low, high)), answer(", ".join(map(str, numbers)), thought)])


def _span(source: Source) -> tuple[int, int]:
    low = 1 if source.chance(0.5) else source.number(0, 40)
    return low, low + source.rng.choice((source.number(2, 12), source.number(2, 12), source.number(5, 39)))


def story(source: Source) -> Dialog:
    """A short story from a small set, about any topic."""
    topic = source.word()
    ask = source.pick(scripts.STORY_REQUESTS)
    text = source.pick(scripts.STORIES).format(topic, topic.capitalize(), a=_article(topic))
    return Dialog(
        "story", [user(ask.format(topic, a=_article(topic))), answer(text, f"I tell a short story about {topic}.")]
    )


def _article(word: str) -> str:
    return "an" if word[0] in "aeiou" else "a"
