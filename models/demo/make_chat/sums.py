"""Sums and differences of two numbers from 0 to 99, with or without written working."""

from __future__ import annotations

from .source import Dialog, Message, Source, answer, user

PLUS = (
    "What is {a} + {b}?",
    "{a} + {b}",
    "What is {a} plus {b}?",
    "Calculate {a} + {b}.",
    "{a}+{b}=?",
    "{a}+{b}",
    "Add {a} and {b}.",
    "How much is {a} + {b}?",
    "{a} plus {b}",
    "What's {a} + {b}?",
    "Compute {a} + {b}.",
    "What is the sum of {a} and {b}?",
    "{a} + {b} = ?",
    "Please add {a} and {b}.",
)
MINUS = (
    "What is {a} - {b}?",
    "{a} - {b}",
    "What is {a} minus {b}?",
    "Calculate {a} - {b}.",
    "{a}-{b}=?",
    "{a}-{b}",
    "Subtract {b} from {a}.",
    "How much is {a} - {b}?",
    "{a} minus {b}",
    "What's {a} - {b}?",
    "Compute {a} - {b}.",
    "What is the difference of {a} and {b}?",
    "{a} - {b} = ?",
)


def sums(source: Source, turns: int = 1) -> Dialog:
    """One or more questions; several turns cost fewer tokens per sum in training."""
    messages: list[Message] = []
    for _ in range(turns):
        sign = source.pick("+-")
        # small numbers are rare otherwise, but people like to ask for them
        most = 20 if not source.held_out and source.chance(0.15) else 99
        a, b = source.until_ours(lambda most=most: (source.number(0, most), source.number(0, most)))  # type: ignore[misc]
        asked = source.pick(PLUS if sign == "+" else MINUS).format(a=a, b=b)
        result = a + b if sign == "+" else a - b
        thought = working(a, b, sign)
        messages += [user(asked), answer(f"{a} {sign} {b} = {result}", thought)]
    return Dialog("sums", messages)


def working(a: int, b: int, sign: str) -> str:
    """The school method: units, carry, tens."""
    if sign == "+":
        return _add(a, b)
    if a < b:
        return f"{b} is larger: {b} - {a}\n{_subtract(b, a)}\nSo {a} - {b} = {a - b}"
    return _subtract(a, b)


def _add(a: int, b: int) -> str:
    units = a % 10 + b % 10
    tens = a // 10 + b // 10 + units // 10
    return (
        f"units: {a % 10} + {b % 10} = {units}, carry {units // 10}\n"
        f"tens: {a // 10} + {b // 10} + {units // 10} = {tens}\n"
        f"result: {a + b}"
    )


def _subtract(a: int, b: int) -> str:
    borrow = int(a % 10 < b % 10)
    units = a % 10 + 10 * borrow - b % 10
    tens = a // 10 - borrow - b // 10
    return (
        f"units: {a % 10 + 10 * borrow} - {b % 10} = {units}, borrow {borrow}\n"
        f"tens: {a // 10} - {b // 10} - {borrow} = {tens}\n"
        f"result: {a - b}"
    )
