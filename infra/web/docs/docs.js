// The documents for people: guides, the WebSocket API, the HTTP APIs, errors, the client, and a console to try them.

import { html, render, useEffect, useMemo, useState } from "../vendor/preact-htm.js";
import { Code, Samples, marked } from "./code.js";
import { Console } from "./console.js";
import { GUIDES } from "./guides.js";
import { reference } from "./reference.js";
import { pretty, rawRequest, samplesOfFrame, samplesOfRequest, service as at } from "./samples.js";
import { fieldsOf, nameOf, resolve, typeOf } from "./schema.js";

const load = async (name) => (await fetch(`${name}.json`)).json();
const [asyncapi, openapi, service, errors, client] = await Promise.all([...["asyncapi", "openapi", "service", "errors"].map(load), reference()]);

const operations = Object.values(asyncapi.operations);
const sent = operations.filter(({ action }) => action === "receive").map(({ messages, reply }) => ({ name: nameOf(messages[0]), answers: reply?.messages.map(nameOf) }));
const heard = operations.find(({ action }) => action === "send").messages.map(nameOf);
/** The requests of a document. Both HTTP documents have some of the same name. */
const requestsOf = (document, prefix = "") =>
  Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ document, id: operation.operationId, anchor: prefix + operation.operationId, path, method, operation })),
  );
const requests = requestsOf(openapi);
/** What the service itself requests. */
const { event } = service.webhooks;
const ofService = requestsOf(service, "service-");
const idOf = (name) => `client-${name.replace(/\W+/g, "-")}`;

/** What the navigation leads to. `text` is what else the search looks in. */
const SECTIONS = [
  { title: "Guides", entries: GUIDES.map(({ id, title }) => ({ id, title })) },
  { title: "You send", entries: sent.map(({ name }) => ({ id: name, title: name, isCode: true, text: asyncapi.components.messages[name].summary })) },
  { title: "You receive", entries: heard.map((name) => ({ id: name, title: name, isCode: true, text: asyncapi.components.messages[name].summary })) },
  { title: "Errors", entries: errors.map(({ code, meaning }) => ({ id: `error-${code}`, title: code, isCode: true, text: meaning })) },
  { title: "HTTP", entries: requests.map(({ anchor, path, method, operation }) => ({ id: anchor, title: `${method.toUpperCase()} ${path}`, isCode: true, text: operation.summary })) },
  {
    title: "From a backend",
    entries: [
      ...ofService.map(({ anchor, path, method, operation }) => ({ id: anchor, title: `${method.toUpperCase()} ${path}`, isCode: true, text: operation.summary })),
      { id: "event", title: "Events", text: "webhooks CloudEvents" },
    ],
  },
  {
    title: "The client",
    entries: [
      ...client.modules.map(({ name, members }) => ({ id: idOf(name), title: name, isCode: true, text: members.map(({ name }) => name).join(" ") })),
      { id: "client-shapes", title: "Shapes", text: client.shapes.map(({ name }) => name).join(" ") },
    ],
  },
];

const wide = matchMedia("(min-width: 60rem)");

function Navigation() {
  const [sought, seek] = useState("");
  const words = sought.toLowerCase().split(/\s+/).filter(Boolean);
  const fits = ({ title, text = "" }) => words.every((word) => `${title} ${text}`.toLowerCase().includes(word));
  const sections = SECTIONS.map(({ title, entries }) => ({ title, entries: entries.filter(fits) })).filter(({ entries }) => entries.length > 0);
  // On a phone the content comes first, and the contents are opened by a touch.
  const [isOpen, open] = useState(wide.matches);
  useEffect(() => {
    const turned = () => open(wide.matches);
    wide.addEventListener("change", turned);
    return () => wide.removeEventListener("change", turned);
  }, []);
  return html`
    <nav aria-label="Contents">
      <a class="home" href="../">Switchboard</a>
      <details open=${isOpen} onToggle=${(event) => open(event.currentTarget.open)}>
        <summary>Contents</summary>
        <label for="sought" class="visually-hidden">Search in the documents</label>
        <input id="sought" type="search" value=${sought} onInput=${(event) => seek(event.target.value)} placeholder="Search" autocomplete="off" />
        ${sections.map(({ title, entries }) => html`
          <h2 key=${title}>${title}</h2>
          <ul>${entries.map(({ id, title, isCode }) => html`<li key=${id}><a href=${`#${id}`}>${isCode ? html`<code>${title}</code>` : title}</a></li>`)}</ul>`)}
        ${sections.length === 0 && html`<p role="status">Nothing is called that.</p>`}
      </details>
    </nav>
  `;
}

/** A heading that can be linked to. */
const heading = (id, title) => html`<h3>${title} <a class="anchor" href=${`#${id}`} aria-label="Link to this">#</a></h3>`;

function Fields({ document, schema, depth = 0 }) {
  const fields = fieldsOf(document, schema);
  if (fields.length === 0) return null;
  return html`
    <dl class="fields">
      ${fields.map(({ name, field, isRequired }) => {
        const inner = field.type === "array" ? resolve(document, field.items) : field;
        return html`
          <div key=${name}>
            <dt><code>${name}</code> <span class="type">${typeOf(document, field)}</span>${!isRequired && html` <span class="optional">optional</span>`}</dt>
            <dd>${marked(field.description ?? "")}
              ${inner.properties && depth < 4 && html`<details><summary>Fields of <code>${name}</code></summary><${Fields} document=${document} schema=${inner} depth=${depth + 1} /></details>`}
            </dd>
          </div>
        `;
      })}
    </dl>
  `;
}

const exampleOf = (name) => asyncapi.components.messages[name].examples[0].payload;

function Message({ name, answers, tryIt }) {
  const { summary, payload, "x-answers": exchanged } = asyncapi.components.messages[name];
  const example = exampleOf(name);
  return html`
    <article id=${name}>
      <div class="prose">
        ${heading(name, html`<code>${name}</code>`)}
        <p>${marked(summary)}</p>
        ${answers && html`<p class="answers">Answered with ${answers.map((answer, at) => html`${at > 0 && " or "}<a href=${`#${answer}`}><code>${answer}</code></a>`)}.</p>`}
        <${Fields} document=${asyncapi} schema=${payload} />
      </div>
      <div class="panel">
        ${tryIt
          ? html`<${Samples} samples=${samplesOfFrame(example)} label=${`Send ${name}`} />
              <button class="try" onClick=${() => tryIt({ frame: example })}>Try ${name}</button>`
          : html`<h4>Frame</h4><${Code} text=${pretty(example)} label=${name} />`}
        ${exchanged && html`<${Samples} samples=${{ Answer: pretty(exchanged.answer), Error: exchanged.error && pretty(exchanged.error) }} label=${`Answers to ${name}`} />`}
      </div>
    </article>
  `;
}

function Operation({ document, id, anchor, path, method, operation, tryIt }) {
  const body = operation.requestBody?.content["application/json"].schema;
  const exchanged = Object.entries(operation.responses).flatMap(([status, { content }]) => {
    const example = content?.["application/json"].example;
    return example ? [{ status: Number(status), text: `HTTP/1.1 ${status}\n\n${pretty(example)}` }] : [];
  });
  const answers = {
    Answer: exchanged.find(({ status }) => status < 400)?.text ?? "HTTP/1.1 204",
    Error: exchanged.find(({ status }) => status >= 400)?.text,
  };
  const { samples, Try } = samplesOfRequest({ id, method, path, operation });
  return html`
    <article id=${anchor}>
      <div class="prose">
        ${heading(anchor, html`<code>${method.toUpperCase()} ${path}</code>`)}
        <p>${operation.summary}. ${marked(operation.description ?? "")}</p>
        ${operation.parameters && html`
          <h4>Parameters</h4>
          <dl class="fields">
            ${[...operation.parameters].sort((a, b) => Boolean(b.required) - Boolean(a.required)).map((parameter) => html`
              <div key=${parameter.name}>
                <dt><code>${parameter.name}</code> <span class="type">${typeOf(document, resolve(document, parameter.schema))}, in the ${parameter.in}</span>${!parameter.required && html` <span class="optional">optional</span>`}</dt>
                <dd>${marked(parameter.description ?? "")}</dd>
              </div>`)}
          </dl>`}
        ${body && html`<h4>Body</h4><${Fields} document=${document} schema=${body} />`}
        <h4>Answers</h4>
        ${Object.entries(operation.responses).map(([status, response]) => html`
          <details key=${status}>
            <summary><strong>${status}</strong> ${response.description}</summary>
            ${response.content && html`<${Fields} document=${document} schema=${response.content["application/json"].schema} />`}
          </details>`)}
      </div>
      <div class="panel">
        <${Samples} samples=${samples} label=${`Request ${operation.operationId}`} />
        ${tryIt && html`<button class="try" onClick=${() => tryIt({ request: Try })}>Try ${operation.operationId}</button>`}
        <${Samples} samples=${answers} label=${`Answers to ${operation.operationId}`} />
      </div>
    </article>
  `;
}

/** The errors that a frame provokes by itself, whatever there is. */
const SEEN_AT_ONCE = new Set(["invalid_request", "forbidden"]);

function Failure({ code, status, retryable, meaning, whatToDo, howToSeeIt, example, tryIt }) {
  return html`
    <article id=${`error-${code}`}>
      <div class="prose">
        ${heading(`error-${code}`, html`<code>${code}</code>`)}
        <p>${marked(meaning)}</p>
        <dl class="fields">
          <div><dt>HTTP status</dt><dd>${status ?? "none: only over the WebSocket"}</dd></div>
          <div><dt>Retryable</dt><dd>${retryable ? "yes: the same request may succeed later" : "no"}</dd></div>
          <div><dt>What to do</dt><dd>${marked(whatToDo)}</dd></div>
          <div><dt>How to see it</dt><dd>${marked(howToSeeIt)}</dd></div>
        </dl>
      </div>
      <div class="panel">
        ${example?.frame && html`<h4>Frame</h4><${Code} text=${pretty(example.frame)} label=${`Provokes ${code}`} />${SEEN_AT_ONCE.has(code) && html`<button class="try" onClick=${() => tryIt({ frame: example.frame, asItIs: true })}>Try ${code}</button>`}`}
        ${example?.request && html`<h4>Request</h4><${Code} text=${rawRequest(example.request)} label=${`Provokes ${code}`} />
          ${code === "not_found" && html`<button class="try" onClick=${() => tryIt({ request: rawRequest(example.request) })}>Try ${code}</button>`}`}
        ${example && html`<h4>Answer</h4><${Code} text=${(example.request ? `HTTP/1.1 ${example.request.status}\n\n` : "") + pretty(example.answer)} label=${code} />`}
      </div>
    </article>
  `;
}

function Event() {
  const { schema, example } = event.post.requestBody.content["application/cloudevents+json"];
  return html`
    <article id="event">
      <div class="prose">
        ${heading("event", "Events")}
        <p>${marked(event.post.description)}</p>
        <${Fields} document=${service} schema=${schema} depth=${4} />
        <h4>What <code>data</code> is</h4>
        ${service.components.schemas.EventData.anyOf.map((option) => {
          const data = resolve(service, option);
          return html`<details><summary>${marked(data.description ?? nameOf(option))}</summary><${Fields} document=${service} schema=${option} /></details>`;
        })}
      </div>
      <div class="panel"><h4>Event</h4><${Code} text=${pretty(example)} label="Event" /></div>
    </article>
  `;
}

function Reference() {
  return html`
    ${client.modules.map(({ name, members }) => html`
      <article id=${idOf(name)} class="wide">
        <div class="prose">
          ${heading(idOf(name), html`<code>${name}</code>`)}
          <dl class="fields">${members.map(({ signature, said, parameters }) => html`
            <div>
              <dt><code>${signature}</code></dt>
              <dd>${marked(said)}${parameters.length > 0 && html`<ul>${parameters.map(({ name, type, said }) => html`<li><code>${name}</code> <span class="type">${type}</span> ${marked(said)}</li>`)}</ul>`}</dd>
            </div>`)}
          </dl>
        </div>
      </article>`)}
    <article id="client-shapes" class="wide">
      <div class="prose">
        ${heading("client-shapes", "Shapes")}
        ${client.shapes.map(({ name, said, fields }) => html`
          <h4><code>${name}</code></h4>
          <p>${marked(said)}</p>
          <dl class="fields">${fields.map((field) => html`
            <div><dt><code>${field.name}</code> <span class="type">${field.type}</span>${field.isOptional && html` <span class="optional">optional</span>`}</dt><dd>${marked(field.said)}</dd></div>`)}
          </dl>`)}
      </div>
    </article>
  `;
}

/** Never rendered again: only the console changes. */
function Content({ tryIt }) {
  return useMemo(() => html`
    <main>
      <h1>Switchboard for developers</h1>
      <p>Real-time messaging: clients speak to a WebSocket URL and an HTTP API, backends to a service API. This service is at${" "}
        <code>${at.ws}?token=JWT</code> and <code>${at.http}</code>. Open the <a href="../">chat</a>, or the console below.</p>
      <h2 id="guides">Guides</h2>
      ${GUIDES.map(({ id, title, text }) => html`<article id=${id} class="wide"><div class="prose">${heading(id, title)}${text()}</div></article>`)}
      <h2>What you send over the WebSocket</h2>
      <p>${marked(asyncapi.info.description)} For tools: <a href="asyncapi.json">asyncapi.json</a>.</p>
      ${sent.map(({ name, answers }) => html`<${Message} key=${name} name=${name} answers=${answers} tryIt=${tryIt} />`)}
      <h2>What you receive</h2>
      ${heard.map((name) => html`<${Message} key=${name} name=${name} />`)}
      <h2>Errors</h2>
      <p>Over the WebSocket an <a href="#error"><code>error</code></a> frame carries the code, over HTTP the body does. For tools: <a href="errors.json">errors.json</a>.</p>
      ${errors.map((error) => html`<${Failure} key=${error.code} ...${error} tryIt=${tryIt} />`)}
      <h2>The HTTP API</h2>
      <p>${marked(openapi.info.description)} Every request carries <code>Authorization: Bearer JWT</code>. For tools: <a href="openapi.json">openapi.json</a>.</p>
      ${requests.map((request) => html`<${Operation} key=${request.anchor} ...${request} tryIt=${tryIt} />`)}
      <h2>The service API</h2>
      <p>${marked(service.info.description)} Every request carries a service token. For tools: <a href="service.json">service.json</a>.</p>
      ${ofService.map((request) => html`<${Operation} key=${request.anchor} ...${request} />`)}
      <${Event} />
      <h2 id="reference">The client</h2>
      <${Reference} />
    </main>
  `, []);
}

function Documents() {
  const [isOpen, open] = useState(false);
  // The frame or the request to try, in an object of its own each time.
  const [tried, setTried] = useState({});
  const tryIt = useMemo(() => (what) => {
    setTried({ ...what });
    open(true);
  }, []);
  // The heading that the address names is there only now.
  useEffect(() => document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView(), []);
  return html`
    <${Navigation} />
    <${Content} tryIt=${tryIt} />
    ${isOpen ? html`<${Console} tried=${tried} close=${() => open(false)} />` : html`<button class="open-console primary" onClick=${() => open(true)}>Open the console</button>`}
  `;
}

render(html`<${Documents} />`, document.body);
