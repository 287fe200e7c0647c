// The picture: four views of a raw and a clean frame of the same instant, and the divider of the split view.

const STEP = 0.02;
const LEAP = 0.1;
// Side by side becomes one above the other where the screen is narrow.
const NARROW = matchMedia("(max-width: 640px)");
const TEXT = {
  split: (share) => `split view, raw on the left ${share} %, clean on the right`,
  side: () => "side by side, raw first, then clean",
  raw: () => "as captured",
  clean: () => "denoised",
};

export class Stage {
  constructor(stage) {
    this.stage = stage;
    this.canvas = stage.querySelector("canvas");
    this.divider = stage.querySelector("[role=slider]");
    this.context = this.canvas.getContext("2d", { alpha: false });
    this.view = "split";
    this.share = 0.5;
    this.picture = null;
    this.listenToKeys();
    this.listenToPointers();
    NARROW.addEventListener("change", () => this.draw());
    this.placeDivider();
  }

  setView(view) {
    this.view = view;
    this.stage.dataset.view = view;
    this.divider.hidden = view !== "split";
    this.draw();
  }

  /** Draw a new picture and forget the one before. */
  show(picture) {
    const old = this.picture;
    this.picture = picture;
    this.draw();
    old?.clean?.close();
    old?.raw?.close();
  }

  draw() {
    const { raw, clean } = this.picture ?? {};
    const one = clean ?? raw;
    if (!one) return;
    const stacked = this.view === "side" && NARROW.matches;
    const across = this.view === "side" && !stacked;
    this.resize(one.width * (across ? 2 : 1), one.height * (stacked ? 2 : 1));
    this.stage.dataset.stacked = stacked;
    if (this.view === "split" && raw && clean) this.drawSplit(raw, clean);
    else if (this.view === "side" && raw && clean) this.drawBoth(raw, clean, stacked);
    else this.context.drawImage(this.view === "raw" ? raw ?? clean : one, 0, 0);
    this.describe();
  }

  drawSplit(raw, clean) {
    const left = Math.round(this.share * clean.width);
    const { height } = clean;
    if (left < clean.width) {
      this.context.drawImage(clean, left, 0, clean.width - left, height, left, 0, clean.width - left, height);
    }
    if (left > 0) this.context.drawImage(raw, 0, 0, left, height, 0, 0, left, height);
  }

  drawBoth(raw, clean, stacked) {
    this.context.drawImage(raw, 0, 0);
    this.context.drawImage(clean, stacked ? 0 : raw.width, stacked ? raw.height : 0);
  }

  resize(width, height) {
    if (this.canvas.width === width && this.canvas.height === height) return;
    this.canvas.width = width;
    this.canvas.height = height;
    this.stage.style.setProperty("--aspect", width / height);
  }

  describe() {
    const { width, height } = this.picture;
    const share = Math.round(this.share * 100);
    const text = `Live picture, ${width} by ${height} pixels, ${TEXT[this.view](share)}`;
    if (text !== this.canvas.ariaLabel) this.canvas.ariaLabel = text;
  }

  moveDivider(share) {
    this.share = Math.min(1, Math.max(0, share));
    this.placeDivider();
    this.draw();
  }

  placeDivider() {
    const percent = Math.round(this.share * 100);
    this.stage.style.setProperty("--share", this.share);
    this.divider.ariaValueNow = percent;
    this.divider.ariaValueText = `${percent} % raw, ${100 - percent} % clean`;
  }

  listenToKeys() {
    const moves = {
      ArrowLeft: () => this.share - STEP,
      ArrowDown: () => this.share - STEP,
      ArrowRight: () => this.share + STEP,
      ArrowUp: () => this.share + STEP,
      PageDown: () => this.share - LEAP,
      PageUp: () => this.share + LEAP,
      Home: () => 0,
      End: () => 1,
    };
    this.divider.addEventListener("keydown", (event) => {
      if (!Object.hasOwn(moves, event.key) || event.ctrlKey || event.altKey || event.metaKey) return;
      event.preventDefault();
      this.moveDivider(moves[event.key]());
    });
  }

  listenToPointers() {
    let dragged = null;
    const follow = (event) => {
      const box = this.canvas.getBoundingClientRect();
      this.moveDivider((event.clientX - box.left) / box.width);
    };
    this.stage.addEventListener("pointerdown", (event) => {
      const aims = event.target === this.canvas || this.divider.contains(event.target);
      if (this.view !== "split" || event.button !== 0 || !aims) return;
      dragged = event.pointerId;
      this.stage.setPointerCapture(dragged);
      follow(event);
    });
    this.stage.addEventListener("pointermove", (event) => {
      if (event.pointerId === dragged) follow(event);
    });
    for (const end of ["pointerup", "pointercancel"]) {
      this.stage.addEventListener(end, () => (dragged = null));
    }
  }
}
