// The list of statistics.

import { clock } from "./controls.js";

/** Rows of name and text, from the server's statistics and what this page has measured itself. */
function rows(figures, own) {
  const { latency } = figures;
  return [
    ["Backend", figures.backend],
    ["Picture", figures.size ? `${figures.size.join("×")}${figures.scale === "1" ? "" : `, ${figures.scale}`}` : "–"],
    ["Camera", `${figures.captured_fps.toFixed(1)} fps`],
    ["Output", `${figures.shown_fps.toFixed(1)} fps`],
    ["This page", own ? `${own.fps.toFixed(1)} fps` : "–"],
    ["Strength used", figures.used.toFixed(1)],
    ["Dropped", `${figures.dropped}`],
    ["Late", `${figures.late}`],
    ["Latency p50 / p95", pair(latency)],
    ["To this page p50 / p95", own ? pair(own) : "–"],
    ["Running", clock(figures.seconds)],
    ["Pages watching", `${figures.viewers}`],
    ...(figures.recording ? [["Recording", figures.recording]] : []),
    ...figures.outputs.map((output) => ["Output", output]),
  ];
}

function pair({ p50, p95 }) {
  return `${Math.round(p50)} / ${Math.round(p95)} ms`;
}

/** Show them; only what changed is touched, so that a selection or a screen reader's place survives. */
export function showFigures(list, figures, own) {
  const wanted = rows(figures, own);
  while (list.children.length > wanted.length) list.lastElementChild.remove();
  wanted.forEach(([name, text], index) => {
    const row = list.children[index] ?? list.appendChild(newRow());
    const [term, value] = row.children;
    if (term.textContent !== name) term.textContent = name;
    if (value.textContent !== text) value.textContent = text;
  });
}

function newRow() {
  const row = document.createElement("div");
  row.append(document.createElement("dt"), document.createElement("dd"));
  return row;
}
