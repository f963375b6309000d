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
    for (const parameter of operation.parameters ?? []) if (!parameter.required) leaveEmpty(parameter);
  }
  const ui = window.SwaggerUIBundle({
    spec,
    dom_id: "#documentation",
    deepLinking: true,
    validatorUrl: null,
    onComplete: () => key && ui.preauthorizeApiKey("bearer", key),
  });
}

// The viewer fills in examples and defaults. An example of a digest is no digest of the model that is served, and an
// option may be taken only together with another one: what nobody has chosen is not sent.
function leaveEmpty(parameter) {
  delete parameter.example;
  const { default: usual, ...schema } = parameter.schema;
  if (usual === undefined) return;
  parameter.schema = schema;
  parameter.description = `${parameter.description} Default: \`${usual}\`.`;
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
