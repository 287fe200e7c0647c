// Sliders, switch, buttons: what the user asks for goes out, what holds comes back with the statistics.

const SEND_EVERY = 100; // ms
// What the user sets is not overwritten by statistics that were on their way meanwhile.
const SETTLE = 700; // ms

const byId = (id) => document.getElementById(id);

export class Controls {
  /** @param send sends a request: name, value */
  constructor(send) {
    this.send = send;
    this.recording = false;
    this.strength = new Slider(byId("strength"), (value) => {
      byId("automatic").checked = false;
      this.settling = performance.now();
      send("strength", value);
    }, (value) => value.toFixed(1));
    this.mix = new Slider(byId("mix"), (value) => send("mix", value / 100), (value) => `${Math.round(value)} %`);
    byId("scale").addEventListener("change", ({ target }) => {
      this.settling = performance.now();
      send("scale", target.value);
    });
    byId("automatic").addEventListener("change", ({ target }) => {
      this.settling = performance.now();
      send("automatic", target.checked);
    });
    byId("snapshot").addEventListener("click", () => send("snapshot", true));
    byId("record").addEventListener("click", () => send("recording", !this.recording));
  }

  /** Show what holds now. */
  update(figures) {
    byId("strength").max = figures.strongest;
    this.strength.follow(figures.strength);
    this.mix.follow(figures.mix * 100);
    if (!(performance.now() - this.settling < SETTLE)) this.showSwitches(figures);
    this.markEstimate(figures);
    this.showRecording(figures);
    offerRecordings(figures.recordings);
  }

  showSwitches({ automatic, automatic_scale: follows, scale }) {
    byId("automatic").checked = automatic;
    byId("scale").value = follows ? "auto" : scale;
  }

  /** Offer a snapshot for download. */
  offer(number) {
    for (const part of ["raw", "clean"]) byId(`download-${part}`).href = `snapshot/${number}/${part}.png`;
    byId("downloads").hidden = false;
  }

  enable(enabled) {
    if (enabled === this.enabled) return;
    this.enabled = enabled;
    // A disabled element loses the focus; who works with the keyboard gets it back.
    if (!enabled) this.focused = document.activeElement;
    for (const id of ["strength", "automatic", "mix", "scale", "snapshot", "record"]) byId(id).disabled = !enabled;
    if (enabled && document.activeElement === document.body) this.focused?.focus();
  }

  markEstimate({ estimated, strongest }) {
    const known = estimated !== null;
    byId("mark").hidden = !known;
    byId("mark").style.setProperty("--at", known ? Math.min(1, estimated / strongest) : 0);
    setText("estimated", known ? `Estimated noise ${estimated.toFixed(1)}` : "Noise not estimated yet");
  }

  showRecording({ recording, recorded_seconds: seconds }) {
    this.recording = recording !== null;
    const button = byId("record");
    button.classList.toggle("recording", this.recording);
    button.title = recording ?? "";
    setText("record-text", this.recording ? `Stop ${clock(seconds)}` : "Record");
  }
}

class Slider {
  constructor(input, change, text) {
    this.input = input;
    this.text = text;
    this.touched = -Infinity;
    this.timer = 0;
    input.addEventListener("input", () => {
      this.touched = performance.now();
      this.show(Number(input.value));
      this.timer ||= setTimeout(() => {
        this.timer = 0;
        change(Number(input.value));
      }, SEND_EVERY);
    });
  }

  /** Move it by so many of its units, as the user would. */
  step(by) {
    if (this.input.disabled) return;
    this.input.value = Number(this.input.value) + by;
    this.input.dispatchEvent(new Event("input"));
  }

  follow(value) {
    if (this.timer || performance.now() - this.touched < SETTLE) return;
    this.input.value = value;
    this.show(value);
  }

  show(value) {
    const text = this.text(value);
    this.input.ariaValueText = text;
    this.input.style.setProperty("--at", value / Number(this.input.max));
    setText(`${this.input.id}-value`, text);
  }
}

/** Finished files as links; a list that has not changed is left alone, and so is the focus in it. */
function offerRecordings(names) {
  const list = byId("recordings");
  const shown = [...list.children].map((item) => item.firstChild.textContent);
  if (names.length === shown.length && names.every((name, index) => name === shown[index])) return;
  list.replaceChildren(...names.map((name) => {
    const link = Object.assign(document.createElement("a"), { href: `recordings/${encodeURIComponent(name)}`, download: "" });
    link.textContent = name;
    const item = document.createElement("li");
    item.append(link);
    return item;
  }));
  list.hidden = !names.length;
}

/** Seconds as 0:05, 12:34 or 1:02:03. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const pad = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`;
}

function setText(id, text) {
  const element = byId(id);
  if (element.textContent !== text) element.textContent = text;
}
