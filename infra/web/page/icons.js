// Icons, drawn rather than written: not every machine has a font for them.

import { html } from "../vendor/preact-htm.js";

const PATHS = {
  bell: "M6 16V11a6 6 0 0 1 12 0v5l2 2H4zM10 21h4",
  "bell-off": "M6 16V11a6 6 0 0 1 1-3.3M9 5.8A6 6 0 0 1 18 11v3M4 18h13M10 21h4M3 3l18 18",
  search: "M16 16l5 5M18 10.5a7.5 7.5 0 1 1-15 0 7.5 7.5 0 0 1 15 0z",
  more: "M12 5v.1M12 12v.1M12 19v.1",
  help: "M9 9a3 3 0 1 1 4.2 2.8c-.8.4-1.2 1-1.2 2.2M12 18v.1",
  back: "M15 5l-7 7 7 7",
  close: "M6 6l12 12M18 6L6 18",
  up: "M12 20V5M6 11l6-6 6 6",
  down: "M12 4v15M6 13l6 6 6-6",
  react: "M21 12a9 9 0 1 1-18 0 9 9 0 0 1 18 0zM8.5 14a4 4 0 0 0 7 0M9 9.5v.1M15 9.5v.1",
  reply: "M9 7L4 12l5 5M4 12h10a6 6 0 0 1 6 6",
  edit: "M4 20l1-4L16 5l3 3L8 19z",
  delete: "M5 7h14M10 7V4h4v3M7 7l1 13h8l1-13",
  readers: "M2 13l4 4 9-10M11 16l1 1 10-10",
  star: "M12 4l2.5 5 5.5.8-4 3.9 1 5.5-5-2.6-5 2.6 1-5.5-4-3.9 5.5-.8z",
};

export function Icon({ name, isFilled }) {
  return html`<svg class="drawing" viewBox="0 0 24 24" width="20" height="20" aria-hidden="true" fill=${isFilled ? "currentColor" : "none"} stroke="currentColor" stroke-width="2" stroke-linecap="round" stroke-linejoin="round"><path d=${PATHS[name]} /></svg>`;
}
