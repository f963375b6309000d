// Writes src/openapi.ts out of ../../docs/openapi.json: the part that this client speaks. `npm run types`; with the
// argument `--check` it writes nothing, and fails if the file is another one.

import { readFileSync, writeFileSync } from "node:fs";
import openapiTS, { astToString } from "openapi-typescript";

const ROUTES = ["predict", "bulk-predict", "tokenize", "explain", "model"];
const PATHS = ROUTES.map((name) => `/project/${name}`);
const target = new URL("src/openapi.ts", import.meta.url);
const document = JSON.parse(readFileSync(new URL("../../docs/openapi.json", import.meta.url), "utf8"));

function referred(value, found) {
  if (Array.isArray(value)) value.forEach((item) => referred(item, found));
  else if (value !== null && typeof value === "object") {
    if (typeof value.$ref === "string" && !found.has(value.$ref)) {
      found.add(value.$ref);
      const [kind, name] = value.$ref.split("/").slice(-2);
      referred(document.components[kind][name], found);
    }
    Object.values(value).forEach((item) => referred(item, found));
  }
  return found;
}

const paths = Object.fromEntries(PATHS.map((path) => [path, document.paths[path]]));
const kept = referred(paths, new Set());
const components = {};
for (const kind of ["schemas", "responses"]) {
  const all = Object.entries(document.components[kind]);
  components[kind] = Object.fromEntries(all.filter(([name]) => kept.has(`#/components/${kind}/${name}`)));
}

const written =
  "// Generated from docs/openapi.json by `npm run types`; not to be changed by hand.\n\n" +
  astToString(await openapiTS({ openapi: document.openapi, info: document.info, paths, components }));

if (process.argv.includes("--check")) {
  if (readFileSync(target, "utf8") !== written) {
    console.error("src/openapi.ts is not what docs/openapi.json says: run `npm run types`");
    process.exit(1);
  }
} else {
  writeFileSync(target, written);
}
