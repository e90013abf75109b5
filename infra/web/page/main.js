// The page: signs a user in with a development token, and shows their conversations. It reaches the service only through the
// client.

import { html, render, useState } from "../vendor/preact-htm.js";
import { Chat } from "./chat.js";
import { forgetTexts } from "./drafts.js";
import { idOf } from "./words.js";

function App() {
  const [person, setPerson] = useState(() => JSON.parse(sessionStorage.getItem("person") ?? "null"));
  const signIn = (person) => {
    sessionStorage.setItem("person", JSON.stringify(person));
    setPerson(person);
  };
  /** Everything of a person goes with them. */
  const signOut = () => {
    forgetTexts(person.user);
    sessionStorage.clear();
    history.replaceState(null, "", location.pathname);
    document.title = "Switchboard";
    setPerson(null);
  };
  return person ? html`<${Chat} key=${person.user} person=${person} signOut=${signOut} />` : html`<${SignIn} signIn=${signIn} />`;
}

function SignIn({ signIn }) {
  const submit = (event) => {
    event.preventDefault();
    const name = new FormData(event.target).get("name").trim();
    if (name) signIn({ user: idOf(name), name });
  };
  return html`
    <main class="sign-in">
      <form onSubmit=${submit}>
        <img src="icon.svg" alt="" width="48" height="48" />
        <h1>Switchboard</h1>
        <p>Sign in as anyone. Open a second window as somebody else, and talk to yourself.</p>
        <label for="name">Your name</label>
        <input id="name" name="name" autocomplete="nickname" required autofocus maxlength="128" dir="auto" placeholder="Alice" />
        <button class="primary">Sign in</button>
        <p class="aside"><a href="docs/">Documents: the protocol, the HTTP API, guides and a console</a></p>
      </form>
    </main>
  `;
}

render(html`<${App} />`, document.body);
