"""Bar charts as SVG text: one group for each row, one bar for each server, the figure at its end."""

from collections.abc import Mapping
from xml.sax.saxutils import escape

COLOURS = ("#2563eb", "#9ca3af", "#f59e0b", "#10b981", "#ef4444")
WIDTH, LEFT, BAR, GAP = 760, 190, 14, 14


def bars(title: str, unit: str, groups: Mapping[str, Mapping[str, float]]) -> str:
    """Return the chart of `groups`: row to server to figure."""
    names = list(dict.fromkeys(name for row in groups.values() for name in row))
    colour = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(names)}
    top = max((figure for row in groups.values() for figure in row.values()), default=1) or 1
    parts, y = [], 44
    for place, name in enumerate(names):
        x = LEFT + place * 130
        parts.append(f'<rect x="{x}" y="24" width="10" height="10" fill="{colour[name]}"/>')
        parts.append(f'<text x="{x + 14}" y="33">{escape(name)}</text>')
    for label, row in groups.items():
        parts.append(f'<text x="{LEFT - 8}" y="{y + len(row) * BAR / 2 + 4}" text-anchor="end">{escape(label)}</text>')
        for name, figure in row.items():
            length = max(1, figure / top * (WIDTH - LEFT - 90))
            parts.append(
                f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 3}" fill="{colour[name]}"/>'
                f'<text x="{LEFT + length + 4:.1f}" y="{y + BAR - 4}">{_short(figure)}</text>'
            )
            y += BAR
        y += GAP
    head = f'<text x="8" y="16" font-weight="bold">{escape(title)}, {escape(unit)}</text>'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}" viewBox="0 0 {WIDTH} {y}" '
        f'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
        f"{head}{''.join(parts)}</svg>\n"
    )


def _short(figure: float) -> str:
    return f"{figure:,.0f}" if figure >= 100 else f"{figure:.1f}" if figure >= 10 else f"{figure:.2f}"
