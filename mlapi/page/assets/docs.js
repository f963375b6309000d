// Shows the OpenAPI document, and sends the API key with what is tried out, if one was given.

const place = document.getElementById("documentation");
const problem = document.getElementById("problem");
const form = document.getElementById("key-form");

async function show(key) {
  problem.hidden = true;
  let answer;
  try {
    answer = await fetch(place.dataset.document, {
      credentials: "omit",
      headers: key ? { authorization: `Bearer ${key}` } : {},
    });
  } catch {
    return refuse("The service cannot be reached.");
  }
  const spec = await answer.json().catch(() => ({}));
  if (!answer.ok) return refuse(spec.detail ?? `The service answers ${answer.status}.`);
  for (const operation of Object.values(spec.paths).flatMap(Object.values)) {
    // The viewer would fill these in: an example of a digest is no digest of the model that is served.
    for (const parameter of operation.parameters ?? []) if (!parameter.required) delete parameter.example;
  }
  const ui = window.SwaggerUIBundle({
    spec,
    dom_id: "#documentation",
    deepLinking: true,
    validatorUrl: null,
    onComplete: () => key && ui.preauthorizeApiKey("bearer", key),
  });
}

function refuse(reason) {
  problem.textContent = reason;
  problem.hidden = false;
}

form?.addEventListener("submit", (event) => {
  event.preventDefault();
  show(document.getElementById("key").value.trim());
});
if (!form) show("");
