"""Style sheets of the page, light and dark."""

from trajlab.explorer.look import Look

NARROW_PIXELS = 760
"""Width of the window up to which it is narrow: parts are stacked, and figures have shorter names."""

NARROW_COOKIE = "trajlab_narrow"

TELL_WIDTH = f"""
const tellWidth = () => {{
  const value = Number(window.innerWidth <= {NARROW_PIXELS})
  const isKnown = () => (document.cookie.match(/{NARROW_COOKIE}=(.)/)?.[1] ?? '0') === String(value)
  if (isKnown()) return false
  document.cookie = `{NARROW_COOKIE}=${{value}}; path=/; SameSite=Strict`
  return isKnown()
}}
"""
"""A function that keeps in a cookie whether the window is narrow, and returns whether the server does not know yet.

The server draws the figures, and must know before. A browser that refuses the cookie gets the wide ones.
"""


def style_of(look: Look) -> str:
    """Return the style sheet of the parts of the page, which is theirs alone."""
    return f"""
    :host {{ color: {look.ink}; font: 14px/1.5 system-ui, "Segoe UI", Roboto, "Liberation Sans", Arial, sans-serif; }}
    h1 {{ font-size: 17px; margin: 0; font-weight: 600; overflow-wrap: anywhere; }}
    h3 {{ font-size: 14px; margin: 14px 0 4px; font-weight: 600; overflow-wrap: anywhere; }}
    p, details {{ margin: 2px 0; }}
    summary {{ cursor: pointer; color: {look.soft}; }}
    .note, .soft {{ color: {look.soft}; margin: 2px 0; overflow-wrap: anywhere; }}
    .facts {{ border-collapse: collapse; }}
    .facts th {{
      text-align: left; font-weight: 400; color: {look.soft}; padding: 1px 14px 1px 0; vertical-align: top;
      white-space: nowrap;
    }}
    .facts td {{ padding: 1px 0; overflow-wrap: anywhere; }}
    @media (max-width: {NARROW_PIXELS}px) {{
      .facts th {{ white-space: normal; overflow-wrap: anywhere; min-width: 90px; width: 38%; }}
    }}
    dl {{ margin: 4px 0; max-height: 340px; overflow-y: auto; font-size: 12px; }}
    dt {{ font-weight: 600; overflow-wrap: anywhere; }}
    dd {{ margin: 0 0 6px; color: {look.soft}; overflow-wrap: anywhere; }}
    .numbers {{
      display: block; overflow-x: auto; border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 13px;
    }}
    .numbers th, .numbers td {{ padding: 1px 14px 1px 0; text-align: right; font-weight: 400; }}
    .numbers th {{ color: {look.soft}; }}
    .numbers th:first-child {{ text-align: left; overflow-wrap: anywhere; min-width: 130px; color: {look.ink}; }}
    pre {{
      background: {look.card}; border: 1px solid {look.rule}; border-radius: 4px; padding: 8px; font-size: 12px;
      margin: 4px 0; white-space: pre-wrap; overflow-wrap: anywhere;
    }}
    """


NARROW = f"""
    @media (max-width: {NARROW_PIXELS}px) {{
      :host {{ flex-direction: column !important; height: auto !important; min-width: 0 !important; }}
      * {{ flex: none !important; min-width: 0 !important; max-width: 100%; box-sizing: border-box; }}
    }}
    """
"""Style sheet of a row whose parts are stacked on a phone.

Panel makes a row as wide as its widest parts beside each other need.
"""


def ground_of(look: Look) -> str:
    """Return the style sheet of the document."""
    scheme = "dark" if look.paper.lower() < "#8" else "light"
    return f"html, body {{ background: {look.paper}; color: {look.ink}; margin: 0; color-scheme: {scheme}; }}"


def _caret(color: str) -> str:
    """Return the arrow of a list of choices as the URL of an image; that of Bokeh is black, whatever the ground."""
    return (
        "data:image/svg+xml;utf8,<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 25 20'>"
        f"<path d='M 0,0 25,0 12.5,20 Z' fill='{color.replace('#', '%23')}'/></svg>"
    )


def widget_style(look: Look) -> str:
    """Return the style sheet of widgets."""
    return f"""
    :host {{ --surface-color: {look.card}; --border-color: {look.rule}; --divider-color: {look.rule}; }}
    label, .bk-input-group > label {{ color: {look.soft}; font-size: 12px; }}
    .bk-input {{ background-color: {look.card}; color: {look.ink}; border: 1px solid {look.rule}; font-size: 13px; }}
    .bk-input:focus, .bk-btn:focus-visible, .bk-tab:focus-visible {{
      outline: 2px solid {look.categories[0]}; outline-offset: 1px;
    }}
    select:not([multiple]).bk-input {{ background-image: url("{_caret(look.soft)}"); }}
    select option {{ background-color: {look.card}; color: {look.ink}; }}
    .bk-btn {{ background-color: {look.card}; color: {look.ink}; border: 1px solid {look.rule}; font-size: 12px; }}
    .bk-btn.bk-active {{ background-color: {look.categories[0]}; color: #ffffff; }}
    .bk-tab {{ color: {look.soft}; font-size: 14px; }}
    .bk-tab.bk-active {{ color: {look.ink}; background: transparent; border-bottom: 2px solid {look.categories[0]}; }}
    .bk-header {{ border-bottom: 1px solid {look.rule}; }}
    @media (max-width: {NARROW_PIXELS}px) {{
      .bk-headers-wrapper {{ flex-wrap: wrap !important; overflow: visible !important; }}
    }}
    """


def grid_style(look: Look) -> str:
    """Return the style sheet of a table that can be sorted."""
    parts = ", ".join(f".tabulator {part}" for part in (
        ".tabulator-header", ".tabulator-col", ".tabulator-tableholder", ".tabulator-table", ".tabulator-row",
        ".tabulator-cell", ".tabulator-footer", ".tabulator-page",
    ))  # fmt: skip
    return f"""
    .tabulator, {parts} {{
      background-color: {look.card} !important; color: {look.ink} !important; border-color: {look.rule} !important;
      font-size: 13px;
    }}
    .tabulator .tabulator-cell {{ overflow-wrap: anywhere; }}
    .tabulator .tabulator-page[disabled] {{ color: {look.soft} !important; opacity: 0.7; }}
    .tabulator .tabulator-page.active {{ color: {look.categories[0]} !important; }}
    """
