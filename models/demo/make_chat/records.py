"""Records and the sentences that tell them: people, events, orders, books, trips and more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import tables
from .source import Source
from .tables import words

Record = dict[str, Any]
Case = tuple[Record, str]


def join(names: list[str]) -> str:
    return names[0] if len(names) == 1 else ", ".join(names[:-1]) + " and " + names[-1]


AGE_TEXTS = (
    "{n} is {a} years old.",
    "{n} is {a}.",
    "I am {n} and I am {a} years old.",
    "My name is {n}, I am {a}.",
    "{n}, aged {a}, came to the office.",
    "This is {n}, who is {a} years old.",
    "{n} turned {a} today.",
)


def _person(source: Source) -> Case:
    name, age, city, job = source.name(), source.number(1, 99), source.city(), source.value(tables.JOBS)
    if source.chance(0.3):
        name += " " + source.value(tables.SURNAMES)
    kind = source.number(0, 3)
    key = source.pick(("age", "age", "years"))
    if kind == 0:
        said = source.pick(AGE_TEXTS)
        record: Record = {"name": name, key: age}
    elif kind == 1:
        said = source.pick(
            (
                "{n} is {a} years old and lives in {c}.",
                "{n} ({a}) is from {c}.",
                "{n} lives in {c} and is {a} years old.",
                "I am {n}, {a} years old, from {c}.",
            )
        )
        record = {"name": name, key: age, source.pick(("city", "city", "location")): city}
    elif kind == 2:
        said = source.pick(
            (
                "{n} lives in {c}.",
                "{n} is from {c}.",
                "{n} moved to {c} last year.",
                "My name is {n} and I live in {c}.",
            )
        )
        record = {"name": name, source.pick(("city", "city", "location")): city}
    else:
        said = source.pick(
            ("{n} works as a {j} in {c}.", "{n} is a {j} from {c}.", "{n} lives in {c} and works as a {j}.")
        )
        record = {"name": name, source.pick(("job", "job", "profession")): job, "city": city}
    return record, said.format(n=name, a=age, c=city, j=job)


def _event(source: Source) -> Case:
    title = (
        source.value(tables.EVENTS)
        if source.chance(0.7)
        else f"{source.word()} {source.pick(('party', 'fair', 'meeting', 'show', 'class'))}"
    )
    people = [source.name() for _ in range(source.rng.choices((1, 2, 3), (2, 6, 2))[0])]
    day, are = source.pick(tables.DAYS), "is" if len(people) == 1 else "are"
    art = "an" if title[0] in "aeiou" else "a"
    said = source.pick(
        (
            "{p} {are} going to {art} {t} on {d}.",
            "{p} will go to {art} {t} on {d}.",
            "On {d}, {p} {are} going to {art} {t}.",
            "{p} {are} invited to the {t} on {d}.",
            "There is {art} {t} on {d} with {p}.",
            "{p} {are} at the {t} on {d}.",
        )
    )
    text = said.format(p=join(people), are=are, art=art, t=title, d=day)
    shown = title.title()
    return {"name": shown, source.pick(("date", "date", "day")): day, "participants": people}, text


def _order(source: Source) -> Case:
    item, count, price = source.word(), source.number(1, 99), source.number(1, 99)
    if source.chance(0.5):
        said = source.pick(
            ("I want {q} {i}, please.", "Please send me {q} {i}.", "I would like to order {q} {i}.", "Order {q} {i}.")
        )
        return {source.pick(("item", "product")): item, "quantity": count}, said.format(q=count, i=item)
    said = source.pick(
        (
            "The {i} costs {p} dollars.",
            "A {i} is {p} dollars.",
            "The price of the {i} is {p} dollars.",
            "I paid {p} dollars for the {i}.",
        )
    )
    return {source.pick(("item", "product")): item, "price": price}, said.format(p=price, i=item)


def _book(source: Source) -> Case:
    title = " ".join(source.word().capitalize() for _ in range(source.number(1, 3)))
    author, year = f"{source.name()} {source.value(tables.SURNAMES)}", source.number(1900, 2026)
    said = source.pick(
        (
            "{t} was written by {a} in {y}.",
            "{a} wrote {t} in {y}.",
            "The book {t} by {a} came out in {y}.",
            "In {y}, {a} wrote the book {t}.",
        )
    )
    return {"title": title, "author": author, "year": year}, said.format(t=title, a=author, y=year)


def _trip(source: Source) -> Case:
    start, end, day = source.city(), source.city(), source.pick(tables.DAYS)
    said = source.pick(
        (
            "Book a flight from {s} to {e} on {d}.",
            "I fly from {s} to {e} on {d}.",
            "The train from {s} to {e} leaves on {d}.",
            "On {d} I travel from {s} to {e}.",
        )
    )
    return {
        source.pick(("from", "origin")): start,
        source.pick(("to", "destination")): end,
        source.pick(("date", "day")): day,
    }, said.format(s=start, e=end, d=day)


def _contact(source: Source) -> Case:
    name = source.name()
    mail = f"{name.lower()}@{source.word()}.{source.pick(('com', 'org', 'net'))}"
    said = source.pick(
        (
            "{n} can be reached at {m}.",
            "Write to {n} at {m}.",
            "{n} has the email {m}.",
            "My name is {n} and my email is {m}.",
        )
    )
    return {"name": name, "email": mail}, said.format(n=name, m=mail)


PLAIN_KEYS = words(
    "name title color size city country price amount topic level date code user animal food age year weight status"
)


def _plain(source: Source) -> Case:
    """Any keys: "color blue, size 12" or "The color is blue and the size is 12."."""
    keys = source.rng.sample(PLAIN_KEYS, source.number(1, 4))
    if source.chance(0.2):
        keys[0] = source.nonsense()
    record: Record = {
        k: source.number(0, 999) if source.chance(0.35) else source.pick((source.word, source.name, source.city))()
        for k in keys
    }
    form = source.pick(("{k} {v}", "{k}: {v}", "{k} is {v}", "the {k} is {v}", "{k} = {v}"))
    parts = [form.format(k=k, v=v) for k, v in record.items()]
    text = source.pick((", ".join(parts), join(parts)))
    return record, text[0].upper() + text[1:] + "." if form.startswith("the") else text


CASES: tuple[tuple[Callable[[Source], Case], str], ...] = (
    (_person, "person"),
    (_person, "person"),
    (_event, "event"),
    (_event, "event"),
    (_order, "order"),
    (_book, "book"),
    (_trip, "trip"),
    (_contact, "contact"),
    (_plain, "data"),
    (_plain, "data"),
    (_plain, "data"),
)
