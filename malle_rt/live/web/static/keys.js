// Single keys: those of the window (malle_rt/live/view/keys.py), but for the arrows, which belong to what has the focus,
// and for quitting: a page does not end the session.

const byId = (id) => document.getElementById(id);

export class Keys {
  /** @param does {view, strength, automatic, mix, freeze, fill, snapshot, record, statistics}: what the keys call */
  constructor(does) {
    const help = byId("help");
    const toggleHelp = () => (help.open ? help.close() : help.showModal());
    const rows = [
      ["s", "split view", { s: () => does.view("split") }],
      ["b", "both, side by side", { b: () => does.view("side") }],
      ["r", "raw picture", { r: () => does.view("raw") }],
      ["c", "clean picture", { c: () => does.view("clean") }],
      ["+, -", "strength", {
        "+": () => does.strength(1), "=": () => does.strength(1),
        "-": () => does.strength(-1), _: () => does.strength(-1),
      }],
      ["a", "automatic strength on, off", { a: does.automatic }],
      ["m, n", "mix: more, less of the clean picture", { m: () => does.mix(10), n: () => does.mix(-10) }],
      ["z", "size: next share, or automatic", { z: does.scale }],
      ["Space", "freeze", { " ": does.freeze }],
      ["f", "full screen", { f: does.fill }],
      ["p", "save the picture, raw and clean", { p: does.snapshot }],
      ["v", "record on, off", { v: does.record }],
      ["i", "statistics", { i: does.statistics }],
      ["h, ?", "these keys", { h: toggleHelp, "?": toggleHelp }],
    ];
    this.actions = Object.assign({}, ...rows.map(([, , actions]) => actions));
    byId("help-keys").append(...rows.map(([keys, meaning]) => row(keys, meaning)));
    byId("keys").addEventListener("click", toggleHelp);
    document.addEventListener("keydown", (event) => this.press(event));
  }

  press(event) {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat && event.key === " ") return;
    const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
    // Space presses what has the focus; and people who speak to their machine switch single keys off.
    if (key === " " && event.target.closest("button, input, a, dialog")) return;
    if (!byId("keys-on").checked || !Object.hasOwn(this.actions, key)) return;
    event.preventDefault();
    this.actions[key]();
  }
}

function row(keys, meaning) {
  const made = document.createElement("div");
  const [term, value] = [document.createElement("dt"), document.createElement("dd")];
  term.textContent = keys;
  value.textContent = meaning;
  made.append(term, value);
  return made;
}
