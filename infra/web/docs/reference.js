// The reference of the client, read from the comments of its source: they are what its types are made from.

const source = async (name) => (await fetch(`../client/${name}.js`)).text();

const withoutLinks = (text) => text.replace(/\{@link ([^}]*)\}/g, "`$1`");

/** A comment without its stars: what it says, and its tags. */
function commentOf(text) {
  const lines = text.split("\n").map((line) => line.replace(/^\s*\* ?/, ""));
  const [said, ...tags] = lines.join("\n").split(/^\s*@/m);
  return { said: withoutLinks(said.trim()), tags: tags.map((tag) => tag.replace(/\s+/g, " ").trim()) };
}

/** What stands in braces at the beginning of a text, which may hold braces, and what follows. */
function braced(text) {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "{") depth++;
    if (text[at] === "}" && --depth === 0) return [text.slice(1, at), text.slice(at + 1).trim()];
  }
  return ["", text];
}

const withoutImports = (type) => type.replace(/import\("[^"]*"\)\./g, "");

/** The parameters and the result that the tags of a comment name. */
function signatureOf(tags) {
  const parameters = [];
  let result = "";
  for (const tag of tags) {
    const [, kind, rest] = /^(\w+)\s*(.*)$/.exec(tag) ?? [];
    const [type, more] = braced(rest ?? "");
    if (kind === "param") {
      const [name, ...said] = more.split(" ");
      parameters.push({ name, type: withoutImports(type), said: said.join(" ") });
    } else if (kind === "returns") {
      result = withoutImports(type);
    }
  }
  return { parameters, result };
}

const MEMBER = /\/\*\*((?:(?!\*\/)[^])*)\*\/\s*\n\s*(export (?:async )?function |async |get |static )*(\w+)\(([^]*?)\) \{\n/g;

/** The functions and methods of a file that are meant for others: those with a comment that says something. */
function membersOf(text) {
  return [...text.matchAll(MEMBER)].flatMap(([whole, comment, , name]) => {
    const { said, tags } = commentOf(comment);
    if ((!said && tags.length === 0) || name === "constructor") return [];
    const { parameters, result } = signatureOf(tags);
    const isGetter = /\bget \w+\(\) \{\n$/.test(whole);
    const names = parameters.map(({ name }) => name.replace(/^\[(.*)\]$/, "$1?")).join(", ");
    const signature = isGetter ? name : `${name}(${names})${result && `: ${result}`}`;
    return [{ name, signature, said, parameters }];
  });
}

/** The shapes that the service and the client share. */
function shapesOf(text) {
  return [...text.matchAll(/\/\*\*((?:(?!\*\/)[^])*)\*\//g)].flatMap(([, comment]) => {
    const { said, tags } = commentOf(comment);
    const head = tags.find((tag) => tag.startsWith("typedef {object}"));
    // Those of one line: what they are is their type.
    const others = tags.filter((tag) => tag.startsWith("typedef {") && tag !== head).map((tag) => {
      const [type, name] = braced(tag.replace(/^typedef\s*/, ""));
      return { name: name.split(" ")[0], said: `\`${withoutImports(type)}\``, fields: [] };
    });
    if (!head) return others.filter(({ name, said }) => !said.includes(`<${name}Fields>`));
    const name = head.replace("typedef {object} ", "").split(" ")[0].replace(/Fields$/, "");
    const fields = tags.filter((tag) => tag.startsWith("property")).map((tag) => {
      const [type, more] = braced(tag.replace(/^property\s*/, ""));
      const [field, ...about] = more.split(" ");
      return { name: field.replace(/[[\]]/g, ""), isOptional: field.startsWith("["), type: withoutImports(type), said: about.join(" ") };
    });
    return [{ name, said, fields }];
  });
}

/** Fetches it. */
export async function reference() {
  const [client, room, hooks, tabs, outbox, testing, types] = await Promise.all(
    ["switchboard", "room", "react", "tabs", "outbox-idb", "testing", "types"].map(source),
  );
  const exported = (text) => membersOf(text).filter(({ name }) => new RegExp(`export (async )?function ${name}\\(`).test(text));
  const ofClass = (text, name) => membersOf(text.slice(text.indexOf(`export class ${name} `)));
  return {
    modules: [
      { name: "@switchboard/client", members: exported(client) },
      { name: "Switchboard", members: ofClass(client, "Switchboard").filter(({ name }) => name !== "apiAt") },
      { name: "Room", members: ofClass(room, "Room") },
      { name: "@switchboard/client/react", members: exported(hooks) },
      { name: "@switchboard/client/outbox-idb", members: exported(outbox) },
      { name: "@switchboard/client/tabs", members: exported(tabs) },
      { name: "@switchboard/client/testing", members: exported(testing) },
    ],
    shapes: shapesOf(types),
  };
}
