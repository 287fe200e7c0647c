// Connects the parts of the page.

import { Connection } from "./connection.js";
import { Controls } from "./controls.js";
import { showFigures } from "./figures.js";
import { Keys } from "./keys.js";
import { readPicture } from "./picture.js";
import { Plot } from "./plot.js";
import { Stage } from "./stage.js";

const NOTICE_FOR = 6000; // ms
const DESCRIBE_PLOT_EVERY = 5000; // ms
const STATES = { waiting: "Waiting for the camera", live: "Live", lost: "Camera lost", ended: "Ended" };

// The token is in a cookie now; it must not stay in the address bar, to be copied or photographed.
if (location.search) history.replaceState(null, "", location.pathname);

const byId = (id) => document.getElementById(id);
const stage = new Stage(byId("stage"));
const plot = new Plot(byId("plot"));
const controls = new Controls((name, value) => connection.send(name, value));
let noticeUntil = 0;
let described = 0;
let view = "split";
let frozen = false;

const connection = new Connection({
  open() {
    connection.send("view", view);
    connection.send("frozen", frozen);
  },
  retrying() {
    byId("retry").hidden = true;
  },
  message(message) {
    if (message.kind === "statistics") update(message);
    else if (message.kind === "snapshot") controls.offer(message.number);
    else if (message.kind === "notice") {
      noticeUntil = performance.now() + NOTICE_FOR;
      say("notice", message.text);
    }
  },
  async picture(buffer) {
    const { socket } = connection;
    try {
      const picture = await readPicture(buffer);
      // Drawn with the screen; in a hidden tab that waits, and so does the server.
      requestAnimationFrame(() => {
        if (frozen) return; // it was on its way when the picture was frozen; the server knows
        stage.show(picture);
        plot.add("sent", picture.age);
        if (socket === connection.socket) connection.send("drawn", picture.number);
      });
    } catch {
      socket.close(4000); // a damaged picture: begin again
    }
  },
  quiet(silence) {
    setState("lost", `No answer for ${Math.round(silence / 1000)} s`);
  },
  lost(reason, delay) {
    document.body.classList.add("lost");
    controls.enable(false);
    setState("lost", "Not connected");
    const seconds = Math.max(1, Math.round(delay / 1000));
    say("alarm", `${reason || "Connection lost."} Trying again in ${seconds} s.`);
    say("notice", "");
    byId("retry").hidden = false;
  },
});

function update(figures) {
  document.body.classList.remove("lost");
  controls.enable(true);
  controls.update(figures);
  say("alarm", figures.state === "lost" ? figures.message ?? STATES.lost : "");
  if (performance.now() > noticeUntil) say("notice", figures.state === "lost" ? "" : figures.message ?? "");
  byId("retry").hidden = true;
  byId("source").textContent = figures.source;
  setState(figures.state, STATES[figures.state]);
  for (const ms of figures.drawn) plot.add("drawn", ms);
  plot.draw();
  const own = plot.summary();
  describePlot(own);
  showFigures(byId("figures"), figures, own);
}

function describePlot(own) {
  if (!own || performance.now() - described < DESCRIBE_PLOT_EVERY) return;
  described = performance.now();
  const [p50, p95] = [Math.round(own.p50), Math.round(own.p95)];
  byId("plot").ariaLabel = `Latency over the last minute: half of all pictures within ${p50} ms, 95 % within ${p95} ms`;
}

function setState(state, text) {
  const element = byId("state");
  element.dataset.state = state;
  if (element.textContent !== text) element.textContent = text;
}

function say(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}

function freeze(wanted) {
  if (wanted === frozen || (wanted && !stage.picture)) return;
  frozen = wanted;
  connection.send("frozen", frozen);
  noticeUntil = performance.now() + NOTICE_FOR;
  say("notice", frozen ? "Frozen. Space goes on" : "");
}

for (const radio of document.querySelectorAll("input[name=view]")) {
  radio.addEventListener("change", () => {
    freeze(false); // the part that the new view shows may not be here
    view = radio.value;
    stage.setView(view);
    connection.send("view", view);
  });
}
byId("retry").addEventListener("click", () => connection.connect());
byId("fill").addEventListener("click", () => fill());
byId("fill").hidden = !document.fullscreenEnabled;

function fill() {
  if (document.fullscreenElement) document.exitFullscreen();
  else byId("screen").requestFullscreen?.().catch(() => say("notice", "This browser does not fill the screen."));
}

new Keys({
  view: (name) => document.querySelector(`input[name=view][value=${name}]`).click(),
  strength: (by) => controls.strength.step(by),
  automatic: () => byId("automatic").click(),
  mix: (by) => controls.mix.step(by),
  scale() {
    const list = byId("scale");
    list.selectedIndex = (list.selectedIndex + 1) % list.options.length;
    list.dispatchEvent(new Event("change"));
  },
  freeze: () => freeze(!frozen),
  fill,
  snapshot: () => byId("snapshot").click(),
  record: () => byId("record").click(),
  statistics() {
    for (const part of document.querySelectorAll(".statistics, .latency")) part.hidden = !part.hidden;
  },
});
controls.enable(false);
