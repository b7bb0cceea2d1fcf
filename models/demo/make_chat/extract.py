"""Filling a JSON object from a sentence. A grammar holds the shape when served; the model must
find the values, and it sees only the chat messages."""

from __future__ import annotations

import json

from .records import CASES, Record, join
from .source import Dialog, Message, Source, answer, system, user

WITH_KEYS = (
    "Extract the {k}: {t}",
    "Extract {k} from this text: {t}",
    "Extract {k} as JSON: {t}",
    "Give me a JSON object with the keys {k}. {t}",
    "Return JSON with {k}. {t}",
    "{t} Extract the {k}.",
    "Extract the {k} from: {t}",
    "{t}\n\nReturn a JSON object with {k}.",
    "JSON with {k}: {t}",
)
BARE = (
    "Extract the {f}: {t}",
    "Extract the data: {t}",
    "Extract the information: {t}",
    "{t} Answer in JSON.",
    "{t} Reply with JSON.",
    "Return JSON: {t}",
    "As JSON: {t}",
    "Turn this into JSON: {t}",
    "Extract the {f} information. {t}",
)
DATA_ONLY = (
    "Give me a JSON object with {t}",
    "Write JSON with {t}",
    "Return JSON: {t}",
    "Create a JSON object: {t}",
    "Make JSON of this: {t}",
)
SYSTEMS = (
    "Extract the {f} information.",
    "Extract the {f} information.",
    "You extract data. Answer only with JSON.",
    "Extract the data as JSON.",
    "Answer in JSON.",
    "You are a helpful assistant. Answer in JSON.",
    "Extract {k} as JSON.",
    "Extract the {f}.",
)
SCHEMA_WORDS = (
    "Answer with JSON that follows this schema: {s}",
    "Use this JSON schema: {s}",
    "Reply in JSON with this schema:\n{s}",
    "JSON schema: {s}",
    "Return JSON that matches the schema {s}",
)
THOUGHT = "I fill the JSON."
# Which of two good keys to use cannot be guessed, so without a hint it is always the usual one.
USUAL_KEY = {
    "years": "age",
    "location": "city",
    "profession": "job",
    "day": "date",
    "product": "item",
    "origin": "from",
    "destination": "to",
}


def extract(source: Source) -> Dialog:
    """One sentence in, one JSON object out, asked in one of four ways."""
    make, family = source.pick(CASES)
    record, text = make(source)
    way = source.rng.choices(("keys", "bare", "system", "schema"), (4, 2, 4, 2))[0]
    named = way in ("keys", "schema")
    usual = {key if family == "data" else USUAL_KEY.get(key, key): value for key, value in record.items()}
    record = _reshape(source, record, drop=family != "data") if named else usual
    keys = join(list(record))
    reply = answer(json.dumps(record), THOUGHT)
    if way == "keys":
        asked = source.pick(WITH_KEYS).format(k=keys, t=text)
        return Dialog("extract", [user(asked), reply])
    if way == "bare":
        asked = source.pick(DATA_ONLY if family == "data" else BARE).format(f=family, t=text)
        return Dialog("extract", [user(asked), reply])
    if way == "system":
        rule = source.pick(SYSTEMS)
        if "{k}" not in rule and family != "data" and source.chance(0.4):
            record = _reshape(source, record, drop=True)
            keys = join(list(record))
            rule += source.pick((" Keys: {k}.", " Use the keys {k}.", " Return {k}."))
        return Dialog("extract", [system(rule.format(f=family, k=keys)), user(text), reply])
    return Dialog("extract", [*_schema_prompt(source, record, text), reply])


def _reshape(source: Source, record: Record, drop: bool) -> Record:
    """Another order of the keys, or only some of them: the prompt decides, not habit."""
    keys = list(record)
    if source.chance(0.4):
        source.rng.shuffle(keys)
    if drop and len(keys) > 2 and source.chance(0.3):
        keys.pop()
    return {key: record[key] for key in keys}


def _schema_of(source: Source, record: Record) -> Record:
    """The JSON Schema of the record."""
    properties: Record = {}
    for key, value in record.items():
        if isinstance(value, list):
            properties[key] = {"type": "array", "items": {"type": "string"}}
        else:
            properties[key] = {"type": "integer" if isinstance(value, int) else "string"}
    schema: Record = {"type": "object", "properties": properties, "required": list(record)}
    if source.chance(0.4):
        schema["additionalProperties"] = False
    return schema


def _schema_prompt(source: Source, record: Record, text: str) -> list[Message]:
    schema = json.dumps(_schema_of(source, record))
    rule = source.pick(SCHEMA_WORDS).format(s=schema)
    if source.chance(0.5):
        return [system(rule), user(text)]
    return [user(source.pick((f"{text}\n{rule}", f"{rule}\n{text}")))]


GOOD = (
    "I love this {}.",
    "This {} is great!",
    "What a wonderful {}!",
    "The {} is excellent.",
    "I am very happy with the {}.",
    "The {} works perfectly.",
    "{} is awesome!",
)
BAD = (
    "I hate this {}.",
    "This {} is terrible!",
    "What a bad {}!",
    "The {} is awful.",
    "I am very unhappy with the {}.",
    "The {} is broken.",
    "{} is horrible!",
)


def sentiment(source: Source) -> Dialog:
    """positive or negative, as one word or as JSON."""
    mood = source.pick(("positive", "negative"))
    text = source.pick(GOOD if mood == "positive" else BAD).format(source.word())
    if source.chance(0.5):
        asked = source.pick(
            (
                "Classify the sentiment: {}",
                "Is this positive or negative? {}",
                "Sentiment: {}",
                "Classify this sentiment: {}",
            )
        )
        return Dialog("sentiment", [user(asked.format(text)), answer(mood, f"The text is {mood}.")])
    asked = source.pick(
        ("Classify the sentiment as JSON: {}", "Return the sentiment as JSON. {}", "JSON with sentiment: {}")
    )
    return Dialog(
        "sentiment", [user(asked.format(text)), answer(json.dumps({"sentiment": mood}), f"The text is {mood}.")]
    )
