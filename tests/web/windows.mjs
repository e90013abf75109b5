// Windows of people in Chromium, with the page of the real stack. Screenshots are left in SCREENSHOTS.

import assert from "node:assert/strict";
import { mkdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { after, before } from "node:test";

import { chromium } from "playwright-core";

import { documented } from "./documented.mjs";
import { until, url } from "./service.mjs";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let browser;
/** What pages have complained about. */
export const problems = [];

before(async () => {
  mkdirSync(process.env.SCREENSHOTS, { recursive: true });
  browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
});

after(async () => {
  await browser.close();
  assert.deepEqual(problems, [], "no page has complained");
});

/** The dialogs that stories answer. */
const EXPECTED = [/^Leave this group\?$/, /^Delete this message for everybody\?$/, /^Block /];

/**
 * A window, in which each frame is held against the documents.
 *
 * @param {string} name
 * @param {{width?: number, height?: number, sendsAnything?: boolean} & import("playwright-core").BrowserContextOptions} [options]
 */
export async function opened(name, { width = 1100, height = 700, sendsAnything = false, ...options } = {}) {
  const context = await browser.newContext({ viewport: { width, height }, locale: "en-GB", ...options });
  const page = await context.newPage();
  page.setDefaultTimeout(20_000);
  page.on("pageerror", (error) => problems.push(`${name}: ${error.message}`));
  page.on("dialog", (dialog) => EXPECTED.some((one) => one.test(dialog.message())) || problems.push(`${name}: a dialog says ${dialog.message()}`));
  const check = (direction) => ({ payload }) => {
    try {
      documented(direction, payload);
    } catch (error) {
      problems.push(`${name}: ${error.message}`);
    }
  };
  page.on("websocket", (socket) => {
    socket.on("framereceived", check("received"));
    if (!sendsAnything) socket.on("framesent", check("sent"));
  });
  return page;
}

/** Fills in who somebody is. */
export async function signIn(page, name) {
  await page.getByLabel("Your name").fill(name);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name, exact: true }).waitFor();
}

/** A window of somebody who is signed in, and known to the service. */
export async function signedIn(name, options = {}, prepare = async (_page) => {}) {
  const page = await opened(name, options);
  await prepare(page);
  await page.goto(url);
  await signIn(page, name);
  await isConnected(name.toLowerCase().replace(/\s+/g, "-"));
  return page;
}

/** Waits until a user has a connection. */
export async function isConnected(user) {
  await until(`${user} is connected`, async () => {
    const { connections } = await (await fetch(`${url}/dev/connections`)).json();
    return connections.some(({ authorizer }) => authorizer.userId === user);
  });
}

export async function talkTo(page, other) {
  await page.getByLabel("Start a conversation with").fill(other);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: other }).waitFor();
}

export async function say(page, text) {
  await page.getByLabel("Message", { exact: true }).fill(text);
  await page.keyboard.press("Enter");
}

/** The list's entry of a conversation, by its name. */
export const entry = (page, name) => page.locator(".list button").filter({ has: page.locator(".name", { hasText: name }) });

export const messages = (page) => page.getByRole("log").locator("article > p");
/** Waits until a window shows exactly these messages: it renders once a frame. */
export async function shows(page, expected) {
  await until(`it shows ${expected}`, async () => JSON.stringify(await messages(page).allTextContents()) === JSON.stringify(expected));
}
export const hears = (page, text) => messages(page).filter({ hasText: text }).first().waitFor();
export const shot = (page, name) => page.screenshot({ path: `${process.env.SCREENSHOTS}/${name}.png` });

/** Holds a page against the rules for accessible pages. */
export async function isAccessible(page, what) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html, any }) => `${html} ${any[0]?.message ?? ""}`).join("; ")}`);
  assert.deepEqual(found, [], what);
}

/** That nothing is wider than the screen. */
export async function fits(page, what) {
  const { scrollWidth, clientWidth } = await page.evaluate(() => ({ scrollWidth: document.documentElement.scrollWidth, clientWidth: document.documentElement.clientWidth }));
  assert(scrollWidth <= clientWidth, `${what}: ${scrollWidth} of ${clientWidth}`);
}
