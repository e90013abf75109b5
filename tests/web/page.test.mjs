// The page in a real browser: what a first review of it found, and what it looks like on every kind of screen.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { after, test } from "node:test";

import { Proxy } from "./network.mjs";
import { connected, cutOff, somebody, summaryOf, until, url } from "./service.mjs";
import { entry, fits, hears, isAccessible, isConnected, messages, opened, say, shot, shows, signIn, signedIn, talkTo } from "./windows.mjs";

/** Sends many messages, some at a time. */
async function sendMany(chat, id, count, { words = (n) => `number ${n}`, atOnce = 25 } = {}) {
  for (let n = 1; n <= count; n += atOnce) {
    await Promise.all(Array.from({ length: Math.min(atOnce, count - n + 1) }, (_, at) => chat.send(id, words(n + at))));
  }
}

/**
 * Lets what must not happen happen: marks go out once a second at most, and announcements within half a second. That nothing
 * comes is no event that one could wait for.
 */
const quiet = () => new Promise((resolve) => setTimeout(resolve, 2500));

/** Two people, one with a window and one with a client, who know each other. */
async function pair(options, prepare) {
  const [a, b] = [somebody("alice"), somebody("bob")];
  const bob = await connected(b);
  const alice = await signedIn(a, options, prepare);
  const id = await bob.find(a);
  return { a, b, alice, bob, id };
}

test("3,500 messages and fifty more a second do not freeze it", async (t) => {
  const { b, alice, bob, id } = await pair();
  await sendMany(bob, id, 3500);
  await entry(alice, b).click();
  await alice.getByRole("button", { name: /Go to the latest message/ }).click();
  // All of them are loaded: the search finds the first.
  await until("all are loaded", async () => {
    await alice.getByRole("log").evaluate((box) => (box.scrollTop = 0));
    return (await alice.locator('article[data-seq="1"]').count()) === 1;
  });
  await alice.getByRole("button", { name: /Go to the latest message/ }).click();
  await hears(alice, "number 3500");
  await alice.evaluate(() => {
    globalThis.long = [];
    new PerformanceObserver((list) => list.getEntries().forEach(({ duration }) => globalThis.long.push(duration))).observe({ entryTypes: ["longtask"] });
  });
  const began = Date.now();
  for (let n = 1; n <= 500; n++) {
    void bob.send(id, `and ${n}`);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, began + n * 20 - Date.now())));
  }
  await hears(alice, "and 500");
  const long = await alice.evaluate(() => globalThis.long.map(Math.round));
  t.diagnostic(`500 messages in ${Date.now() - began} ms: ${long.length} tasks over 50 ms${long.length > 0 ? `, of ${long.join(", ")} ms` : ""}`);
  assert((await alice.locator("article").count()) <= 200, "few of them are in the page");
  // Not a figure of speed: rendered as it was, this took 115 seconds.
  assert(long.reduce((sum, one) => sum + one, 0) < 5000, `${long}`);
  await alice.context().close();
});

test("a page is small, and shows the first message soon", async (t) => {
  const { b, alice, bob, id } = await pair();
  await bob.send(id, "hello");
  await entry(alice, b).click();
  await hears(alice, "hello");
  await alice.addInitScript(() => {
    new MutationObserver((_, observer) => {
      if (!document.querySelector("article")) return;
      performance.mark("first message");
      observer.disconnect();
    }).observe(document, { childList: true, subtree: true });
  });
  await alice.reload();
  await hears(alice, "hello");
  const after = await alice.evaluate(() => {
    const [page] = performance.getEntriesByType("navigation");
    return Math.round(performance.getEntriesByName("first message")[0].startTime - page.domContentLoadedEventEnd);
  });
  // Somebody who has never been here.
  const fresh = await opened("fresh");
  await fresh.goto(url);
  const { size, files } = await fresh.evaluate(() => {
    const [page] = performance.getEntriesByType("navigation");
    const files = performance.getEntriesByType("resource").filter(({ name }) => /\.(js|css|svg)$/.test(name));
    return { size: [page, ...files].reduce((sum, { encodedBodySize }) => sum + encodedBodySize, 0), files: files.length };
  });
  await fresh.context().close();
  t.diagnostic(`${(size / 1000).toFixed(1)} kB in ${files} files; the first message ${after} ms after DOMContentLoaded`);
  assert(size <= 60_000, `${size} bytes`);
  // Every module is named in index.html: none waits for another one that imports it.
  const late = await alice.evaluate(() => {
    const named = [...document.querySelectorAll("link[rel=modulepreload], script[src]")].map(({ href, src }) => href ?? src);
    return performance.getEntriesByType("resource").map(({ name }) => name).filter((name) => name.endsWith(".js") && !named.includes(name));
  });
  assert.deepEqual(late, []);
  await alice.context().close();
});

test("a draft is kept for its writer, and for nobody else", async () => {
  const { a, b, alice, bob, id } = await pair();
  const carol = somebody("carol");
  await bob.send(id, "hello");
  await entry(alice, b).click();
  const field = alice.getByLabel("Message", { exact: true });
  await field.fill("what only Alice should see");
  await talkTo(alice, b);
  await alice.reload();
  await hears(alice, "hello");
  assert.equal(await field.inputValue(), "what only Alice should see");
  await alice.getByRole("button", { name: "Sign out" }).click();
  await signIn(alice, carol);
  await isConnected(carol);
  await talkTo(alice, b);
  assert.equal(await field.inputValue(), "");
  const left = await alice.evaluate(() => JSON.stringify({ ...localStorage, ...sessionStorage }));
  assert(!left.includes("only Alice") && !left.includes(a), left);
  // An edit that was begun is not what comes back.
  await say(alice, "sent");
  await field.fill("written");
  await alice.getByRole("log").locator("article").last().hover();
  await alice.getByRole("button", { name: "Edit", exact: true }).click();
  await alice.reload();
  await hears(alice, "sent");
  assert.equal(await field.inputValue(), "written");
  await alice.context().close();
});

test("read is what was in sight while somebody looked", async () => {
  const focus = (page, has) => page.evaluate((has) => ((globalThis.hasFocus = has), has && dispatchEvent(new Event("focus"))), has);
  const prepare = (page) =>
    page.addInitScript(() => {
      globalThis.hasFocus = sessionStorage.getItem("focus") !== "no";
      document.hasFocus = () => globalThis.hasFocus;
    });
  const { a, b, alice, bob, id } = await pair({}, prepare);
  const unread = async () => (await summaryOf(a, id)).unreadCount;
  await sendMany(bob, id, 100);
  await entry(alice, b).click();
  // It opens where the unread messages begin, and the rest stays unread.
  await alice.getByText("Unread", { exact: true }).waitFor();
  await until("what is in sight is read", async () => (await unread()) < 100);
  const inSight = await alice.getByRole("log").evaluate((box) => {
    const { bottom } = box.getBoundingClientRect();
    return Math.max(...[...box.querySelectorAll("article")].filter((one) => one.getBoundingClientRect().top < bottom).map(({ dataset }) => Number(dataset.seq)));
  });
  assert(inSight < 60, `${inSight} are in sight`);
  await quiet();
  assert(Math.abs((await unread()) - (100 - inSight)) <= 1, `${await unread()} unread, ${inSight} seen`);
  await shot(alice, "unread");
  const latest = alice.getByRole("button", { name: /unread. Go to the latest message/ });
  assert.match(await latest.textContent(), new RegExp(`^\\s*${await unread()} unread`));
  await latest.click();
  await until("all are read", async () => (await unread()) === 0);

  // Nobody looks: nothing is read, also after a reload.
  await alice.evaluate(() => sessionStorage.setItem("focus", "no"));
  await focus(alice, false);
  await bob.send(id, "did you see this?");
  await hears(alice, "did you see this?");
  await alice.reload();
  await hears(alice, "did you see this?");
  await quiet();
  assert.equal(await unread(), 1);
  await alice.getByText("Unread", { exact: true }).waitFor();
  await focus(alice, true);
  await until("it is read", async () => (await unread()) === 0);
  await alice.context().close();
});

test("of very many unread messages none is read before somebody goes to the end", async () => {
  const { a, b, alice, bob, id } = await pair();
  await sendMany(bob, id, 700);
  await entry(alice, b).click();
  await hears(alice, "number 700");
  await quiet();
  assert.equal((await summaryOf(a, id)).unreadCount, 700);
  assert.equal(await alice.getByText("Unread", { exact: true }).count(), 0, "it is not known where they begin");
  await alice.getByRole("button", { name: "700 unread. Go to the latest message" }).click();
  await until("all are read", async () => (await summaryOf(a, id)).unreadCount === 0);
  await alice.context().close();
});

test("an edit that is refused takes nothing with it that was written since", async () => {
  const { a, b, alice, bob, id } = await pair();
  await bob.send(id, "hello");
  await entry(alice, b).click();
  await say(alice, "one");
  await alice.getByText("sending …").waitFor({ state: "detached" });
  const field = alice.getByLabel("Message", { exact: true });
  await field.press("ArrowUp");
  await field.fill("two");
  await alice.context().setOffline(true);
  await cutOff(a);
  await alice.getByText(/No connection/).waitFor();
  await field.press("Enter");
  await alice.getByText("saving …").waitFor();
  await field.fill("written since");
  const laptop = await connected(a);
  const room = await laptop.conversation(id);
  await room.edit(room.snapshot.messages.at(-1), "three");
  laptop.stop();
  await alice.context().setOffline(false);
  await hears(alice, "three");
  await alice.getByText(/^Editing/).waitFor();
  assert.equal(await field.inputValue(), "two", "the edit can be made again");
  await field.press("Escape");
  assert.equal(await field.inputValue(), "written since");
  await alice.context().close();
});

test("a connection that is opened slowly is no failure, and one that fails is", async () => {
  const { a, b, alice, bob, id } = await pair();
  await bob.send(id, "hello");
  await entry(alice, b).click();
  await hears(alice, "hello");
  assert.equal(await alice.locator(".conversation .presence").textContent(), "online");
  let isSlow = true;
  await alice.route("**/dev/token?*", async (route) => {
    await until("it is answered", () => !isSlow);
    await route.continue();
  });
  await alice.goto(`${url}/#/c/${id}`);
  await alice.reload();
  await alice.getByText("Connecting …").waitFor();
  assert.equal(await alice.getByText(/No connection/).count(), 0);
  await shot(alice, "connecting");
  isSlow = false;
  await hears(alice, "hello");
  await alice.getByText("Connecting …").waitFor({ state: "detached" });
  await alice.context().setOffline(true);
  await cutOff(a);
  await alice.getByText(/No connection/).waitFor();
  assert.equal(await alice.locator(".conversation .presence").textContent(), "", "who is online is not known");
  assert.equal(await alice.locator(".dot.online").count(), 0);
  await alice.context().close();
});

test("a network that freezes shows, and what was written meanwhile arrives", async () => {
  const proxy = new Proxy(url);
  after(() => proxy.close());
  const near = await proxy.listen();
  const [a, b] = [somebody("alice"), somebody("bob")];
  const bob = await connected(b);
  const alice = await opened(a);
  await alice.goto(near);
  await signIn(alice, a);
  await isConnected(a);
  const id = await bob.find(a);
  await bob.send(id, "before");
  await entry(alice, b).click();
  await hears(alice, "before");
  proxy.freeze();
  // Nothing tells the page. Somebody comes back to it: a ping has five seconds to be answered.
  await alice.evaluate(() => dispatchEvent(new Event("focus")));
  const began = Date.now();
  await say(alice, "into the ice");
  await alice.getByText(/No connection/).waitFor();
  assert(Date.now() - began < 12_000, `it took ${Date.now() - began} ms`);
  await shot(alice, "frozen");
  proxy.drop();
  proxy.thaw();
  await alice.getByRole("button", { name: "Try now" }).click({ timeout: 5000 }).catch(() => {});
  await alice.getByText("sending …").waitFor({ state: "detached" });
  await alice.getByText(/No connection/).waitFor({ state: "detached" });
  await shows(alice, ["before", "into the ice"]);
  await alice.context().close();
});

test("somebody who wants to is notified while they look elsewhere", async () => {
  const prepare = async (page) => {
    await page.context().grantPermissions(["notifications"]);
    await page.addInitScript(() => {
      globalThis.notices = [];
      globalThis.Notification = class {
        static permission = "granted";
        static requestPermission = async () => "granted";
        close() {}
        constructor(title, { body }) {
          globalThis.notices.push({ title, body, click: () => this.onclick() });
        }
      };
      document.hasFocus = () => false;
      navigator.setAppBadge = async (count) => (globalThis.badge = count);
      navigator.clearAppBadge = async () => (globalThis.badge = "none");
    });
  };
  const { b, alice, bob, id } = await pair({}, prepare);
  const notices = () => alice.evaluate(() => globalThis.notices.map(({ title, body }) => `${title}: ${body}`));
  await bob.send(id, "unheard");
  await until("it is listed", async () => /unheard/.test(await entry(alice, b).textContent()));
  assert.deepEqual(await notices(), [], "nobody has chosen that");
  await alice.getByRole("button", { name: "Notifications" }).click();
  await alice.getByRole("button", { name: "Notifications", pressed: true }).waitFor();
  await bob.send(id, "are you there?");
  await until("she is notified", async () => (await notices()).length === 1);
  assert.deepEqual(await notices(), [`${b}: are you there?`]);
  await until("the badge has the count", () => alice.evaluate(() => globalThis.badge === 2));
  await alice.evaluate(() => globalThis.notices[0].click());
  await hears(alice, "are you there?");
  await alice.getByRole("button", { name: "Sign out" }).click();
  assert.equal(await alice.evaluate(() => globalThis.badge), "none");
  assert.equal(await alice.evaluate(() => localStorage.length), 0, "the choice goes with her");
  await alice.context().close();
});

test("a text that is too long is kept whole, and not sent", async () => {
  const { b, alice, bob, id } = await pair();
  await bob.send(id, "hello");
  await entry(alice, b).click();
  await hears(alice, "hello");
  const field = alice.getByLabel("Message", { exact: true });
  await field.fill("x".repeat(1800));
  assert.equal(await alice.locator("#count").textContent(), "");
  // A character of two UTF-16 units counts as one.
  await field.fill("😀".repeat(1801));
  assert.equal(await alice.locator("#count").textContent(), "1801 of 2000 characters");
  await field.fill("😀".repeat(2100));
  assert.equal(await alice.locator("#count").textContent(), "2100 of 2000 characters: too long to send");
  assert(await alice.getByRole("button", { name: "Send" }).isDisabled());
  await alice.keyboard.press("Enter");
  assert.equal((await field.inputValue()).length, 4200, "nothing is cut");
  await shot(alice, "too-long");
  await field.fill("😀".repeat(2000));
  await alice.keyboard.press("Enter");
  await until("it is stored", async () => bob.conversations.find((one) => one.id === id)?.lastSeq === 2);
  await alice.context().close();
});

test("a conversation has an address, and Back leads to what was there before", async () => {
  const { a, b, alice, bob, id } = await pair({ width: 390, height: 780 });
  const carol = await connected(somebody("carol"));
  const other = await carol.find(a);
  await carol.send(other, "from Carol");
  await bob.send(id, "from Bob");
  await entry(alice, b).click();
  await hears(alice, "from Bob");
  assert(alice.url().endsWith(`/#/c/${id}`));
  await alice.goBack();
  await entry(alice, b).waitFor();
  assert.equal(await alice.evaluate(() => document.activeElement?.id), `entry-${id}`, "the focus is where it was");
  await entry(alice, carol.userId).click();
  await hears(alice, "from Carol");
  await alice.getByRole("button", { name: "Back to the conversations" }).click();
  await entry(alice, b).waitFor();
  // A link leads there, also before one has signed in.
  const link = await opened("link", { width: 390, height: 780 });
  await link.goto(`${url}/#/c/${id}`);
  await link.getByLabel("Your name").fill(a);
  await link.keyboard.press("Enter");
  await hears(link, "from Bob");
  await link.getByRole("button", { name: "Back to the conversations" }).click();
  await entry(link, b).waitFor();
  // One that leads nowhere says so, in the page that is there and in a new one.
  const nowhere = `${url}/#/c/00000000-0000-4000-8000-000000000000`;
  const isLost = link.getByText("That conversation does not exist");
  await link.goto(nowhere);
  await isLost.waitFor();
  await link.goto("about:blank");
  await link.goto(nowhere);
  await isLost.waitFor();
  for (const page of [alice, link]) await page.context().close();
});

test("names of any kind fit on a phone", async () => {
  const long = `${somebody("anna")}${"x".repeat(100)}`;
  const family = `👩‍👩‍👧 ${somebody("family")}`;
  const [reader, writer] = [await signedIn(long, { width: 390, height: 780 }), await signedIn(family, { width: 390, height: 780 })];
  await reader.getByLabel("Start a conversation with").fill(family);
  await reader.keyboard.press("Enter");
  await reader.getByRole("heading", { name: family }).waitFor();
  await say(reader, "w".repeat(500));
  await entry(writer, "anna").click();
  await hears(writer, "www");
  for (const page of [reader, writer]) await fits(page, "the conversation");
  assert.equal(await reader.locator(".conversation .avatar [aria-hidden]").textContent(), "👩‍👩‍👧");
  await shot(writer, "phone-long-name");
  await writer.getByRole("button", { name: "Back to the conversations" }).click();
  await fits(writer, "the list");
  for (const page of [reader, writer]) await page.context().close();
});

test("it is read from right to left where that is written", async () => {
  const { b, alice, bob, id } = await pair({}, (page) => page.addInitScript(() => addEventListener("DOMContentLoaded", () => (document.documentElement.dir = "rtl"))));
  await bob.send(id, "שלום, מה שלומך?");
  await bob.send(id, "and in English");
  await entry(alice, b).click();
  await hears(alice, "and in English");
  await say(alice, "مرحبا");
  await hears(alice, "مرحبا");
  await alice.getByText("sending …").waitFor({ state: "detached" });
  const side = await alice.getByRole("navigation").boundingBox();
  assert(side.x > 500, "the list is at the right");
  const [mine, theirs] = await alice.locator("article").evaluateAll((all) => [all.at(-1), all[0]].map((one) => one.getBoundingClientRect().x));
  assert(mine < theirs, "one's own messages are at the left");
  const directions = await messages(alice).evaluateAll((all) => all.map((one) => getComputedStyle(one).direction));
  assert.deepEqual(directions, ["rtl", "ltr", "rtl"]);
  await fits(alice, "from right to left");
  await shot(alice, "right-to-left");
  await alice.context().close();
});

test("the keyboard and the screen reader get everywhere", async () => {
  const { a, b, alice, bob, id } = await pair();
  const carol = await connected(somebody("carol"));
  await carol.send(await carol.find(a), "from Carol");
  await sendMany(bob, id, 50);
  await entry(alice, b).waitFor();
  // The list is one stop of the tab key.
  await alice.keyboard.press("Control+k");
  assert.equal(await alice.evaluate(() => document.activeElement?.id), "other");
  await alice.keyboard.press("ArrowDown");
  assert.equal(await alice.evaluate(() => document.activeElement?.id), `entry-${id}`);
  assert.equal(await alice.locator('.list button[tabindex="0"]').count(), 1);
  await alice.keyboard.press("ArrowDown");
  await alice.keyboard.press("ArrowUp");
  // Opening announces nothing; what comes then is announced once.
  await alice.evaluate(() => {
    globalThis.said = [];
    const watch = (records) => records.forEach(({ target }) => {
      const live = (target.nodeType === 1 ? target : target.parentElement)?.closest('[aria-live="polite"], [role="status"], [role="alert"]');
      if (live?.textContent && !live.closest('[aria-live="off"]')) globalThis.said.push(live.textContent);
    });
    new MutationObserver(watch).observe(document.body, { childList: true, characterData: true, subtree: true });
  });
  await alice.keyboard.press("Enter");
  await hears(alice, "number 1");
  await quiet();
  assert.deepEqual(await alice.evaluate(() => globalThis.said), []);
  await bob.send(id, "are you there?");
  await until("it is announced", async () => (await alice.evaluate(() => globalThis.said)).at(-1) === `${b}: are you there?`);
  // Escape leads back to the list.
  await until("the message field has the focus", () => alice.evaluate(() => document.activeElement?.id === "text"));
  await alice.keyboard.press("Escape");
  assert.equal(await alice.evaluate(() => document.activeElement?.id), `entry-${id}`);
  // What is sought is found, by its name and by what was said.
  await alice.keyboard.press("Control+k");
  await alice.keyboard.type("carol");
  await until("one is found", async () => (await alice.locator(".list li").count()) === 1);
  await alice.keyboard.press("Escape");
  await alice.getByRole("button", { name: "Search", exact: true }).click();
  await alice.keyboard.type("number 17");
  await alice.getByText("1 found").waitFor();
  await alice.keyboard.press("Enter");
  await alice.locator("article.found").filter({ hasText: "number 17" }).waitFor();
  await shot(alice, "search");
  await alice.keyboard.press("Escape");
  await alice.context().close();
});

test("somebody is blocked, and a group's reader is named", async () => {
  const { b, alice, bob, id } = await pair();
  await bob.send(id, "hello");
  await entry(alice, b).click();
  await hears(alice, "hello");
  const more = alice.getByLabel("More");
  await more.click();
  alice.once("dialog", (dialog) => dialog.accept());
  await alice.getByRole("button", { name: `Block ${b}` }).click();
  await until("Bob is refused", async () => (await bob.send(id, "hello?").catch(({ code }) => code)) === "forbidden");
  // Their conversation cannot be opened any more, and the block is ended beside the list.
  await alice.goto("about:blank");
  await alice.goto(`${url}/#/c/${id}`);
  await alice.getByText("one of you has blocked the other").waitFor();
  await alice.getByText("Blocked people").click();
  await alice.getByRole("button", { name: `Unblock ${b}` }).click();
  await alice.getByText("Nobody.").waitFor();
  await until("Bob is heard", async () => typeof (await bob.send(id, "hello again").catch(({ code }) => code)) === "object");
  await alice.getByText("New group").click();
  await alice.getByLabel("Name of the group").fill("Two of us");
  await alice.getByLabel("People, with commas between").fill(b);
  await alice.getByRole("button", { name: "Make the group" }).click();
  await alice.getByRole("heading", { name: "Two of us" }).waitFor();
  await say(alice, "who reads this?");
  await alice.getByText("sending …").waitFor({ state: "detached" });
  const article = alice.locator("article").filter({ hasText: "who reads this?" });
  await article.hover();
  await article.getByRole("button", { name: "Read by" }).click();
  await article.getByText("Read by nobody yet").waitFor();
  await until("Bob knows of it", async () => bob.conversations.some((one) => one.title === "Two of us" && one.lastSeq === 1));
  const room = await bob.conversation(bob.conversations.find((one) => one.title === "Two of us").id);
  await room.markRead();
  await article.getByRole("button", { name: "Read by" }).click();
  await article.getByRole("button", { name: "Read by" }).click();
  await article.getByText(`Read by ${b}`).waitFor();
  await alice.context().close();
});

/** The states of the page, each shown on every kind of screen. */
const SCREENS = {
  phone: { width: 390, height: 780, hasTouch: true },
  "phone-dark": { width: 390, height: 780, colorScheme: "dark" },
  desktop: { width: 1100, height: 700 },
  "desktop-dark": { width: 1100, height: 700, colorScheme: "dark" },
  wide: { width: 2560, height: 1300 },
  magnified: { width: 320, height: 256 },
  // 200 % on a desktop.
  zoomed: { width: 550, height: 350, deviceScaleFactor: 2 },
  contrast: { width: 1100, height: 700, forcedColors: "active" },
  still: { width: 1100, height: 700, reducedMotion: "reduce" },
};

test("every state on every screen is accessible and fits", async () => {
  const [a, b, c] = [somebody("alice"), somebody("bob"), somebody("carol")];
  const [alice, bob, carol] = [await connected(a), await connected(b), await connected(c)];
  const direct = await bob.find(a);
  const first = await bob.send(direct, "Have you seen `cargo dev`? It starts all of it: https://example.com/switchboard");
  await alice.send(direct, "Not yet.");
  await alice.send(direct, "What does it need?");
  await bob.send(direct, "Rust, and a C compiler. Look:\n```\ngit clone …\ncargo dev\n```\nThat is all.", { replyTo: first.id });
  await bob.send(direct, "🎉🎉");
  const room = await alice.conversation(direct);
  await room.react(room.snapshot.messages[0], "👍");
  const gone = await alice.send(direct, "oops");
  await room.delete(gone);
  const mine = await alice.send(direct, "I will try it tonite");
  await room.edit(mine, "I will try it tonight");
  const group = await carol.createGroup({ title: "Holidays in a house by the sea", participantIds: [a, b] });
  await carol.send(group, "Where shall we go?");
  await bob.send(group, "To the sea! ".repeat(12));
  const pictures = [];
  for (const [name, screen] of Object.entries(SCREENS)) {
    const page = await opened(name, screen);
    const take = async (state) => {
      await fits(page, `${name}, ${state}`);
      if (screen.forcedColors !== "active") await isAccessible(page, `${name}, ${state}`);
      pictures.push({ title: `${name}: ${state}`, data: (await page.screenshot()).toString("base64") });
    };
    await page.goto(url);
    await page.getByLabel("Your name").waitFor();
    if (name === "phone" || name === "desktop-dark") await take("sign in");
    await signIn(page, a);
    await entry(page, "Holidays").waitFor();
    await take("list");
    await entry(page, b).click();
    await hears(page, "tonight");
    await take("two people");
    await page.goto(`${url}/#/c/${group}`);
    await page.reload();
    await hears(page, "To the sea!");
    if (screen.width > 320) {
      await page.getByRole("button", { name: "People" }).click();
      await page.getByRole("listitem").filter({ hasText: "(you)" }).waitFor();
    }
    await take("group");
    // On the smallest screen too, what was said last and the field are in sight.
    if (screen.width === 320) {
      const { height, y } = await page.getByLabel("Message", { exact: true }).boundingBox();
      assert(y + height <= 256, `the field ends at ${y + height}`);
      const { height: log } = await page.getByRole("log").boundingBox();
      assert(log > 60, `${log} pixels are left for messages`);
    }
    await page.context().close();
  }
  // All of them in a sheet, to be looked through, and what the other tests have left.
  const folder = process.env.SCREENSHOTS;
  for (const file of readdirSync(folder).filter((file) => file !== "sheet.png").sort()) {
    pictures.push({ title: file.replace(".png", ""), data: readFileSync(`${folder}/${file}`).toString("base64") });
  }
  const sheet = await opened("sheet", { width: 1800, height: 1200 });
  const figures = pictures.map(({ title, data }) => `<figure><img src="data:image/png;base64,${data}"><figcaption>${title}</figcaption></figure>`);
  const style = "body{font:14px sans-serif;display:flex;flex-wrap:wrap;gap:12px;margin:12px}figure{margin:0}img{height:330px;max-width:600px;object-fit:contain;border:1px solid #999}";
  await sheet.setContent(`<style>${style}</style>${figures.join("")}`);
  await sheet.screenshot({ path: `${folder}/sheet.png`, fullPage: true });
  await sheet.context().close();
});
