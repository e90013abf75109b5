// What components share.

import { Component, h, useEffect, useReducer } from "../vendor/preact-htm.js";

/**
 * Renders the component again after a change, once a frame at most: a screen shows no more.
 *
 * @param {(changed: () => void) => () => void} subscribe returns the function that ends this
 * @param {unknown[]} inputs what `subscribe` depends on
 */
export function useFrames(subscribe, inputs) {
  const [, redraw] = useReducer((count) => count + 1, 0);
  useEffect(() => {
    let frame = 0;
    const draw = () => {
      frame = 0;
      redraw();
    };
    const off = subscribe(() => (frame ||= requestAnimationFrame(draw)));
    // What has changed between the first rendering and now.
    redraw();
    return () => {
      off();
      cancelAnimationFrame(frame);
    };
  }, inputs);
}

/** A component that renders again only if one of its properties is another value. */
export class Memo extends Component {
  shouldComponentUpdate(next) {
    const names = Object.keys(next);
    return names.length !== Object.keys(this.props).length || names.some((name) => next[name] !== this.props[name]);
  }

  render({ of, ...props }) {
    return h(of, props);
  }
}

/** Listens to events of the client. @param {import("../client/switchboard.js").Switchboard} chat @param {string[]} names */
export const eventsOf = (chat, names) => (changed) => {
  const offs = names.map((name) => chat.on(name, changed));
  return () => offs.forEach((off) => off());
};
