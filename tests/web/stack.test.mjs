// The client against a service: the real stack, and the one in memory, which have to be alike.

import assert from "node:assert/strict";
import { after, test } from "node:test";

import { connected, cutOff, somebody, undocumented, until } from "./service.mjs";

after(() => assert.deepEqual(undocumented, [], "all that was said is as the documents say"));

/** Two people with a conversation that both have open. */
async function pair() {
  const [a, b] = [somebody("alice"), somebody("bob")];
  const [alice, bob] = [await connected(a), await connected(b)];
  const id = await alice.find(b);
  return { alice, bob, id, ofAlice: await alice.conversation(id), ofBob: await bob.conversation(id) };
}

const contents = (conversation) => conversation.snapshot.messages.map(({ content }) => content);

test("two people talk", async () => {
  const { alice, bob, id, ofAlice, ofBob } = await pair();
  const typing = new Promise((resolve) => bob.on("typing", resolve));
  ofAlice.typing();
  assert.deepEqual(await typing, { conversationId: id, userId: alice.userId, typing: true });
  const sent = await alice.send(id, "Hello!");
  assert.equal(sent.seq, 1);
  await until("it arrives", () => ofBob.snapshot.messages.length === 1);
  await until("it counts as unread", () => bob.unreadCount === 1);
  await ofBob.markRead();
  assert.equal(bob.unreadCount, 0);
  await until("Alice hears of it", () => ofAlice.snapshot.messages[0].readAt !== null);
  await bob.send(id, "Hello to you!");
  await until("the answer arrives", () => ofAlice.snapshot.messages.length === 2);
  assert.deepEqual(contents(ofAlice), contents(ofBob));
});

test("presence is told and listed", async () => {
  const { alice, bob } = await pair();
  const online = () => alice.conversations.find(({ otherUser }) => otherUser.id === bob.userId).otherUser.online;
  await until("he is there", online);
  bob.stop();
  await until("he is gone", () => !online());
  await bob.start();
  await until("he is back", online);
});

test("nothing is lost and nothing is doubled while connections are cut", async () => {
  const { alice, bob, id, ofAlice, ofBob } = await pair();
  const heard = [];
  bob.on("message", ({ seq }) => heard.push(seq));
  const sending = [];
  let cut = 0;
  for (let n = 0; n < 60; n++) {
    sending.push(alice.send(id, `message ${n}`));
    if (n % 20 === 10) {
      // Whoever is just about to connect again cannot be cut off.
      const both = await Promise.all([cutOff(alice.userId), cutOff(bob.userId)]);
      cut += both[0] + both[1];
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  const stored = await Promise.all(sending);
  assert(cut >= 2, "there was something to cut");
  assert.deepEqual(stored.map(({ seq }) => seq), Array.from({ length: 60 }, (_, at) => at + 1), "each once, as written");
  await until("both have all of them", () => ofAlice.snapshot.messages.length === 60 && ofBob.snapshot.messages.length === 60);
  const seqs = Array.from({ length: 60 }, (_, at) => at + 1);
  assert.deepEqual(ofAlice.snapshot.messages.map(({ seq }) => seq), seqs);
  assert.deepEqual(ofBob.snapshot.messages.map(({ seq }) => seq), seqs);
  assert.deepEqual(heard, seqs, "in order, each once");
  assert.equal(alice.outgoing.length, 0);
});

test("changes are the same everywhere, whatever is cut", async () => {
  const { alice, bob, id, ofAlice, ofBob } = await pair();
  for (let n = 0; n < 10; n++) await alice.send(id, `message ${n}`);
  await until("he has them", () => ofBob.snapshot.messages.length === 10);
  const changing = [];
  const ask = (change) => {
    // It may be refused before it is looked at.
    change.catch(() => {});
    changing.push(change);
  };
  for (let n = 0; n < 40; n++) {
    const message = ofAlice.snapshot.messages[n % 10];
    if (n % 4 === 0) ask(ofAlice.edit(message, `message ${n % 10}, edited ${n}`));
    else ask(n % 4 === 1 ? ofBob.react(message, `${n}`) : ofAlice.react(message, "👍"));
    if (n === 30) ask(ofAlice.delete(ofAlice.snapshot.messages[3]));
    if (n % 15 === 10) await Promise.all([cutOff(alice.userId), cutOff(bob.userId)]);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  // A reaction to what is deleted meanwhile is refused, and an edit beside a reaction is repeated.
  const settled = await Promise.allSettled(changing);
  const refused = settled.filter(({ status }) => status === "rejected").map(({ reason }) => reason.code);
  assert(refused.every((code) => code === "invalid_request"), String(refused));
  const same = () => JSON.stringify(ofAlice.snapshot.messages) === JSON.stringify(ofBob.snapshot.messages);
  await until("both see the same", same);
  const later = await connected(bob.userId);
  const fresh = await later.conversation(id);
  assert.deepEqual(ofBob.snapshot.messages, fresh.snapshot.messages, "and so does who comes later");
  assert.equal(fresh.snapshot.messages[3].deletedAt === null, false);
});

test("who was away gets all that was said", async () => {
  const { alice, bob, id, ofBob } = await pair();
  await alice.send(id, "before");
  await until("he has that", () => ofBob.snapshot.messages.length === 1);
  bob.stop();
  for (let n = 0; n < 119; n++) await alice.send(id, `message ${n}`);
  await bob.start();
  await until("he has caught up", () => ofBob.snapshot.messages.length === 120);
  assert.deepEqual(ofBob.snapshot.messages.map(({ seq }) => seq), Array.from({ length: 120 }, (_, at) => at + 1));
});

test("another device of the same user sees the same", async () => {
  const { alice, bob, id, ofAlice } = await pair();
  const tablet = await connected(alice.userId);
  const onTablet = await tablet.conversation(id);
  await alice.send(id, "from the phone");
  await bob.send(id, "from Bob");
  await until("both are there", () => onTablet.snapshot.messages.length === 2);
  await ofAlice.markRead();
  await until("it is read there too", () => tablet.unreadCount === 0);
});

test("refusals are told", async () => {
  const { alice, id } = await pair();
  await assert.rejects(alice.find(somebody("nobody")), { code: "not_found" });
  await assert.rejects(alice.find(alice.userId), { code: "invalid_request" });
  await assert.rejects(alice.send(id, " "), { code: "invalid_request", message: "content: must not be blank" });
});

test("a group is made, grows, changes and shrinks, and everybody has it as it is", async () => {
  const [a, b, c] = ["alice", "bob", "carol"].map(somebody);
  const [alice, bob, carol] = [await connected(a), await connected(b), await connected(c)];
  const gone = [];
  bob.on("gone", (id) => gone.push(id));
  const id = await alice.createGroup({ title: "Lunch", participantIds: [b] });
  const group = await alice.conversation(id);
  await group.send("before Carol");
  await group.add([c]);
  const summaryOf = (chat) => chat.conversations.find((one) => one.id === id);
  await until("Carol has it", () => summaryOf(carol)?.participantCount === 3);
  const ofCarol = await carol.conversation(id);
  assert.deepEqual(contents(ofCarol), [], "she sees what comes after");
  await group.send("after Carol");
  await until("it arrives", () => contents(ofCarol).length === 1);
  assert.equal(ofCarol.snapshot.hasOlder, false);
  await group.change({ title: "Dinner" });
  await until("all know", () => [alice, bob, carol].every((chat) => summaryOf(chat).title === "Dinner"));
  await assert.rejects(ofCarol.change({ title: "Mine" }), { code: "forbidden" });
  await group.setRole(c, "owner");
  await until("she is one", () => summaryOf(carol).role === "owner");
  await ofCarol.remove(b);
  await until("Bob is out", () => gone.includes(id) && summaryOf(bob) === undefined);
  await group.leave();
  assert.equal(summaryOf(alice), undefined);
  const { participants } = await ofCarol.participants();
  assert.deepEqual(participants.map(({ user, role }) => [user.id, role]), [[c, "owner"]]);
  await assert.rejects(alice.conversation(id), { code: "forbidden" });
});

test("what is changed in a conversation that is not open shows in the list", async () => {
  const { alice, bob, id, ofAlice, ofBob } = await pair();
  const sent = await alice.send(id, "hello");
  await until("he has it", () => ofBob.snapshot.messages.length === 1);
  await ofBob.release();
  await ofAlice.edit(sent, "hello!");
  await until("the list shows it", () => bob.conversations[0].lastMessage?.content === "hello!");
  await ofAlice.reply(sent, "and more");
  await until("and what comes after", () => bob.conversations[0].lastSeq === 2 && bob.unreadCount === 2);
  const again = await bob.conversation(id);
  assert.deepEqual(contents(again), ["hello!", "and more"]);
  assert.equal(again.snapshot.firstUnreadSeq, 1);
  assert.equal(again.snapshot.messages[1].replyTo, sent.id);
});

test("a long conversation is read back to its beginning", async () => {
  const { alice, bob, id } = await pair();
  for (let n = 1; n <= 120; n += 20) await Promise.all(Array.from({ length: 20 }, (_, at) => alice.send(id, `message ${n + at}`)));
  await bob.conversation(id);
  const fresh = await connected(bob.userId);
  const room = await fresh.conversation(id);
  assert.equal(room.snapshot.messages.length, 50);
  while (room.snapshot.hasOlder) await room.older();
  assert.deepEqual(room.snapshot.messages.map(({ seq }) => seq), Array.from({ length: 120 }, (_, at) => at + 1));
});

test("two of whom one has blocked the other hear nothing of each other", async () => {
  const { alice, bob, id, ofBob } = await pair();
  await alice.block(bob.userId);
  assert.deepEqual(await alice.blocked(), [bob.userId]);
  await assert.rejects(bob.send(id, "hello?"), { code: "forbidden" });
  await alice.unblock(bob.userId);
  await ofBob.send("hello again");
  await assert.rejects(alice.block(alice.userId), { code: "invalid_request" });
});
