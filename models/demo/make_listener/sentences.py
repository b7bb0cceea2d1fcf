"""The sentences that the demo's ear understands: numbers, dates, times, home commands, names, cities, small talk.

Every tenth sentence, by its hash, is kept out of training.
"""

import hashlib
from random import Random

from models.demo.make_chat.tables import words

DIGITS = words("zero one two three four five six seven eight nine")
TEENS = words("ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen")
TENS = words("twenty thirty forty fifty sixty seventy eighty ninety")
ORDINALS = words("first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth")
MONTHS = words("january february march april may june july august september october november december")
WEEKDAYS = words("monday tuesday wednesday thursday friday saturday sunday")
NAMES = words(
    "alice anna ben carlos clara david emma eric frank grace henry ivan jack julia karen laura linda lucas maria "
    "martin mia michael nina oliver paul peter robert sarah simon sophie thomas victor"
)
CITIES = words(
    "amsterdam athens berlin boston cairo chicago dublin geneva hamburg helsinki lisbon london madrid melbourne "
    "moscow munich oslo paris prague rome seattle singapore sydney tokyo toronto vienna warsaw zurich"
)
COLOURS = words("black blue brown green grey orange pink purple red white yellow")
ROOMS = words("kitchen bedroom bathroom garage office garden basement hall")
SWITCHED = words("light lamp radio fan heater camera television music printer dishwasher")
OPENED = words("door window curtain gate garage door")
THINGS = words("apples bottles books chairs cups eggs keys letters tickets tables pencils shirts")
ANIMALS = words("cat dog horse bird fish mouse rabbit cow sheep tiger")
WEATHER = words("sunny cloudy rainy windy cold warm hot stormy")
TASKS = words("call {name}|buy milk|water the plants|pay the rent|feed the {animal}|wash the car|pack my bag", "|")
PROPER = {"i", *NAMES, *CITIES, *MONTHS, *WEEKDAYS}
"""What is written with a capital letter."""

PATTERNS: tuple[tuple[int, str], ...] = (
    (6, "{digits}"),
    (2, "my number is {digits}"),
    (2, "the code is {digits}"),
    (3, "turn {on} the {switched}"),
    (4, "turn {on} the {switched} in the {room}"),
    (2, "please turn {on} the {colour} {switched}"),
    (2, "{open} the {opened}"),
    (2, "{open} the {opened} in the {room}"),
    (3, "set the {switched} in the {room} to {number} percent"),
    (3, "set the temperature in the {room} to {number} degrees"),
    (3, "make the {room} {colour}"),
    (3, "set a timer for {number} minutes"),
    (3, "wake me up at {time}"),
    (3, "wake me up on {weekday} at {time}"),
    (2, "what is the weather in {city}"),
    (3, "what is the weather in {city} on {weekday}"),
    (3, "it is {weather} and {number} degrees in {city}"),
    (2, "will it be {weather} in {city} tomorrow"),
    (3, "remind me to {task} on {weekday}"),
    (3, "remind me to {task} at {time}"),
    (3, "call {name} on {weekday} morning"),
    (3, "send a message to {name} and {name}"),
    (3, "tell {name} that i will be late"),
    (4, "the meeting with {name} is on {date}"),
    (3, "my birthday is on {date}"),
    (3, "book a train from {city} to {city}"),
    (3, "book a flight to {city} on {date}"),
    (3, "how far is it from {city} to {city}"),
    (3, "{name} lives in {city}"),
    (3, "{name} has {number} {things}"),
    (3, "i need {number} {things} and {number} {things}"),
    (4, "what is {number} plus {number}"),
    (3, "what is {number} times {number}"),
    (3, "the {animal} is {colour} and the {animal} is {colour}"),
    (2, "my name is {name} and i live in {city}"),
    (2, "play some music in the {room}"),
    (2, "{talk}"),
)
TALK = (
    "hello how are you",
    "good morning {name}",
    "good evening {name}",
    "thank you very much",
    "thank you {name}",
    "what time is it",
    "what day is it today",
    "please call me back tomorrow",
    "see you on {weekday}",
    "stop the music please",
    "can you help me with the {switched}",
    "the quick brown fox jumps over the lazy dog",
)


def number(source: Random) -> str:
    """Returns a number from zero to ninety nine in words, small ones more often."""
    if source.random() < 0.4:
        return source.choice(DIGITS)
    if source.random() < 0.35:
        return source.choice(TEENS)
    unit = source.choice(["", *DIGITS[1:]])
    return f"{source.choice(TENS)} {unit}".strip()


def date(source: Random) -> str:
    """Returns a month and a day in words."""
    day = source.choice([*ORDINALS, *(f"twenty {unit}" for unit in ORDINALS[:9])])
    return f"{source.choice(MONTHS)} {day}"


def time(source: Random) -> str:
    """Returns a time of the day in words."""
    hour = source.choice([*DIGITS[1:], *TEENS[:3]])
    minute = source.choice(["", "fifteen", "thirty", "forty five", "twenty"])
    return " ".join(filter(None, [hour, minute, source.choice(["", "in the morning", "in the evening"])]))


def _fill(pattern: str, source: Random) -> str:
    """Returns a pattern with a value of its kind for each name in it."""
    simple = {
        "name": NAMES, "city": CITIES, "colour": COLOURS, "room": ROOMS, "switched": SWITCHED, "opened": OPENED,
        "things": THINGS, "animal": ANIMALS, "weather": WEATHER, "weekday": WEEKDAYS, "on": ("on", "off"),
        "open": ("open", "close"), "talk": TALK, "task": TASKS,
    }  # fmt: skip
    made = {"number": number, "date": date, "time": time}
    while "{" in pattern:
        start, rest = pattern.split("{", 1)
        kind, end = rest.split("}", 1)
        if kind == "digits":
            value = " ".join(source.choice(DIGITS) for _ in range(source.randint(2, 8)))
        else:
            value = made[kind](source) if kind in made else source.choice(simple[kind])
        pattern = start + value + end
    return pattern


def sentence(source: Random) -> str:
    """Returns a sentence of the grammar: lower case, no punctuation."""
    (pattern,) = source.choices([text for _, text in PATTERNS], [weight for weight, _ in PATTERNS])
    return _fill(pattern, source)


def is_held_out(text: str) -> bool:
    """Whether training never sees a sentence."""
    return hashlib.sha256(text.encode()).digest()[0] % 10 == 0


def draw(source: Random, held_out: bool) -> str:
    """Returns a sentence for training, or one that is kept out of it."""
    while True:
        text = sentence(source)
        if is_held_out(text) == held_out:
            return text


def written(text: str) -> str:
    """Returns a sentence as one writes it: what the model says when it is asked for punctuation."""
    first, *rest = (word.capitalize() if word in PROPER else word for word in text.split())
    mark = "?" if first in ("what", "how", "will", "can") else "."
    return " ".join([first.capitalize(), *rest]) + mark
