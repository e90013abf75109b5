// Shows asyncapi.json, openapi.json and service.json to people. It reads as much of the two formats as those documents use.

import { html, render } from "../vendor/preact-htm.js";

const load = async (name) => (await fetch(name)).json();
const [asyncapi, openapi, service] = await Promise.all(["asyncapi.json", "openapi.json", "service.json"].map(load));

/** Follows references, and puts together what a schema is made of. */
function resolve(document, schema) {
  if (schema.$ref) {
    const target = schema.$ref.split("/").slice(1).reduce((value, name) => value[name], document);
    return resolve(document, { ...target, ...(schema.description && { description: schema.description }) });
  }
  if (schema.allOf) {
    const parts = schema.allOf.map((part) => resolve(document, part));
    return {
      ...Object.assign({}, ...parts),
      properties: Object.assign({}, ...parts.map((part) => part.properties)),
      required: parts.flatMap((part) => part.required ?? []),
    };
  }
  const other = schema.anyOf?.find((option) => option.type !== "null");
  if (other) {
    const nullable = schema.anyOf.some((option) => option.type === "null");
    return { ...resolve(document, other), nullable, ...(schema.description && { description: schema.description }) };
  }
  if (Array.isArray(schema.type)) return { ...schema, type: schema.type.find((type) => type !== "null"), nullable: true };
  return schema;
}

function typeOf(document, schema) {
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  const options = schema.enum ?? schema.oneOf?.map((option) => option.const);
  if (options) return options.map((option) => JSON.stringify(option)).join(" | ");
  if (schema.type === "array") return `list of ${typeOf(document, resolve(document, schema.items))}`;
  const limits = [
    schema.format,
    schema.minLength !== undefined && schema.maxLength !== undefined && `${schema.minLength} to ${schema.maxLength} characters`,
    schema.minLength === undefined && schema.maxLength !== undefined && `at most ${schema.maxLength} characters`,
    schema.minimum !== undefined && (schema.maximum !== undefined ? `${schema.minimum} to ${schema.maximum}` : `at least ${schema.minimum}`),
    schema.default !== undefined && `default ${schema.default}`,
  ].filter(Boolean);
  const named = schema.type === "object" ? "object" : schema.type;
  return [named, limits.length > 0 && `(${limits.join(", ")})`, schema.nullable && "or null"].filter(Boolean).join(" ");
}

function Fields({ document, schema, depth = 0 }) {
  const whole = resolve(document, schema);
  if (!whole.properties) return null;
  const rows = Object.entries(whole.properties).map(([name, property]) => {
    const field = resolve(document, property);
    const inner = field.type === "array" ? resolve(document, field.items) : field;
    return html`
      <tr>
        <th scope="row"><code>${name}</code>${!(whole.required ?? []).includes(name) && html`<span class="optional"> optional</span>`}</th>
        <td class="type">${typeOf(document, field)}</td>
        <td>${marked(field.description ?? "")}
          ${inner.properties && depth < 4 && html`<details open=${depth < 1}><summary>its fields</summary><${Fields} document=${document} schema=${inner} depth=${depth + 1} /></details>`}
        </td>
      </tr>
    `;
  });
  return html`<table><tbody>${rows}</tbody></table>`;
}

/** Text with \`code\` in it. */
const marked = (text) => text.split("`").map((part, at) => (at % 2 ? html`<code>${part}</code>` : part));

const nameOf = (reference) => reference.$ref.split("/").at(-1);

function Message({ name, answers }) {
  const { summary, payload } = asyncapi.components.messages[name];
  return html`
    <article id=${name}>
      <h3><code>${name}</code></h3>
      <p>${marked(summary)}</p>
      ${answers && html`<p class="answers">Answered with ${answers.map((answer, at) => html`${at > 0 && " or "}<a href=${`#${answer}`}><code>${answer}</code></a>`)}.</p>`}
      <${Fields} document=${asyncapi} schema=${payload} />
    </article>
  `;
}

function Operation({ document, id, path, method, operation }) {
  const body = operation.requestBody?.content["application/json"].schema;
  return html`
    <article id=${id}>
      <h3><code>${method.toUpperCase()} ${path}</code></h3>
      <p>${operation.summary}. ${marked(operation.description ?? "")}</p>
      ${operation.parameters && html`
        <h4>Parameters</h4>
        <table><tbody>
          ${operation.parameters.map((parameter) => html`
            <tr>
              <th scope="row"><code>${parameter.name}</code>${!parameter.required && html`<span class="optional"> optional</span>`}</th>
              <td class="type">${typeOf(document, resolve(document, parameter.schema))}, in the ${parameter.in}</td>
              <td>${marked(parameter.description ?? "")}</td>
            </tr>`)}
        </tbody></table>`}
      ${body && html`<h4>Body</h4><${Fields} document=${document} schema=${body} />`}
      <h4>Answers</h4>
      ${Object.entries(operation.responses).map(([status, response]) => html`
        <details open=${status < 300}>
          <summary><strong>${status}</strong> ${response.description}</summary>
          ${response.content && html`<${Fields} document=${document} schema=${response.content["application/json"].schema} />`}
        </details>`)}
    </article>
  `;
}

const operations = Object.values(asyncapi.operations);
const sent = operations.filter(({ action }) => action === "receive");
const heard = operations.find(({ action }) => action === "send").messages.map(nameOf);
/** The requests of a document. Both HTTP documents have some of the same name. */
const requestsOf = (document, prefix = "") =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ document, id: prefix + operation.operationId, path, method, operation })),
  );
const requests = requestsOf(openapi);
/** What the service itself requests. */
const { event } = service.webhooks;
const ofService = requestsOf(service, "service-");

const link = (id, text = id) => html`<li><a href=${`#${id}`}><code>${text}</code></a></li>`;

render(
  html`
    <nav aria-label="Contents">
      <a class="home" href="../">Switchboard</a>
      <h2>You send</h2>
      <ul>${sent.map(({ messages }) => link(nameOf(messages[0])))}</ul>
      <h2>You receive</h2>
      <ul>${heard.map((name) => link(name))}</ul>
      <h2>HTTP</h2>
      <ul>${requests.map(({ id, path, method }) => link(id, `${method.toUpperCase()} ${path}`))}</ul>
      <h2>From a backend</h2>
      <ul>${ofService.map(({ id, path, method }) => link(id, `${method.toUpperCase()} ${path}`))}${link("event", "Events")}</ul>
    </nav>
    <main>
      <h1>${asyncapi.info.title}</h1>
      <p>${marked(asyncapi.info.description)}</p>
      <p>Connect to <code>ws://localhost:8700/v1?token=JWT</code>; <code>cargo dev token NAME</code> makes a token.
        The same as a document for tools: <a href="asyncapi.json">asyncapi.json</a>.</p>
      <h2>A connection</h2>
      <ul>
        <li>It lasts two hours at most, and ten minutes without a frame. Open the next one before, join there, then close this one.</li>
        <li>Send <a href="#ping"><code>ping</code></a> every 4 minutes. A connection without one counts as gone after 12; its next
          frame is answered with the error <code>unavailable</code>, and it is closed.</li>
        <li>A frame after the token has expired has no effect: the error <code>token_expired</code> comes, and the connection is closed.</li>
        <li>A user has 20 connections at most: one more closes the oldest. A connection joins 100 conversations at most.</li>
        <li>Frames may come in any order: order messages by <code>seq</code>, drop those whose <code>id</code> you have, and fetch what is
          missing with <code>after</code>. Repeat a send with the same <code>clientMessageId</code> until it is answered.</li>
      </ul>
      <h2>What you send</h2>
      ${sent.map(({ messages, reply }) => html`<${Message} name=${nameOf(messages[0])} answers=${reply?.messages.map(nameOf)} />`)}
      <h2>What you receive</h2>
      ${heard.map((name) => html`<${Message} name=${name} />`)}
      <h1>${openapi.info.title}</h1>
      <p>${marked(openapi.info.description)}</p>
      <p>Every request carries <code>Authorization: Bearer JWT</code>. The same as a document for tools: <a href="openapi.json">openapi.json</a>.</p>
      ${requests.map((request) => html`<${Operation} ...${request} />`)}
      <h1>${service.info.title}</h1>
      <p>${marked(service.info.description)}</p>
      <p>Every request carries a service token. The same as a document for tools: <a href="service.json">service.json</a>.</p>
      ${ofService.map((request) => html`<${Operation} ...${request} />`)}
      <h1>What a backend is told</h1>
      <article id="event">
        <p>${marked(event.post.description)}</p>
        <${Fields} document=${service} schema=${event.post.requestBody.content["application/cloudevents+json"].schema} depth=${4} />
        <h2>What <code>data</code> is</h2>
        ${service.components.schemas.EventData.anyOf.map((option) => {
          const data = resolve(service, option);
          return html`<details><summary>${marked(data.description ?? nameOf(option))}</summary><${Fields} document=${service} schema=${option} /></details>`;
        })}
      </article>
    </main>
  `,
  document.body,
);
document.getElementById(location.hash.slice(1))?.scrollIntoView();
