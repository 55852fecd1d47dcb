#include "tracking/report/assets.hpp"

namespace cifarpipe::report {

// One accent, system fonts, light and dark by the reader's setting; print is always light. Colours
// of lines (--s0 to --s7) are told apart in both, also by most who see colours otherwise.
const std::string_view kStyle = R"css(
:root {
  --bg: #ffffff; --ink: #1b2127; --dim: #65707b; --rule: #e2e6ea; --soft: #f4f6f8;
  --accent: #2c6cb0; --right: 44,108,176; --wrong: 206,84,52;
  --good: #1f7a4d; --bad: #b83227; --warn: #95650f; --pale: 12%;
  --s0: #2c6cb0; --s1: #d97a1e; --s2: #23967f; --s3: #b8417f;
  --s4: #7558cf; --s5: #87851f; --s6: #a8432f; --s7: #5a6b7d;
}
@media screen and (prefers-color-scheme: dark) {
  :root {
    --bg: #14181d; --ink: #dfe5eb; --dim: #909ba7; --rule: #2a3138; --soft: #1c2228;
    --accent: #6fb0f2; --right: 62,130,206; --wrong: 224,101,66;
    --good: #57c08a; --bad: #f0776b; --warn: #dbab4c; --pale: 20%;
    --s0: #6fb0f2; --s1: #f0a04b; --s2: #4cc4a8; --s3: #e57db3;
    --s4: #a893f0; --s5: #c3c04f; --s6: #e08670; --s7: #9aabbc;
  }
}
* { box-sizing: border-box; }
html { scroll-padding-top: 56px; -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--bg); color: var(--ink);
  font: 15px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif;
  font-variant-numeric: tabular-nums;
}
main { max-width: 1080px; margin: 0 auto; padding: 44px 24px 0; }
footer { max-width: 1080px; margin: 56px auto 0; padding: 16px 24px 40px; color: var(--dim); font-size: 13px; }
article + article { margin-top: 72px; padding-top: 40px; border-top: 3px solid var(--rule); }
h1 { margin: 2px 0 10px; font-size: 30px; line-height: 1.2; font-weight: 650; letter-spacing: -.02em; overflow-wrap: anywhere; }
h1.run { font-size: 25px; }
h2 { margin: 0 0 14px; font-size: 19px; font-weight: 620; letter-spacing: -.01em; }
h3 { margin: 26px 0 8px; font-size: 14px; font-weight: 620; }
p { margin: 0 0 12px; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
section { margin-top: 38px; padding-top: 24px; border-top: 1px solid var(--rule); }
.dim, .lead { color: var(--dim); }
.eyebrow { margin: 0; color: var(--accent); font-size: 13px; font-weight: 600; letter-spacing: .02em; }
.facts { display: flex; flex-wrap: wrap; gap: 4px 16px; align-items: center; color: var(--dim); font-size: 14px; }
.note { border-left: 3px solid var(--accent); padding-left: 12px; white-space: pre-line; }
.tags span { display: inline-block; margin: 0 6px 6px 0; padding: 1px 9px; border-radius: 20px; background: var(--soft); font-size: 13px; overflow-wrap: anywhere; }
.pill { padding: 1px 9px; border-radius: 20px; background: var(--soft); color: var(--dim); font-size: 12px; font-weight: 600; letter-spacing: .02em; white-space: nowrap; }
.pill.good { color: var(--good); background: color-mix(in srgb, var(--good) var(--pale), transparent); }
.pill.bad { color: var(--bad); background: color-mix(in srgb, var(--bad) var(--pale), transparent); }
.pill.warn { color: var(--warn); background: color-mix(in srgb, var(--warn) var(--pale), transparent); }
.pill.busy { color: var(--accent); background: color-mix(in srgb, var(--accent) var(--pale), transparent); }

nav { position: sticky; top: 0; z-index: 2; display: flex; flex-wrap: wrap; gap: 2px 18px; margin-top: 26px; padding: 10px 0; background: var(--bg); border-bottom: 1px solid var(--rule); font-size: 13.5px; }
nav + section { margin-top: 0; border-top: 0; }

.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(170px, 1fr)); gap: 12px; margin-top: 22px; }
.tile { padding: 14px 16px; border-radius: 10px; background: var(--soft); min-width: 0; }
.tile.large { grid-column: span 2; grid-row: span 2; }
.tile .label, .tile .detail { color: var(--dim); font-size: 13px; line-height: 1.4; overflow-wrap: anywhere; }
.tile .value { margin: 2px 0; font-size: 22px; font-weight: 600; letter-spacing: -.01em; }
.tile.large .value { font-size: 42px; line-height: 1.25; margin-top: 6px; color: var(--accent); }
.tile .interval { display: block; width: calc(100% + 12px); max-width: 330px; height: auto; margin: 10px 0 12px -8px; }

.scroll { overflow-x: auto; max-width: 100%; }
table { border-collapse: collapse; font-size: 13.5px; }
th, td { padding: 5px 14px 5px 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: middle; font-weight: 400; }
tbody tr:last-child > * { border-bottom-color: transparent; }
thead th { color: var(--dim); font-size: 12.5px; vertical-align: bottom; }
tbody th { font-weight: 500; white-space: nowrap; }
tfoot th, tfoot td { border-top: 1px solid var(--rule); border-bottom: 0; color: var(--dim); }
th.num, td.num { text-align: right; white-space: nowrap; }
td.best { color: var(--accent); font-weight: 650; }
td.dim { white-space: nowrap; }
table.pairs th { color: var(--dim); font-weight: 400; vertical-align: top; }
table.pairs td { overflow-wrap: anywhere; min-width: 150px; }
table.stages { width: 100%; }
td.wide { width: 34%; min-width: 110px; }
i.key { display: inline-block; width: 9px; height: 9px; margin-right: 7px; border-radius: 50%; }
.mono { font: 12px/1.5 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; color: var(--dim); }
th[aria-sort] { cursor: pointer; user-select: none; }
th[aria-sort]:hover, th[aria-sort]:focus-visible { color: var(--ink); }
th[aria-sort=ascending]::after { content: " ↑"; }
th[aria-sort=descending]::after { content: " ↓"; }

pre { margin: 0 0 14px; padding: 12px 14px; max-height: 460px; overflow: auto; border-radius: 8px; background: var(--soft); font: 12.5px/1.55 ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; white-space: pre-wrap; overflow-wrap: anywhere; }
pre .dim, pre .key { color: var(--dim); }
pre .key { color: var(--accent); }
pre .plus { color: var(--good); }
pre .minus { color: var(--bad); }
details { margin: 10px 0; }
summary { cursor: pointer; color: var(--accent); font-size: 14px; padding: 2px 0; }
details[open] > summary { margin-bottom: 8px; }
.trouble { border: 1px solid color-mix(in srgb, var(--bad) 40%, transparent); border-radius: 10px; padding: 18px 18px 6px; margin-top: 26px; }
.trouble h2 { color: var(--bad); }
)css"
                                R"css(
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 430px), 1fr)); gap: 26px 28px; }
.scroll + .charts, .scroll + .legend { margin-top: 26px; }
.legend + .charts { margin-top: 14px; }
figure { margin: 0; }
.chart { position: relative; min-width: 0; }
.chart figcaption { font-size: 14px; font-weight: 600; }
.chart figcaption.below { color: var(--dim); font-size: 12.5px; font-weight: 400; }
.chart svg { display: block; width: 100%; height: auto; overflow: visible; touch-action: pan-y; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 14px; color: var(--dim); font-size: 12.5px; }
.legend span { display: inline-flex; align-items: center; min-width: 0; overflow-wrap: anywhere; }
.legend i { flex: none; width: 10px; height: 10px; margin-right: 6px; border-radius: 3px; }
svg text { fill: var(--dim); font-size: 12px; }
svg .grid { stroke: var(--rule); }
svg .axis, svg .notch { stroke: var(--dim); stroke-opacity: .55; }
svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
svg .odd { fill: none; stroke-width: 1.6; }
svg .cross { stroke: var(--dim); stroke-dasharray: 3 3; }
svg .spot { stroke: var(--bg); stroke-width: 2; }
.tip { position: absolute; z-index: 3; pointer-events: none; max-width: 92%; padding: 6px 10px; border-radius: 7px; background: var(--ink); color: var(--bg); font-size: 12.5px; line-height: 1.45; white-space: nowrap; overflow: hidden; }
.tip i { display: inline-block; width: 8px; height: 8px; margin-right: 6px; border-radius: 50%; }
.tip b { float: right; margin-left: 14px; font-weight: 600; }

.interval { width: 120px; height: 12px; vertical-align: middle; }
.interval .track { stroke: var(--rule); stroke-width: 2; stroke-linecap: round; }
.interval .range { stroke: var(--accent); stroke-width: 4; stroke-opacity: .45; stroke-linecap: round; }
.interval circle { fill: var(--accent); }

.two { display: grid; grid-template-columns: minmax(0, 1.3fr) minmax(0, 1fr); gap: 8px 40px; align-items: start; }
.two.data { grid-template-columns: minmax(0, 1fr) minmax(0, 1.6fr); }
.two .scroll + .scroll { margin-top: 18px; }
.two h3 { margin-top: 14px; }
.two .picture { margin-top: 6px; }
.two .picture + .picture { margin-top: 24px; }
table.confusion { width: 100%; max-width: 540px; border-collapse: separate; border-spacing: 2px; font-size: 12.5px; }
table.confusion th, table.confusion td { padding: 0; border: 0; }
table.confusion tbody th { padding-right: 7px; text-align: right; color: var(--dim); }
table.confusion thead th { text-align: center; vertical-align: bottom; padding-bottom: 4px; }
table.confusion thead span { writing-mode: vertical-rl; transform: rotate(180deg); }
table.confusion td { width: 40px; min-width: 30px; height: 36px; border-radius: 4px; text-align: center; }
table.confusion .corner { width: auto; height: auto; padding-right: 7px; color: var(--dim); font-size: 11px; line-height: 1.3; text-align: right; vertical-align: bottom; white-space: nowrap; }
table.confusion tbody th, table.confusion .corner { width: 1%; }
.confusion .right { background: rgba(var(--right), var(--v)); fill: rgba(var(--right), var(--v)); }
.confusion .wrong { background: rgba(var(--wrong), var(--v)); fill: rgba(var(--wrong), var(--v)); }
.confusion .strong { color: #fff; }
.confusion .none { color: var(--dim); opacity: .6; }
svg.confusion { width: 100%; max-width: 620px; height: auto; background: var(--soft); }

ul.bars { display: grid; gap: 5px 0; margin: 0; padding: 0; max-width: 640px; list-style: none; font-size: 13.5px; }
ul.bars li { display: grid; grid-template-columns: minmax(0, 1.3fr) minmax(50px, 1fr) 132px; gap: 12px; align-items: center; }
ul.bars b { font-weight: 500; }
ul.bars .num { color: var(--dim); text-align: right; white-space: nowrap; }
.bar { display: block; height: 8px; border-radius: 4px; background: var(--soft); overflow: hidden; }
.bar i { display: block; height: 100%; border-radius: 4px; background: var(--accent); }
.bar i.before { background: repeating-linear-gradient(135deg, var(--accent) 0 3px, transparent 3px 6px); opacity: .6; }
.bar i.wrong { background: rgb(var(--wrong)); opacity: .8; }

.reliability { max-width: 430px; }
.reliability svg text { font-size: 10.5px; }
.reliability .hit { fill: rgba(var(--right), .5); background: rgba(var(--right), .5); }
.reliability .over { fill: rgba(var(--wrong), .55); background: rgba(var(--wrong), .55); }
.reliability .under { fill: rgba(var(--right), .45); background: rgba(var(--right), .95); }
.reliability .many { fill: var(--dim); fill-opacity: .55; }
.reliability .ideal { stroke: var(--ink); stroke-dasharray: 5 4; stroke-opacity: .7; }

.picture { margin-top: 24px; }
.picture img { display: block; max-width: 100%; height: auto; border-radius: 8px; border: 1px solid var(--rule); background: #fff; }
.picture figcaption { margin-top: 6px; color: var(--dim); font-size: 13px; }

@media (max-width: 820px) { .two, .two.data { grid-template-columns: minmax(0, 1fr); } }
@media (max-width: 600px) {
  main { padding: 26px 16px 0; }
  footer { padding: 16px 16px 32px; }
  h1 { font-size: 24px; }
  nav { position: static; }
  html { scroll-padding-top: 12px; }
  .tiles { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 10px; }
  .tile { padding: 12px; }
  .tile.large { grid-row: auto; }
  table.confusion { font-size: 11px; }
  table.confusion td { min-width: 23px; height: 28px; }
  table.confusion .corner { font-size: 10px; }
  .chart svg text { font-size: 15px; }
  .reliability svg text { font-size: 11px; }
  ul.bars li { grid-template-columns: minmax(0, 1fr) auto; gap: 0 12px; }
  ul.bars .bar { grid-row: 2; grid-column: 1 / 3; }
  .picture img { max-width: none; width: max(100%, 620px); }
  td.wide { min-width: 70px; }
}
@media print {
  body { font-size: 11pt; }
  nav { display: none; }
  main, footer { max-width: none; padding: 0; }
  pre { max-height: none; }
  figure, tr, .tile { break-inside: avoid; }
  h2, h3, summary { break-after: avoid; }
  .charts { grid-template-columns: 1fr 1fr; }
  .two { grid-template-columns: minmax(0, 1.3fr) minmax(0, 1fr); }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
)css";

}  // namespace cifarpipe::report
