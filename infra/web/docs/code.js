// Code that can be copied.

import { html, useState } from "../vendor/preact-htm.js";

export function Code({ text, label }) {
  const [isCopied, set] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    set(true);
    setTimeout(() => set(false), 1500);
  };
  return html`
    <div class="code">
      <pre tabindex="0" aria-label=${label ?? "Example"}><code>${text}</code></pre>
      ${navigator.clipboard && html`<button class="copy" onClick=${copy}>${isCopied ? "Copied" : "Copy"}</button>`}
    </div>
  `;
}

/** Several versions of the same, of which one is shown. */
export function Samples({ samples, label }) {
  const all = Object.entries(samples).filter(([, text]) => text);
  const [chosen, choose] = useState(all[0][0]);
  const [, text] = all.find(([name]) => name === chosen) ?? all[0];
  return html`
    <div class="samples">
      <div class="tabs" role="group" aria-label=${label}>
        ${all.map(([name]) => html`<button key=${name} aria-pressed=${name === chosen} onClick=${() => choose(name)}>${name}</button>`)}
      </div>
      <${Code} text=${text} label=${`${label}: ${chosen}`} />
    </div>
  `;
}

/** Text with \`code\` in it. */
export const marked = (text) => text.split("`").map((part, at) => (at % 2 ? html`<code>${part}</code>` : part));
