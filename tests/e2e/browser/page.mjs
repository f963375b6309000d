// Looks at the page with Chromium, and writes what it saw as JSON. Arguments: the address of a service, that of one with
// keys, a key, that of one whose model is not loaded, that of one with the learning loop, and a folder for pictures.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [open, keyed, key, unready, learning, pictures, packages] = process.argv.slice(2);
const require = createRequire(pathToFileURL(`${packages}/`));
const { chromium } = require("playwright-core");
const axe = readFileSync(require.resolve("axe-core/axe.min.js"), "utf8");

const seen = { elsewhere: [], console: [], barriers: {}, overflow: {}, answers: {}, colours: {}, lines: {}, cells: {} };
const OWN = [open, keyed, unready, learning];
const EXPECTED = /the server responded with a status of (401|422|503)/;
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM,
  args: [
    ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
    ...["--disable-component-update", "--disable-sync"],
  ],
});

async function visit(address, options = {}) {
  const context = await browser.newContext({ viewport: { width: 360, height: 800 }, ...options });
  const page = await context.newPage();
  page.on("console", (message) => EXPECTED.test(message.text()) || seen.console.push(message.text()));
  page.on("pageerror", (error) => seen.console.push(String(error)));
  page.on("request", (request) => {
    const url = request.url();
    if (!url.startsWith("data:") && !OWN.some((own) => url.startsWith(own))) seen.elsewhere.push(url);
  });
  await page.goto(address);
  return page;
}

async function look(page, name) {
  await page.screenshot({ path: `${pictures}/${name}.png`, fullPage: true });
  await page.evaluate(axe);
  const found = await page.evaluate(() => window.axe.run());
  seen.barriers[name] = found.violations.map((violation) => `${violation.id}: ${violation.nodes[0].html}`);
  seen.overflow[name] = await page.evaluate(
    () => document.documentElement.scrollWidth - document.documentElement.clientWidth,
  );
  await page.context().close();
}

async function ask(page, text, wanted = "#result table") {
  await page.fill("#text", text);
  await page.click("button.main");
  await page.waitForSelector(wanted);
}

for (const colorScheme of ["light", "dark"]) {
  for (const width of [360, 1440]) {
    const page = await visit(`${open}/project/`, { colorScheme, viewport: { width, height: 900 } });
    await ask(page, "What a wonderful, moving film! The second half drags a little, though.");
    const name = `${colorScheme}-${width}`;
    seen.answers[name] = await page.textContent("#status");
    seen.colours[name] = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    await look(page, name);
  }
}

const long = await visit(`${open}/project/`, { viewport: { width: 1440, height: 900 } });
await ask(long, "A long and winding review. ".repeat(800).slice(0, 20_000));
await long.click("summary");
seen.long = await long.textContent("#result dl");
await look(long, "long");

for (const colorScheme of ["light", "dark"]) {
  const explained = await visit(`${open}/project/`, { colorScheme });
  await ask(explained, "A moving film with a dull, tedious second half that nobody needed. ".repeat(3));
  await explained.click("#result button[name=explain]");
  await explained.waitForSelector("#result h3");
  seen.marked = await explained.locator("#result mark").count();
  await look(explained, `explained-${colorScheme}`);
}

const tooLong = await visit(`${open}/project/`);
await ask(tooLong, "x".repeat(20_001), "#result .problem");
await look(tooLong, "too-long");

const keyboard = await visit(`${open}/project/`);
const focus = () => keyboard.evaluate(() => document.activeElement.id || document.activeElement.textContent.trim());
seen.keyboard = [];
const STEPS = [
  ["Tab"],
  ["Tab", "dull and tedious"],
  ["Tab"],
  ["Enter", "", "#result table"],
  ["Tab"],
  ["Space", "", "#result h3"],
  ["Tab"],
  ["Tab"],
  ["Space", "", "#result:has(strong):not(:has(h3))"],
];
for (const [key, typed, wanted] of STEPS) {
  await keyboard.keyboard.press(key);
  if (typed) await keyboard.keyboard.type(typed);
  if (wanted) await keyboard.waitForSelector(wanted);
  seen.keyboard.push(await focus());
}
await look(keyboard, "keyboard");

const plain = await visit(`${open}/project/`, { javaScriptEnabled: false });
await ask(plain, "No script\nwas needed <i>here</i>.");
await plain.click("#result button[value=POSITIVE]");
await plain.waitForSelector("#result strong");
seen.plain = [new URL(plain.url()).pathname, await plain.inputValue("#text"), await plain.textContent("#result strong")];
await plain.screenshot({ path: `${pictures}/plain.png`, fullPage: true });

const private_ = await visit(`${keyed}/project/`);
await private_.fill("#key", "mlapi_wrong");
await ask(private_, "good", "#result .problem");
await private_.fill("#key", key);
await ask(private_, "good");
seen.private = [private_.url().includes(key), (await private_.content()).includes(key), await private_.inputValue("#key")];
seen.kept = await private_.evaluate(() => localStorage.length + sessionStorage.length + document.cookie.length);
seen.links = await private_.locator("#models a").allTextContents();
await look(private_, "keyed");

const waiting = await visit(`${unready}/project/`);
seen.unready = await waiting.textContent("main [role=status]");
await look(waiting, "unready");

// Lines that the cells without sentences take; those of tables, and of what they are on a narrow screen.
const lines = () =>
  [...document.querySelectorAll("tbody [data-column]:not(.words)")].map((cell) => {
    const range = document.createRange();
    range.selectNodeContents(cell);
    return new Set([...range.getClientRects()].map((box) => Math.round(box.top))).size;
  });
for (const colorScheme of ["light", "dark"]) {
  for (const width of [360, 768, 1440]) {
    const page = await visit(`${learning}/learn`, { colorScheme, viewport: { width, height: 900 } });
    seen.lines[width] = await page.evaluate(lines);
    const [run] = await page.getByRole("row").filter({ hasText: "rejected" }).all();
    seen.cells[width] = [await page.getByRole("table").count(), await run.getByRole("cell").count()];
    await look(page, `learn-${colorScheme}-${width}`);
  }
}

const narrow = await visit(`${open}/project/docs`);
await narrow.waitForSelector(".opblock-tag small");
seen.narrowest = await narrow.evaluate(() =>
  Math.min(...[...document.querySelectorAll(".opblock-tag small")].map((part) => part.clientWidth)),
);
await narrow.screenshot({ path: `${pictures}/docs-narrow.png`, fullPage: true });
await narrow.context().close();

for (const [name, address, given] of [["docs", open, ""], ["docs-keyed", keyed, key]]) {
  const docs = await visit(`${address}/project/docs`, { viewport: { width: 1440, height: 900 } });
  if (given) {
    await docs.fill("#key", given);
    await docs.keyboard.press("Enter");
  }
  const operation = "#operations-predictions-predict";
  await docs.click(`${operation} .opblock-summary-control`);
  await docs.click(`${operation} .try-out__btn`);
  await docs.click(`${operation} .execute`);
  seen[name] = await docs.textContent(`${operation} .live-responses-table tbody .response-col_status`);
  await docs.screenshot({ path: `${pictures}/${name}.png` });
  await docs.context().close();
}

await browser.close();
process.stdout.write(JSON.stringify(seen));
