"""Bar charts as SVG, without a library."""

from collections.abc import Iterator, Mapping
from html import escape

COLOURS = ("#1b6ca8", "#69b3e7", "#8a8d91", "#c9a227", "#b5523b", "#5b8c5a")
BAR, GAP, PLOT, LEFT, TOP = 26, 30, 220, 20, 50


def bars(groups: Mapping[str, Mapping[str, float]], title: str) -> str:
    """Returns a chart: a group of bars for each key, each group on a scale of its own, labelled with its values."""
    names = list(dict.fromkeys(name for group in groups.values() for name in group))
    width = LEFT + len(groups) * (len(names) * BAR + GAP)
    height = TOP + PLOT + 40 + 18 * len(names)
    begin = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{max(width, 420)}" height="{height}" font-family="sans-serif"'
    )
    parts = [f'{begin} font-size="11">', f'<text x="{LEFT}" y="20" font-size="14">{escape(title)}</text>']
    for number, (label, group) in enumerate(groups.items()):
        parts += _group(LEFT + number * (len(names) * BAR + GAP), label, group, names)
    for row, name in enumerate(names):
        y = TOP + PLOT + 40 + 18 * row
        parts.append(f'<rect x="{LEFT}" y="{y}" width="12" height="12" fill="{COLOURS[row % len(COLOURS)]}"/>')
        parts.append(f'<text x="{LEFT + 18}" y="{y + 10}">{escape(name)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _group(x: int, label: str, group: Mapping[str, float], names: list[str]) -> Iterator[str]:
    highest = max(group.values()) or 1.0
    for place, name in enumerate(names):
        if name in group:
            tall = PLOT * group[name] / highest
            at, y = x + place * BAR, TOP + PLOT - tall
            colour = COLOURS[place % len(COLOURS)]
            yield f'<rect x="{at}" y="{y:.1f}" width="{BAR - 4}" height="{tall:.1f}" fill="{colour}"/>'
            yield f'<text x="{at + 11}" y="{y - 4:.1f}" text-anchor="middle" font-size="9">{group[name]:.0f}</text>'
    yield f'<text x="{x}" y="{TOP + PLOT + 18}">{escape(label)}</text>'
