"""The figures on the admin's first page: who may see which, how long one is kept, and their drawing as SVG.

A figure is one bounded statement, kept for some seconds for all readers together. Its numbers are drawn by the server;
beside each drawing stands a table that says the same.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import structlog
from django.core.cache import cache
from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import get_language_bidi
from django.utils.translation import gettext as _

log = structlog.get_logger(__name__)

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 640, 180, 60, 28, 12


@dataclass(frozen=True, kw_only=True)
class Figure:
    """`make` returns `{"labels": [...], "values": {series: [...]}}`: labels are texts, or seconds since 1970 (`times`).

    `series` says what each is called; a figure with one label shows plain numbers.
    """

    id: str
    title: Any
    make: Callable[[], dict[str, Any]]
    series: Mapping[str, Any]
    permission: str = ""  # none: superusers alone
    words: Mapping[str, Any] = field(default_factory=dict)  # how labels that are names are called
    times: bool = False
    unit: str = ""
    note: Any = ""
    seconds: int = 30


@dataclass(frozen=True, kw_only=True)
class Shown:
    id: str
    title: str
    note: str
    svg: SafeString | str
    columns: Sequence[str]
    rows: Sequence[tuple[str, Sequence[str]]]
    kind: str  # "lines", "bars", "numbers" or "away"
    bars: Sequence[tuple[str, str, SafeString]] = field(default_factory=list)


_figures: list[Figure] = []


def add(figure: Figure) -> None:
    if all(known.id != figure.id for known in _figures):
        _figures.append(figure)


def figures(user: Any) -> list[Shown]:
    """Return what this person may see, drawn in the language of the request."""
    allowed = [one for one in _figures if user.is_superuser or (one.permission and user.has_perm(one.permission))]
    return [shown(figure, _numbers(figure)) for figure in allowed]


def _numbers(figure: Figure) -> dict[str, Any] | None:
    key = f"dashboard:{figure.id}"
    try:
        if (kept := cache.get(key)) is not None:
            return dict(kept)
    except Exception:
        log.debug("dashboard.cache_away")
    try:
        made = figure.make()
    except Exception as error:
        log.warning("dashboard.figure_away", figure=figure.id, error=type(error).__name__)
        return None
    try:
        cache.set(key, made, figure.seconds)
    except Exception:
        log.debug("dashboard.cache_away")
    return made


def shown(figure: Figure, numbers: dict[str, Any] | None) -> Shown:
    common: dict[str, Any] = {"id": figure.id, "title": str(figure.title), "note": str(figure.note)}
    if numbers is None:
        return Shown(**common, svg="", columns=[], rows=[], kind="away")
    labels = [_moment(one) if figure.times else str(figure.words.get(one, one)) for one in numbers["labels"]]
    series = [(str(figure.series[name]), numbers["values"].get(name, [])) for name in figure.series]
    rows = [
        (label, [amount(values[place], figure.unit) for _name, values in series]) for place, label in enumerate(labels)
    ]
    columns = [name for name, _values in series]
    if figure.times:
        return Shown(**common, svg=lines(figure, labels, series), columns=columns, rows=rows, kind="lines")
    if len(series) > 1 or numbers["labels"] == ["now"]:
        return Shown(**common, svg="", columns=columns, rows=rows, kind="numbers")
    top = max(series[0][1], default=0) or 1
    bars = [(label, values[0], _bar(series[0][1][place] / top)) for place, (label, values) in enumerate(rows)]
    return Shown(**common, svg="", columns=columns, rows=rows, kind="bars", bars=bars)


def _moment(at: float) -> str:
    return formats.date_format(timezone.localtime(datetime.fromtimestamp(at, UTC)), "H:i")


def amount(value: float, unit: str = "") -> str:
    if unit != "bytes":
        return formats.number_format(value, use_l10n=True, force_grouping=True)
    for name in ("B", "KiB", "MiB", "GiB", "TiB"):
        if value < 1024 or name == "TiB":
            return f"{formats.number_format(round(value, 1 if name != 'B' else 0), use_l10n=True)} {name}"
        value /= 1024
    return ""


def _bar(part: float) -> SafeString:
    width = max(1, round(part * 100))
    return format_html(
        '<svg class="bar" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true" focusable="false">'
        '<rect class="s0" x="{}" y="0" width="{}" height="10"/></svg>',
        100 - width if get_language_bidi() else 0,
        width,
    )


def lines(figure: Figure, labels: Sequence[str], series: Sequence[tuple[str, Sequence[float]]]) -> SafeString:
    """Draw one line a series over time; time runs from left to right in every language."""
    top = _ceiling(max((value for _name, values in series for value in values), default=0))
    inner_width, inner_height = WIDTH - LEFT - 8, HEIGHT - TOP - BOTTOM
    step = inner_width / max(1, len(labels) - 1)

    def point(place: int, value: float) -> str:
        return f"{LEFT + place * step:.1f},{TOP + inner_height * (1 - value / top):.1f}"

    drawn = format_html_join(
        "",
        '<polyline class="line s{}" points="{}"/>',
        (
            (n, " ".join(point(place, value) for place, value in enumerate(values)))
            for n, (_n, values) in enumerate(series)
        ),
    )
    grid = format_html_join(
        "",
        '<line class="grid" x1="{0}" x2="{1}" y1="{2}" y2="{2}"/><text x="{3}" y="{4}" text-anchor="end">{5}</text>',
        (
            (LEFT, WIDTH - 8, y := round(TOP + inner_height * (1 - part), 1), LEFT - 6, y + 4, amount(int(top * part)))
            for part in (0, 0.5, 1)
        ),
    )
    every = max(1, len(labels) // 6)
    below = format_html_join(
        "",
        '<text x="{}" y="{}" text-anchor="middle">{}</text>',
        (
            (round(LEFT + place * step, 1), HEIGHT - 6, label)
            for place, label in enumerate(labels)
            if place % every == 0 and LEFT + place * step < WIDTH - 24
        ),
    )
    summary = "; ".join(f"{name}: {amount(sum(values))}" for name, values in series)
    said = _("%(title)s. In all: %(sums)s.") % {"title": figure.title, "sums": summary}
    return format_html(
        '<svg class="plot" viewBox="0 0 {} {}" role="img" aria-label="{}" direction="ltr">{}{}{}</svg>',
        WIDTH,
        HEIGHT,
        said,
        grid,
        below,
        drawn,
    )


def _ceiling(value: float) -> float:
    """Return a round number not below `value` whose half is whole."""
    if value <= 2:
        return 2
    power = 10 ** (len(str(int(value))) - 1)
    return next(step * power for step in (1, 2, 4, 6, 8, 10, 20) if step * power >= value)
