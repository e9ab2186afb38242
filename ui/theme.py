"""How it looks: one theme, light and dark, of system fonts; nothing is loaded from another host."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import gradio as gr

ASSETS = Path(__file__).parent / "assets"
_SANS = (
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Noto Sans",
    "Liberation Sans",
    "DejaVu Sans",
    "sans-serif",
)
_MONO = ("ui-monospace", "SFMono-Regular", "Menlo", "Consolas", "Liberation Mono", "DejaVu Sans Mono", "monospace")
# Before the page is drawn: the theme that was chosen here, else the system's.
HEAD = """<script>(() => {
  const chosen = localStorage.getItem('instructor-search-theme');
  const dark = chosen ? chosen === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
  const wanted = new URL(location).searchParams.get('__theme') || (dark ? 'dark' : 'light');
  document.documentElement.classList.toggle('dark', wanted === 'dark');
  addEventListener('DOMContentLoaded', () => document.body.classList.toggle('dark', wanted === 'dark'));
  // What is drawn anew between press and release would swallow the click: a browser makes none of a node that is gone.
  const part = (node) => node && node.closest && node.closest('[data-action]');
  const what = (node) => node.outerHTML + node.closest('[data-chunk]')?.dataset.chunk;
  let pressed = null;
  addEventListener('pointerdown', (event) => { pressed = event.button ? null : part(event.target); }, true);
  addEventListener('pointerup', (event) => {
    const was = pressed, now = part(document.elementFromPoint(event.clientX, event.clientY));
    pressed = null;
    if (was && !was.isConnected && now && what(now) === what(was)) now.click();
  }, true);
})();</script>"""


def make_theme() -> gr.themes.Base:
    """Return the theme."""
    theme = gr.themes.Base(
        primary_hue="teal",
        secondary_hue="teal",
        neutral_hue="slate",
        font=_SANS,
        font_mono=_MONO,
        radius_size="md",
        text_size="md",
        spacing_size="md",
    )
    return theme.set(
        body_background_fill="#f6f8f9",
        body_background_fill_dark="#0f1518",
        background_fill_primary="#ffffff",
        background_fill_primary_dark="#161e22",
        background_fill_secondary="#f0f4f5",
        background_fill_secondary_dark="#1c262b",
        block_background_fill="#ffffff",
        block_background_fill_dark="#161e22",
        block_border_width="1px",
        block_shadow="none",
        block_label_text_weight="500",
        border_color_primary="#dbe3e6",
        border_color_primary_dark="#2b383e",
        body_text_color="#17262b",
        body_text_color_dark="#e4ecee",
        body_text_color_subdued="#56686f",
        body_text_color_subdued_dark="#9db0b7",
        block_label_text_color="#405259",
        block_label_text_color_dark="#b4c5cb",
        block_info_text_color="#56686f",
        block_info_text_color_dark="#9db0b7",
        button_primary_background_fill="#0f766e",
        button_primary_background_fill_hover="#0d655e",
        button_primary_background_fill_dark="#0f766e",
        button_primary_background_fill_hover_dark="#117f76",
        button_primary_text_color="#ffffff",
        button_primary_text_color_dark="#ffffff",
        input_border_width="1px",
        input_border_color="#c3d0d5",
        input_border_color_dark="#3a4a51",
        block_padding="*spacing_md *spacing_lg",
        input_background_fill="#ffffff",
        input_background_fill_dark="#11181b",
        input_placeholder_color="#56686f",
        input_placeholder_color_dark="#9db0b7",
        input_border_color_focus="#0f766e",
        input_border_color_focus_dark="#2dd4bf",
    )


@cache
def style(name: str = "style") -> str:
    """Return the page's CSS: "style", or "narrow" for narrow screens."""
    return (ASSETS / f"{name}.css").read_text(encoding="utf-8")


@cache
def script(name: str) -> str:
    """Return one of the page's scripts, to run when its element is loaded."""
    return (ASSETS / f"{name}.js").read_text(encoding="utf-8")
