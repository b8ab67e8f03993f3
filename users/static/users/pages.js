"use strict";
// The secret leaves the address bar (and so the history, a shared screen, a copied address) before anything else happens.
const given = new URLSearchParams(location.hash.slice(1));
const token = given.get("token") ?? given.get("key");
if (location.hash) history.replaceState(null, "", location.pathname + location.search);

const language = document.documentElement.lang;
const words = document.body.dataset;
const status = document.getElementById("status");
const act = document.getElementById("act");
const ask = document.getElementById("ask");

function say(text, kind) {
  status.textContent = text;
  status.dataset.kind = kind;
  status.hidden = !text;
  if (text) status.focus();
}

function mark(input, text) {
  const note = document.getElementById(`${input.id}-error`);
  if (note) note.textContent = text;
  if (text) input.setAttribute("aria-invalid", "true");
  else input.removeAttribute("aria-invalid");
}

function fields(form) {
  return [...form.querySelectorAll("input[name]")];
}

/** Show the errors at their fields; return what belongs to no field. */
function spread(form, errors) {
  const rest = [];
  for (const [name, list] of Object.entries(errors)) {
    const text = list.map((error) => error.message).join("\n");
    const input = form.elements.namedItem(name);
    if (input) mark(input, text);
    else rest.push(text);
  }
  form.querySelector("[aria-invalid]")?.focus();
  return rest.join("\n");
}

function incomplete(form) {
  let wrong = false;
  for (const input of fields(form)) {
    const text = input.value ? "" : words.missing;
    mark(input, text);
    wrong ||= Boolean(text);
  }
  const [first, second] = ["new_password", "new_password_confirm"].map((name) => form.elements.namedItem(name));
  if (!wrong && first && first.value !== second.value) {
    mark(second, words.differs);
    wrong = true;
  }
  if (wrong) form.querySelector("[aria-invalid]").focus();
  return wrong;
}

async function send(form, secret) {
  const body = Object.fromEntries(fields(form).map((input) => [input.name, input.value]));
  if (secret) body.token = secret;
  const response = await fetch(form.dataset.path, {
    method: "POST",
    credentials: "omit",
    cache: "no-store",
    referrerPolicy: "no-referrer",
    headers: { "Content-Type": "application/json", Accept: "application/json", "Accept-Language": language },
    body: JSON.stringify(body),
  });
  return { ok: response.ok, answer: await response.json().catch(() => ({})) };
}

function submits(form, secret) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (incomplete(form)) return;
    const button = form.querySelector("button");
    button.disabled = true;
    say("", "");
    try {
      const { ok, answer } = await send(form, secret);
      if (ok) {
        form.reset();
        act.hidden = ask.hidden = true;
        lead(form.dataset.lead);
        say(form.dataset.done || answer.detail, "good");
      } else if (answer.code === "invalid_or_expired_token" || answer.errors?.token) {
        act.hidden = true;
        ask.hidden = false;
        lead("reset");
        say(answer.code === "validation_error" ? answer.errors.token[0].message : answer.detail, "bad");
      } else {
        const rest = answer.errors ? spread(form, answer.errors) : answer.detail;
        if (rest || !answer.errors) say(rest || words.offline, "bad");
      }
    } catch {
      say(words.offline, "bad");
    } finally {
      button.disabled = false;
    }
  });
}

/** Show where to go from here, once there is nothing more to do on this page. */
function lead(more) {
  document.getElementById("lead").classList.add("next");
  if (more) document.getElementById(more)?.removeAttribute("hidden");
}

for (const form of act.matches("form") ? [act] : act.querySelectorAll("form")) submits(form, token);
if (ask.matches("form")) submits(ask, null);
act.hidden = !token;
ask.hidden = Boolean(token);
if (!token) document.getElementById("reset")?.removeAttribute("hidden");
// The button that was clicked in the mail is the one to press here; nothing is sent before that.
if (token) act.querySelector(`[value="${CSS.escape(given.get("answer") ?? "")}"] ~ button`)?.focus();

document.getElementById("show")?.addEventListener("change", (event) => {
  for (const input of act.querySelectorAll("#new_password, #new_password_confirm")) {
    input.type = event.target.checked ? "text" : "password";
  }
});

// Another language is another page: hand the secret on in the fragment, which again no server sees.
for (const link of document.querySelectorAll("a[data-keep]")) {
  if (token) link.href += `#${given}`;
}
