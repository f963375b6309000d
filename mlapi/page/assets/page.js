// Sends the page's form without loading the page anew: the service writes the same result either way, and the key
// stays in its field. Without this module the form works as forms do.

const form = document.getElementById("ask");
const text = document.getElementById("text");
const count = document.getElementById("count");
const status = document.getElementById("status");
let waiting = null;

function result() {
  return document.getElementById("result");
}

function element(name, content, className) {
  const made = document.createElement(name);
  if (content) made.textContent = content;
  if (className) made.className = className;
  return made;
}

function showCount() {
  const characters = [...text.value].length;
  count.textContent = `, ${characters.toLocaleString("en")} so far`;
}

function addCopyButton() {
  const command = document.getElementById("command");
  if (!command || !navigator.clipboard) return;
  const button = element("button", "Copy the command");
  button.type = "button";
  button.addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(command.textContent);
      status.textContent = "The command was copied.";
    } catch {
      status.textContent = "The browser does not let this page copy.";
    }
  });
  command.after(button);
}

function show(section) {
  result().replaceWith(section);
  addCopyButton();
  status.textContent = section.querySelector("[data-said]")?.dataset.said ?? "";
  section.focus({ preventScroll: true });
  section.scrollIntoView({ block: "nearest" });
}

function showFailure(reason) {
  const section = element("section");
  section.id = "result";
  section.tabIndex = -1;
  section.setAttribute("aria-labelledby", "result-title");
  const card = element("div", "", "card problem");
  const title = element("h2", "No answer");
  title.id = "result-title";
  card.append(title, element("p", reason));
  card.dataset.said = `No answer. ${reason}`;
  section.append(card);
  show(section);
}

function addRoundTrip(section, milliseconds) {
  const time = section.querySelector("#time");
  if (time) time.textContent += `, ${milliseconds.toFixed(0)} ms with the way there and back`;
}

async function ask(submitter) {
  waiting?.abort();
  const mine = (waiting = new AbortController());
  const body = new URLSearchParams(new FormData(form, submitter));
  form.setAttribute("aria-busy", "true");
  status.textContent = "Asking.";
  const started = performance.now();
  try {
    const answer = await fetch(form.action, { method: "POST", body, signal: mine.signal, credentials: "omit" });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const section = page.getElementById("result");
    if (mine !== waiting) return;
    if (!section) {
      showFailure(`What answered is not this service (HTTP ${answer.status}).`);
      return;
    }
    addRoundTrip(section, performance.now() - started);
    document.getElementById("models")?.replaceWith(page.getElementById("models") ?? "");
    show(document.importNode(section, true));
  } catch (error) {
    if (error.name !== "AbortError") showFailure("The service cannot be reached. Is it still running?");
  } finally {
    if (mine === waiting) form.removeAttribute("aria-busy");
  }
}

form.addEventListener("submit", (event) => {
  event.preventDefault();
  ask(event.submitter);
});
text.addEventListener("input", showCount);
text.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit(form.querySelector("button.main"));
});
showCount();
addCopyButton();
