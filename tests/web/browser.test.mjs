// The page in a real browser: what people see of each other.

import assert from "node:assert/strict";
import { test } from "node:test";

import { connected, cutOff, somebody, tokenFor, until, url } from "./service.mjs";
import { hears, messages, say, shot, shows, signedIn, talkTo } from "./windows.mjs";

test("two people talk in two windows", async () => {
  const [a, b] = [somebody("alice"), somebody("bob")];
  const alice = await signedIn(a);
  const bob = await signedIn(b, { width: 390, height: 780, colorScheme: "dark" });
  await talkTo(alice, b);
  await say(alice, "Hello, Bob!");
  await hears(alice, "Hello, Bob!");
  await alice.getByText("sending …").waitFor({ state: "detached" });

  const entry = bob.getByRole("button", { name: new RegExp(a) });
  await entry.getByText("1 unread").waitFor();
  assert.match(await bob.title(), /^\(1\)/);
  await shot(bob, "phone-dark-list");
  await entry.click();
  await hears(bob, "Hello, Bob!");
  await alice.locator(".mark.read").waitFor();

  await bob.getByLabel("Message", { exact: true }).pressSequentially("Hello, Al");
  await alice.getByText(`${b} is typing …`).waitFor();
  await shot(alice, "wide-light-typing");
  await bob.keyboard.press("Backspace");
  await bob.getByLabel("Message", { exact: true }).fill("Hello, Alice!\nHow are you?");
  await bob.keyboard.press("Enter");
  await hears(alice, "How are you?");
  await alice.getByText(`${b} is typing …`).waitFor({ state: "detached" });
  await shot(alice, "wide-light");
  await shot(bob, "phone-dark");

  assert.equal(await alice.locator(".conversation .presence").textContent(), "online");
  await bob.context().close();
  await alice.getByText(/^last seen/).waitFor();

  // Everything is there again after a reload, and the conversation is still open.
  await alice.reload();
  await hears(alice, "How are you?");
  await shows(alice, ["Hello, Bob!", "Hello, Alice!\nHow are you?"]);
  await alice.context().close();
});

test("a group is made, grows, shrinks and is left", async () => {
  const [a, b, c, d] = ["alice", "bob", "carol", "dave"].map(somebody);
  const [alice, bob] = [await signedIn(a), await signedIn(b)];
  const [carol, dave] = [await signedIn(c, { width: 390, height: 780, colorScheme: "dark" }), await signedIn(d)];
  await alice.getByText("New group").click();
  await alice.getByLabel("Name of the group").fill("Holidays");
  await alice.getByLabel("People, with commas between").fill(`${b}, ${c}, nobody-at-all`);
  await alice.getByRole("button", { name: "Make the group" }).click();
  await alice.getByText("Nobody is called nobody-at-all yet").waitFor();
  await alice.getByLabel("People, with commas between").fill(`${b}, ${c}`);
  await alice.getByRole("button", { name: "Make the group" }).click();
  await alice.getByRole("heading", { name: "Holidays" }).waitFor();
  await alice.getByText("3 people").first().waitFor();
  for (const page of [bob, carol]) await page.getByRole("button", { name: "Holidays" }).click();
  await say(alice, "Where shall we go?");
  for (const page of [bob, carol]) await hears(page, "Where shall we go?");
  assert.equal(await carol.locator(".sender").textContent(), `${a}: `);

  // A fourth is added while two of them type.
  await bob.getByLabel("Message", { exact: true }).pressSequentially("To the s");
  await carol.getByLabel("Message", { exact: true }).pressSequentially("Up the m");
  await alice.getByText(/are typing …/).waitFor();
  await alice.getByRole("button", { name: "People" }).click();
  await alice.getByLabel("People to add").fill(d);
  await alice.getByRole("button", { name: "Add", exact: true }).click();
  await alice.getByRole("listitem").filter({ hasText: d }).waitFor();
  await shot(alice, "group-people");
  await dave.getByRole("button", { name: "Holidays" }).click();
  await dave.getByText("Nothing has been said yet.").waitFor();
  await say(bob, "To the sea");
  await hears(dave, "To the sea");
  assert.equal(await messages(dave).count(), 1, "not what was said before");
  await shot(carol, "phone-dark-group");
  await carol.getByRole("button", { name: "People" }).click();
  await carol.getByRole("listitem").filter({ hasText: "(you)" }).waitFor();
  await shot(carol, "phone-dark-people");
  assert.equal(await carol.getByRole("button", { name: /^Remove/ }).count(), 0, "members remove nobody");

  // One is removed while they send, and one leaves.
  for (let n = 0; n < 5; n++) await say(bob, `And another thing, ${n}`);
  await alice.getByRole("button", { name: `Remove ${b}` }).click();
  await bob.getByText("Choose a conversation").waitFor();
  assert.equal(await bob.getByRole("button", { name: "Holidays" }).count(), 0);
  // Nothing of theirs waits to be sent, which would be asked about.
  await bob.getByRole("button", { name: "Sign out" }).click();
  await bob.getByLabel("Your name").waitFor();
  carol.once("dialog", (dialog) => dialog.accept());
  await carol.getByRole("button", { name: "Leave the group" }).click();
  await carol.getByText("No conversations yet.").waitFor();
  await alice.getByText("2 people").first().waitFor();
  await alice.getByLabel("New name of the group").fill("Quiet holidays");
  await alice.getByRole("button", { name: "Rename" }).click();
  await dave.getByRole("heading", { name: "Quiet holidays" }).waitFor();
  await say(dave, "Only the two of us");
  await hears(alice, "Only the two of us");
  await shot(alice, "group");
  for (const page of [alice, bob, carol, dave]) await page.context().close();
});

test("messages are answered, edited, reacted to and deleted", async () => {
  const [a, b] = [somebody("alice"), somebody("bob")];
  const alice = await signedIn(a);
  const bob = await signedIn(b, { width: 390, height: 780, colorScheme: "dark", hasTouch: true });
  const article = (page, text) => page.getByRole("log").locator("article").filter({ hasText: text }).first();
  /** Does something to a message, as with a mouse. */
  const act = async (page, text, action) => {
    await article(page, text).hover();
    await article(page, text).getByRole("button", { name: action, exact: true }).click();
  };
  await talkTo(alice, b);
  await say(alice, "Lunch at 12?");
  await bob.getByRole("button", { name: new RegExp(a) }).click();
  await hears(bob, "Lunch at 12?");

  // With a finger: nothing of the picker is beyond the edge, and Escape closes it.
  await article(bob, "Lunch at 12?").tap();
  await article(bob, "Lunch at 12?").getByRole("button", { name: "React", exact: true }).tap();
  const picker = bob.getByRole("group", { name: "Choose a reaction" });
  const { x, width } = await picker.boundingBox();
  assert(x >= 0 && x + width <= 390, `from ${x}, ${width} wide`);
  await bob.keyboard.press("Escape");
  await picker.waitFor({ state: "detached" });
  assert.equal(await bob.evaluate(() => document.activeElement?.getAttribute("aria-label")), "React");

  // A reply leads to its message.
  await act(bob, "Lunch at 12?", "Reply");
  await bob.getByText(/^Answering/).waitFor();
  await say(bob, "Rather at one, see https://example.com/menu?day=1&x=<b>.");
  const reply = article(alice, "Rather at one");
  await reply.getByRole("button", { name: /^Answers .*Lunch at 12/ }).waitFor();
  const link = reply.getByRole("link");
  assert.equal(await link.getAttribute("href"), "https://example.com/menu?day=1&x=");
  assert.deepEqual([await link.getAttribute("rel"), await link.getAttribute("target")], ["noopener noreferrer", "_blank"]);
  await reply.getByRole("button", { name: /^Answers/ }).click();
  await alice.locator("article.found").filter({ hasText: "Lunch at 12?" }).waitFor();
  assert.equal(await alice.evaluate(() => document.activeElement?.dataset.seq), "1", "and takes the focus there");

  // A reaction, with the mouse.
  await act(alice, "Rather at one", "React");
  await shot(alice, "picker");
  await reply.getByRole("button", { name: "thumbs up" }).click();
  const thumb = article(bob, "Rather at one").getByRole("button", { name: /👍/ });
  await thumb.waitFor();
  assert.equal(await thumb.getAttribute("aria-pressed"), "false");
  await thumb.click();
  await reply.getByRole("button", { name: /👍 2 by you, / }).waitFor();
  assert.equal(await thumb.getAttribute("aria-pressed"), "true");
  await shot(bob, "phone-dark-reactions");

  // With the keyboard: the latest message of one's own is edited.
  const field = alice.getByLabel("Message", { exact: true });
  await field.focus();
  await alice.keyboard.press("ArrowUp");
  await alice.getByText(/^Editing/).waitFor();
  assert.equal(await field.inputValue(), "Lunch at 12?");
  await alice.keyboard.press("Escape");
  assert.equal(await field.inputValue(), "");
  await alice.keyboard.press("ArrowUp");
  await field.fill("Lunch at 12:30?");
  await shot(alice, "editing");
  await alice.keyboard.press("Enter");
  await hears(bob, "Lunch at 12:30?");
  await article(bob, "Lunch at 12:30?").getByText(/^edited/).waitFor();
  await article(bob, "Rather at one").getByRole("button", { name: /^Answers .*Lunch at 12:30/ }).waitFor();

  // And reacted to: the arrow keys go through the messages, the tab key to their actions.
  await alice.getByRole("log").focus();
  for (const key of ["ArrowUp", "ArrowUp", "Tab", "Enter"]) await alice.keyboard.press(key);
  await alice.getByRole("group", { name: "Choose a reaction" }).waitFor();
  for (const key of ["ArrowRight", "Enter"]) await alice.keyboard.press(key);
  await article(bob, "Lunch at 12:30?").getByRole("button", { name: /❤️ 1 by/ }).waitFor();

  // What is deleted leaves a tombstone, in the list too.
  bob.once("dialog", (dialog) => dialog.accept());
  await act(bob, "Rather at one", "Delete");
  await alice.getByRole("log").getByText("This message was deleted.").waitFor();
  assert.equal(await alice.getByRole("log").getByText("Rather at one").count(), 0);
  await alice.locator(".list").getByText("This message was deleted.").waitFor();
  assert.equal(await alice.getByRole("button", { name: /👍/ }).count(), 0);
  await alice.getByText("Lunch at 12:30?").first().hover();
  await shot(alice, "wide-light-changes");
  await shot(bob, "phone-dark-changes");

  // What is refused is taken back, and says why.
  await say(bob, "too late to edit");
  await hears(alice, "too late to edit");
  const other = await connected(b);
  const id = other.conversations[0].id;
  const room = await other.conversation(id);
  const own = room.snapshot.messages.at(-1);
  await bob.getByLabel("Message", { exact: true }).focus();
  await bob.keyboard.press("ArrowUp");
  await room.delete(own);
  await bob.getByRole("log").getByText("This message was deleted.").nth(1).waitFor();
  await bob.getByText("This message was deleted. (changed meanwhile)").waitFor();
  await say(bob, "changed my mind");
  await bob.getByText("the message was deleted meanwhile").waitFor();
  assert.equal(await bob.getByRole("log").getByText("changed my mind").count(), 0);
  assert.equal(await bob.getByLabel("Message", { exact: true }).inputValue(), "changed my mind", "nothing that was written is lost");
  await Promise.all([alice.context().close(), bob.context().close()]);
});

test("a reply leads to a message far back", async () => {
  const [a, b] = [somebody("alice"), somebody("bob")];
  const [writer, reader] = [await connected(a), await connected(b)];
  const id = await writer.find(b);
  const first = await writer.send(id, "the very first one");
  for (let n = 0; n < 200; n += 20) {
    await Promise.all(Array.from({ length: 20 }, (_, at) => writer.send(id, `number ${n + at + 1}`)));
  }
  await writer.send(id, "do you remember?", { replyTo: first.id });
  reader.stop();
  const bob = await signedIn(b);
  await bob.getByRole("button", { name: new RegExp(a) }).click();
  await bob.getByRole("button", { name: /Go to the latest message/ }).click();
  await bob.getByRole("button", { name: /^Answers .*the very first one/ }).click();
  const found = bob.locator("article.found").filter({ hasText: "the very first one" });
  await found.waitFor();
  const box = await found.boundingBox();
  assert(box.y > 0 && box.y < 700, `it is in sight: ${box.y}`);
  await bob.context().close();
});

test("what somebody says is never markup", async () => {
  const [a, b] = [somebody("alice"), somebody("bob")];
  const [alice, bob] = [await signedIn(a), await signedIn(b)];
  await talkTo(alice, b);
  const wicked = "<script>alert(1)</script><img src=x onerror=alert(2)><b>bold</b> javascript:alert(3)";
  await say(alice, wicked);
  await bob.getByRole("button", { name: new RegExp(a) }).click();
  await hears(bob, "<script>");
  assert.equal(await messages(bob).textContent(), wicked);
  assert.equal(await bob.locator(".messages script, .messages img, .messages b").count(), 0);
  // A link leads where it says, and no further than it goes.
  await say(alice, `(see https://example.com/a_(b)) and not https://bank.example@evil.example/ or https://a${")".repeat(1900)}`);
  await hears(bob, "(see ");
  const links = await bob.getByRole("log").getByRole("link").evaluateAll((all) => all.map((link) => link.getAttribute("href")));
  assert.deepEqual(links, ["https://example.com/a_(b)", "https://a"]);
  await shot(bob, "markup");
  await Promise.all([alice.context().close(), bob.context().close()]);
});

test("a connection that drops in the middle of sending loses nothing", async () => {
  const [a, b] = [somebody("alice"), somebody("bob")];
  const [alice, bob] = [await signedIn(a), await signedIn(b)];
  await talkTo(alice, b);
  await say(alice, "before");
  await hears(alice, "before");
  await bob.getByRole("button", { name: new RegExp(a) }).click();
  await alice.context().setOffline(true);
  await cutOff(a);
  await alice.getByText(/No connection/).waitFor();
  await say(alice, "in between");
  await alice.getByText("sending …").waitFor();
  await shot(alice, "offline");
  await say(bob, "meanwhile");
  await alice.context().setOffline(false);
  await hears(alice, "meanwhile");
  await alice.getByText("sending …").waitFor({ state: "detached" });
  await alice.getByText(/No connection/).waitFor({ state: "detached" });
  await hears(bob, "in between");
  const said = ["before", "meanwhile", "in between"];
  await until("all are there", async () => (await messages(alice).count()) === 3 && (await messages(bob).count()) === 3);
  const ofAlice = await messages(alice).allTextContents();
  assert.deepEqual(ofAlice.toSorted(), said.toSorted());
  await shows(bob, ofAlice);
  await Promise.all([alice.context().close(), bob.context().close()]);
});

test("a message whose answer is lost with the connection is stored once", async () => {
  const [a, b] = [somebody("alice"), somebody("bob")];
  const bob = await signedIn(b);
  let holding = false;
  const alice = await signedIn(a, {}, (page) =>
    page.routeWebSocket(/\/v1/, (socket) => {
      const server = socket.connectToServer();
      server.onMessage((frame) => {
        const { type, id } = JSON.parse(frame);
        if (!(holding && type === "new_message" && id)) socket.send(frame);
      });
    }),
  );
  await talkTo(alice, b);
  holding = true;
  await say(alice, "once");
  await bob.getByRole("button", { name: new RegExp(a) }).click();
  await hears(bob, "once");
  await alice.getByText("sending …").waitFor();
  holding = false;
  await cutOff(a);
  await alice.getByText("sending …").waitFor({ state: "detached" });
  await shows(alice, ["once"]);
  await shows(bob, ["once"]);
  await Promise.all([alice.context().close(), bob.context().close()]);
});

test("what cannot be stored says so, and can be given up", async () => {
  const [a, b] = [somebody("alice"), somebody("bob")];
  const bob = await signedIn(b, { colorScheme: "dark" });
  const alice = await signedIn(a, { width: 390, height: 780 });
  await talkTo(alice, b);
  // U+0000 passes the field and not the service.
  await say(alice, "one \u0000");
  await alice.getByText("Not sent. Must not contain U+0000.").waitFor();
  await say(alice, "two");
  await bob.getByRole("button", { name: new RegExp(a) }).click();
  await hears(bob, "two");
  await shot(alice, "phone-light-failed");
  await shot(bob, "wide-dark");
  await alice.getByRole("button", { name: "Try again" }).click();
  await alice.getByText("Not sent. Must not contain U+0000.").waitFor();
  await alice.getByRole("button", { name: "Discard" }).click();
  await shows(alice, ["two"]);
  await Promise.all([alice.context().close(), bob.context().close()]);
});

test("the conversation with the latest message comes first", async () => {
  const [a, b, c] = [somebody("alice"), somebody("bob"), somebody("carol")];
  const [alice, bob, carol] = [await signedIn(a), await connected(b), await connected(c)];
  const [withBob, withCarol] = [await bob.find(a), await carol.find(a)];
  const names = () => alice.locator(".list .name").allTextContents();
  await bob.send(withBob, "first");
  await carol.send(withCarol, "second");
  await until("Carol is first", async () => (await names())[0] === c);
  await bob.send(withBob, "third");
  await until("Bob is first", async () => (await names())[0] === b);
  assert.deepEqual(await names(), [b, c]);
  await shot(alice, "live-order");
  await alice.context().close();
});

test("a thousand messages can be scrolled back, and few of them are in the page", async () => {
  const [a, b] = [somebody("alice"), somebody("bob")];
  const [writer, reader] = [await connected(a), await connected(b)];
  const id = await writer.find(b);
  for (let n = 0; n < 1000; n += 20) {
    await Promise.all(Array.from({ length: 20 }, (_, at) => writer.send(id, `number ${n + at + 1}`)));
  }
  const room = await reader.conversation(id);
  await room.markRead();
  reader.stop();
  const bob = await signedIn(b);
  await bob.getByRole("button", { name: new RegExp(a) }).click();
  const log = bob.getByRole("log");
  const seqs = () => log.locator("article").evaluateAll((all) => all.map((one) => Number(one.dataset.seq)));
  await until("the newest are there", async () => (await seqs()).at(-1) === 1000);
  assert((await seqs()).length <= 100, "not all at once");
  // The newest is in sight, and stays where it is while older ones come.
  const atEnd = () => log.evaluate((box) => box.scrollHeight - box.scrollTop - box.clientHeight);
  assert((await atEnd()) < 40);
  // Older ones come above what is looked at, and that stays where it is.
  await log.evaluate((box) => (box.scrollTop -= 300));
  await bob.getByRole("button", { name: "Go to the latest message" }).waitFor();
  const inSight = await log.evaluate((box) => {
    const { top } = box.getBoundingClientRect();
    return Number([...box.querySelectorAll("article")].find((one) => one.getBoundingClientRect().top > top + 100).dataset.seq);
  });
  const [first] = await seqs();
  const top = () => log.locator(`article[data-seq="${inSight}"]`).evaluate((one) => one.getBoundingClientRect().top);
  assert((await top()) > 0);
  await log.locator(`article[data-seq="${inSight}"]`).focus();
  await log.evaluate((box) => (box.scrollTop = 300));
  await until("older ones are there", async () => (await seqs())[0] < first);
  const moved = await log.locator(`article[data-seq="${inSight}"]`).count();
  assert.equal(moved, 1, "what was in sight is still in the page");
  assert.equal(await bob.evaluate(() => document.activeElement?.dataset.seq), String(inSight), "and has the focus: it is the same element");
  // All of them come by, each where it belongs, and never many at once.
  const seen = new Set();
  const gather = async (at) => {
    await log.evaluate((box, at) => (box.scrollTop = at ?? box.scrollHeight), at);
    const now = await seqs();
    assert(now.length <= 200, `${now.length} at once`);
    assert.deepEqual(now, Array.from({ length: now.length }, (_, n) => now[0] + n), "without a gap");
    now.forEach((seq) => seen.add(seq));
    return now;
  };
  await until("the oldest is there", async () => (await gather(0))[0] === 1);
  assert.equal(seen.size, 1000);
  await shot(bob, "history");
  const latest = bob.getByRole("button", { name: "Go to the latest message" });
  await until("the end is there again", async () => (await gather()).at(-1) === 1000 && (await latest.count()) === 0);
  await bob.context().close();
});

test("a thousand people are in a group, and only those in sight are in the page", async () => {
  const a = somebody("alice");
  const owner = await connected(a);
  const crowd = Array.from({ length: 999 }, (_, at) => `${a}-${String(at).padStart(3, "0")}`);
  for (let at = 0; at < crowd.length; at += 20) {
    const known = async (user) => {
      const headers = { authorization: `Bearer ${await tokenFor(user)}`, "content-type": "application/json" };
      await fetch(`${url}/api/conversations`, { method: "POST", headers, body: JSON.stringify({ title: "Known", participantIds: [] }) });
    };
    await Promise.all(crowd.slice(at, at + 20).map(known));
  }
  const id = await owner.createGroup({ title: "Everybody", participantIds: crowd.slice(0, 100) });
  const room = await owner.conversation(id);
  for (let at = 100; at < crowd.length; at += 100) await room.add(crowd.slice(at, at + 100));
  owner.stop();
  const alice = await signedIn(a);
  await alice.getByRole("button", { name: "Everybody" }).click();
  await alice.getByText("1000 people").first().waitFor();
  await alice.getByRole("button", { name: "People" }).click();
  const list = alice.getByRole("list", { name: "Participants" });
  const rows = list.locator(".person");
  await rows.filter({ hasText: `${a}-000` }).waitFor();
  assert((await rows.count()) < 60, `${await rows.count()} rows`);
  await until("the last one is there", async () => {
    await list.evaluate((box) => (box.scrollTop = box.scrollHeight));
    return (await rows.filter({ hasText: crowd.at(-1) }).count()) === 1;
  });
  assert((await rows.count()) < 60, `${await rows.count()} rows`);
  await shot(alice, "group-of-a-thousand");
  await alice.context().close();
});

test("several tabs are several devices", async () => {
  const [a, b] = [somebody("alice"), somebody("bob")];
  const alice = await signedIn(a);
  const other = await signedIn(a);
  const bob = await signedIn(b);
  await talkTo(alice, b);
  await say(alice, "from one tab");
  await other.getByRole("button", { name: new RegExp(b) }).getByText("You: from one tab").waitFor();
  await bob.getByRole("button", { name: new RegExp(a) }).click();
  await hears(bob, "from one tab");
  // One of them goes; she is still there.
  await alice.context().close();
  await say(bob, "still there?");
  await other.getByRole("button", { name: new RegExp(b) }).getByText("still there?").waitFor();
  assert.equal(await bob.locator(".conversation .presence").textContent(), "online");
  await Promise.all([other.context().close(), bob.context().close()]);
});

test("it works with the keyboard alone, and tells screen readers what there is", async () => {
  const [a, b] = [somebody("alice"), somebody("bob")];
  const bob = await signedIn(b);
  const alice = await signedIn(a);
  const press = async (...keys) => {
    for (const key of keys) await alice.keyboard.press(key);
  };
  await alice.getByLabel("Start a conversation with").focus();
  await alice.keyboard.type(b);
  await press("Enter");
  await alice.getByRole("heading", { name: b }).waitFor();
  await until("the message field has the focus", () => alice.evaluate(() => document.activeElement?.id === "text"));
  await alice.keyboard.type("with the keyboard");
  await press("Shift+Enter");
  await alice.keyboard.type("in two lines");
  await press("Enter");
  await hears(alice, "in two lines");
  const tree = await alice.locator("body").ariaSnapshot();
  for (const part of ["navigation \"Conversations\"", "log \"Messages\"", "textbox \"Message\"", "button \"Send\"", "status"]) {
    assert(tree.includes(part), `${part} is missing in\n${tree}`);
  }
  // Every control has a name.
  for (const control of await alice.locator("button, input, textarea").all()) {
    const name = await control.evaluate((element) =>
      element.getAttribute("aria-label") || [...(element.labels ?? [])].map((label) => label.textContent).join("") || element.textContent,
    );
    assert(name.trim(), await control.evaluate((element) => element.outerHTML));
  }
  await Promise.all([alice.context().close(), bob.context().close()]);
});
