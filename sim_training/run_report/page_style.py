"""The look of the page; the series colours and the inks of the figures are set here as well."""

STYLE = """
:root {
  color-scheme: light dark;
  --font: system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif;
  --surface: #ffffff; --page: #f4f6f8; --ink: #1c2733; --muted: #5b6875; --grid: #dfe4ea;
  --series-0: #0072b2; --series-1: #d55e00; --series-2: #009e73;
  --series-3: #cc79a7; --series-4: #e69f00; --series-5: #56b4e9;
}
@media (prefers-color-scheme: dark) {
  :root {
    --surface: #171d24; --page: #0e1217; --ink: #e8edf2; --muted: #9aa7b4; --grid: #2c3641;
    --series-0: #4aa8e8; --series-1: #ff8a3d; --series-2: #2fc79a;
    --series-3: #e29ac2; --series-4: #f2b632; --series-5: #8fd0f5;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.55 var(--font); }
main { max-width: 1120px; margin: 0 auto; padding: 40px 24px 64px; }
h1 { font-size: 2.1rem; line-height: 1.2; margin: 0 0 6px; letter-spacing: -0.02em; }
h2 { font-size: 1.2rem; margin: 0 0 4px; letter-spacing: -0.01em; }
p { margin: 0 0 12px; overflow-wrap: anywhere; }
.lead, figcaption, .note { color: var(--muted); }
.lead { font-size: 1.05rem; margin-bottom: 24px; }
.badge { display: inline-block; border: 1px solid var(--series-1); color: var(--series-1);
  border-radius: 999px; padding: 1px 12px; font-size: 0.85rem; margin-bottom: 12px; }
.tiles { display: grid; gap: 14px; margin-bottom: 20px;
  grid-template-columns: repeat(auto-fit, minmax(190px, 1fr)); }
.tile, section { background: var(--surface); border: 1px solid var(--grid); border-radius: 12px; }
.tile { padding: 14px 18px; }
.tile b { display: block; font-size: 1.65rem; font-weight: 650; line-height: 1.25;
  letter-spacing: -0.02em; font-variant-numeric: tabular-nums; white-space: nowrap; }
.tile span { color: var(--muted); font-size: 0.88rem; }
section { padding: 22px 26px; margin-bottom: 20px; }
figure { margin: 10px 0 0; }
figcaption { font-size: 0.92rem; margin-top: 10px; max-width: 88ch; }
figure svg { display: block; width: 100%; height: auto; }
.films { display: grid; gap: 18px; grid-template-columns: repeat(auto-fit, minmax(300px, 1fr)); }
video { width: 100%; max-width: 560px; border-radius: 8px; background: #000; display: block; }
.key { display: inline-block; width: 12px; height: 12px; border-radius: 3px; margin-right: 7px;
  vertical-align: -1px; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: 0.92rem; }
th, td { text-align: left; padding: 5px 22px 5px 0; border-bottom: 1px solid var(--grid);
  vertical-align: top; white-space: nowrap; }
th { color: var(--muted); font-weight: 600; }
td.number, th.number { text-align: right; }
tr.special td { font-weight: 650; }
details { margin-top: 14px; }
summary { cursor: pointer; color: var(--muted); }
code, pre { font-family: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre { background: var(--page); border-radius: 8px; padding: 12px 14px; overflow-x: auto;
  font-size: 0.86rem; margin: 8px 0; white-space: pre-wrap; overflow-wrap: anywhere; }
footer { color: var(--muted); font-size: 0.88rem; overflow-wrap: anywhere; }
@media (max-width: 640px) { main { padding: 20px 12px; } section { padding: 16px 14px; } }
@media print { body { background: #fff; } section, .tile { break-inside: avoid; } }
"""
"""Nothing here is fetched from anywhere: no font, no image."""
