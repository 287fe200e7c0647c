// The websocket: reconnects with back-off, and notices when the other end has gone without a word.

const FIRST_DELAY = 500; // ms
const LONGEST_DELAY = 8000;
// Statistics come four times a second, but on a slow link they wait behind a whole picture.
const QUIET = 3000; // worth a word
const SILENCE = 20000; // taken for the end
const REFUSED = "The token no longer holds. Open the address that malle-rt prints, or load this page again and type the new token.";

export class Connection {
  /** @param {{open, retrying, message, picture, quiet, lost}} on what to call, see main.js */
  constructor(on) {
    this.on = on;
    this.delay = FIRST_DELAY;
    this.heard = 0;
    this.timer = 0;
    this.connect();
    setInterval(() => this.checkSilence(), 1000);
  }

  /** Ask for something; lost without a connection, as the page shows then. */
  send(name, value) {
    if (this.socket.readyState === WebSocket.OPEN) {
      this.socket.send(JSON.stringify({ do: name, value }));
    }
  }

  connect() {
    clearTimeout(this.timer);
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/socket`);
    socket.binaryType = "arraybuffer";
    this.socket = socket;
    this.heard = performance.now();
    socket.onopen = () => this.on.open();
    socket.onmessage = ({ data }) => {
      this.heard = performance.now();
      this.delay = FIRST_DELAY;
      if (typeof data === "string") this.on.message(JSON.parse(data));
      else this.on.picture(data);
    };
    socket.onclose = ({ reason }) => {
      if (socket === this.socket) this.lose(reason);
    };
    this.on.retrying();
  }

  lose(reason) {
    const delay = this.delay;
    this.delay = Math.min(delay * 2, LONGEST_DELAY);
    const timer = setTimeout(() => this.connect(), delay);
    this.timer = timer;
    this.on.lost(reason, delay);
    if (!reason) {
      isRefused().then((refused) => {
        if (refused && timer === this.timer) this.on.lost(REFUSED, delay);
      });
    }
  }

  checkSilence() {
    if (this.socket.readyState > WebSocket.OPEN) return;
    const silence = performance.now() - this.heard;
    if (silence > QUIET) this.on.quiet(silence);
    if (silence > SILENCE) {
      const silent = this.socket;
      this.socket = { readyState: WebSocket.CLOSED };
      silent.close();
      this.lose("");
    }
  }
}

/** A failed socket does not tell why; a plain request does. */
async function isRefused() {
  try {
    return (await fetch("icon.svg", { cache: "no-store" })).status === 403;
  } catch {
    return false;
  }
}
