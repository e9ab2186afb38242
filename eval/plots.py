"""Plots as SVG text, for reports and studies. Drawn without a screen; the palette is safe for colour blindness."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

PALETTE = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c564b", "#555555")  # Okabe and Ito
_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#dddddd",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "svg.fonttype": "none",
    "svg.hashsalt": "instructor-search",
    "legend.frameon": False,
}


def _svg(figure: Figure) -> str:
    with mpl.rc_context(_STYLE):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", bbox_inches="tight", metadata={"Date": None, "Creator": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]


def bars_plot(groups: Sequence[str], series: Mapping[str, Sequence[tuple[float, float, float] | None]]) -> str:
    """Return horizontal bars of scores with intervals, one group a category and one bar a series."""
    with mpl.rc_context(_STYLE):
        height = 0.8 / max(len(series), 1)
        figure = Figure(figsize=(8, 0.5 + len(groups) * max(0.34, 0.2 * len(series))))
        axes = figure.subplots()
        for number, (label, values) in enumerate(series.items()):
            places = [i + number * height for i, v in enumerate(values) if v]
            shown = [v for v in values if v]
            axes.barh(places, [v[0] for v in shown], height * 0.92, label=label, color=PALETTE[number % len(PALETTE)])
            errors = np.array([[max(v[0] - v[1], 0), max(v[2] - v[0], 0)] for v in shown]).T
            if len(shown):
                axes.errorbar([v[0] for v in shown], places, xerr=errors, fmt="none", ecolor="#333333", elinewidth=0.8)
        axes.set_yticks(np.arange(len(groups)) + 0.4 - height / 2, groups)
        axes.invert_yaxis()
        axes.set_xlabel("score x 100, 95 % interval")
        axes.grid(axis="y", visible=False)
        _legend_above(axes, len(series))
        return _svg(figure)


def gaps_plot(models: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """Return for each set and model the five paraphrases around their mean, joined from worst to best."""
    with mpl.rc_context(_STYLE):
        names = list(dict.fromkeys(name for rows in models.values() for name in rows))
        figure = Figure(figsize=(8, 0.9 + 0.22 * len(names) * max(len(models), 1)))
        axes = figure.subplots()
        step = 0.7 / max(len(models), 1)
        for number, (model, rows) in enumerate(models.items()):
            colour = PALETTE[number % len(PALETTE)]
            for name, row in rows.items():
                y = names.index(name) + number * step
                points = [100 * (score - row["mean"]) for score in row["scores"].values()]
                axes.plot([min(points), max(points)], [y, y], color=colour, linewidth=3, alpha=0.35)
                axes.plot(points, [y] * len(points), "o", color=colour, markersize=3.5)
            axes.plot([], [], "o-", color=colour, label=model)
        axes.axvline(0, color="#333333", linewidth=0.8)
        axes.set_yticks(np.arange(len(names)) + step * (len(models) - 1) / 2, names)
        axes.invert_yaxis()
        axes.set_xlabel("points from the mean of five paraphrases")
        _legend_above(axes, len(models))
        return _svg(figure)


def ladder_plot(models: Mapping[str, Mapping[str, Any]], steps: Sequence[str]) -> str:
    """Return for each model a line a category over the steps of detail."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(4.2 * len(models) + 1.5, 4))
        for number, (model, values) in enumerate(models.items()):
            axes = figure.add_subplot(1, len(models), number + 1)
            for place, (name, scores) in enumerate(values["averages"].items()):
                average = name.startswith("average")
                axes.plot(
                    steps,
                    [100 * s for s in scores],
                    marker="o",
                    markersize=3.5,
                    linewidth=2.4 if average else 1.2,
                    color="#000000" if average else PALETTE[place % len(PALETTE)],
                    linestyle="-" if average or place < len(PALETTE) else "--",
                    label=name,
                )
            axes.set_title(model, fontsize=9)
            axes.set_ylabel("score x 100" if number == 0 else "")
            if number == len(models) - 1 and values["averages"]:
                axes.legend(loc="center left", bbox_to_anchor=(1, 0.5), fontsize=8)
        return _svg(figure)


def differences_plot(models: Mapping[str, Mapping[str, Any]], label: str) -> str:
    """Return differences with intervals around zero; filled where significant."""
    with mpl.rc_context(_STYLE):
        names = list(dict.fromkeys(d["name"] for values in models.values() for d in values["sets"]))
        figure = Figure(figsize=(8, 0.9 + 0.2 * len(names) * max(len(models), 1)))
        axes = figure.subplots()
        step = 0.7 / max(len(models), 1)
        for number, (model, values) in enumerate(models.items()):
            colour = PALETTE[number % len(PALETTE)]
            for d in values["sets"]:
                y = names.index(d["name"]) + number * step
                axes.plot([d["low"], d["high"]], [y, y], color=colour, linewidth=1)
                face = colour if d["is_significant"] else "white"
                axes.plot(d["difference"], y, "o", color=colour, markerfacecolor=face, markersize=4.5)
            axes.plot([], [], "o", color=colour, label=model)
        axes.axvline(0, color="#333333", linewidth=0.8)
        axes.set_yticks(np.arange(len(names)) + step * (len(models) - 1) / 2, names)
        axes.invert_yaxis()
        axes.set_xlabel(f"{label}; filled: significant after Holm's correction")
        _legend_above(axes, len(models))
        return _svg(figure)


def groups_plot(models: Mapping[str, Mapping[str, Mapping[str, Any]]], groups: Sequence[str]) -> str:
    """Return the gain of the instruction in each group of sets, one bar a model."""
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(5.5, 3.2))
        axes = figure.subplots()
        width = 0.7 / max(len(models), 1)
        for number, (model, values) in enumerate(models.items()):
            shown = [(i, values[g]) for i, g in enumerate(groups) if g in values]
            gains = [100 * v["gain"] for _, v in shown]
            places = [i + number * width for i, _ in shown]
            axes.bar(places, gains, width * 0.92, color=PALETTE[number % len(PALETTE)], label=model)
            for place, (_, v) in zip(places, shown, strict=True):
                low, high = v["interval_95"]
                if low is not None and np.isfinite([low, high]).all():
                    errors = 100 * np.abs([[v["gain"] - low], [high - v["gain"]]])
                    axes.errorbar(
                        place, 100 * v["gain"], yerr=errors, fmt="none", ecolor="#333333", elinewidth=1, capsize=3
                    )
        axes.axhline(0, color="#333333", linewidth=0.8)
        axes.set_xticks(np.arange(len(groups)) + width * (len(models) - 1) / 2, groups)
        axes.set_ylabel("gain by the instruction (points)")
        axes.grid(axis="x", visible=False)
        _legend_above(axes, len(models))
        return _svg(figure)


def pairs_plot(maps: Sequence[Mapping[str, Any]]) -> str:
    """Return for each set two maps of pairs, a line joining the two texts of a pair."""
    with mpl.rc_context(_STYLE | {"axes.grid": False}):
        figure = Figure(figsize=(8.4, 3.9 * len(maps)))
        for row, drawn in enumerate(maps):
            for column, variant in enumerate(("without", "with")):
                axes = figure.add_subplot(len(maps), 2, 2 * row + column + 1)
                _draw_pairs(axes, drawn[variant], drawn["labels"])
                axes.set_title(f"{drawn['title']}\n{variant} instruction, AP {drawn[variant]['ap']:.3f}", fontsize=9)
        figure.subplots_adjust(hspace=0.42, wspace=0.08)
        return _svg(figure)


def _draw_pairs(axes: Any, drawn: Mapping[str, Any], labels: np.ndarray) -> None:
    first, second = np.split(np.asarray(drawn["points"]), 2)
    for label, colour, name in ((0, "#d55e00", "different"), (1, "#009e73", "same")):
        for place in np.flatnonzero(labels == label):
            ends = np.stack([first[place], second[place]])
            axes.plot(ends[:, 0], ends[:, 1], "-", color=colour, linewidth=1, alpha=0.55)
            axes.plot(ends[:, 0], ends[:, 1], "o", color=colour, markersize=3)
        axes.plot([], [], "o-", color=colour, label=name)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, 0), ncols=2)


def _legend_above(axes: Any, count: int) -> None:
    if count:
        axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=min(count, 3), fontsize=8)
