"""Tables for people, in text."""

from collections.abc import Mapping

#: A library's own server, which the others are compared with.
REFERENCES = ("vLLM's server", "SGLang's server")


def as_table(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Returns a table: a line for each name, a column for each figure."""
    columns = list(next(iter(rows.values())))
    width = max(map(len, rows))
    head = " ".join([" " * width, *(column.rjust(len(column)) for column in columns)])
    lines = [
        " ".join([name.ljust(width), *(f"{row[column]:{len(column)}.1f}" for column in columns)])
        for name, row in rows.items()
    ]
    return "\n".join([head, *lines])


def ratios(rows: Mapping[str, Mapping[str, float]]) -> str:
    """Returns how each compares with the reference; nothing if none was measured."""
    reference = next((name for name in rows if name in REFERENCES), None)
    if reference is None:
        return ""
    base = rows[reference]
    return "\n".join(
        f"{name}: {row['tokens_per_s'] / base['tokens_per_s']:.2f} x the tokens/s of {reference},"
        f" {row['ttft_p50_ms'] / base['ttft_p50_ms']:.2f} x its TTFT p50,"
        f" {row['all_us_per_token'] / base['all_us_per_token']:.2f} x its CPU per token"
        for name, row in rows.items()
        if name != reference
    )
