// The built client against a running service, and in trouble against a server of our own. Run by
// tests/clients/test_typescript_client.py, which says by environment variables where the service is.

import assert from "node:assert/strict";
import { createServer } from "node:http";
import { test } from "node:test";
import { ApiError, Classifier, ConnectionFailedError, TimedOutError, UnexpectedAnswerError } from "../dist/index.js";

const { SERVICE_URL, KEYED_URL, API_KEY } = process.env;
const TEXTS = Array.from({ length: 57 }, (_, number) => `text number ${number}, which is good`);

async function told(text) {
  const answer = await fetch(`${SERVICE_URL}/project/predict`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ text }),
  });
  return (await answer.json()).predictions[0];
}

async function collect(many) {
  const found = [];
  for await (const one of many) found.push(one);
  return found;
}

test("it gives the service's answer", async () => {
  const classifier = new Classifier(`${SERVICE_URL}/project/`);
  const { digest, labels } = await classifier.model();
  for (const text of ["good", "Ünïcode “quotes” 🎬", "  \n two  lines \n"]) {
    const prediction = await classifier.classify(text);
    assert.deepEqual(prediction.scores, await told(text));
    assert.equal(prediction.modelDigest, digest);
    assert.ok(labels.includes(prediction.label));
    assert.equal(prediction.details, undefined);
  }
  const { details } = await classifier.classify("good", { detail: true });
  assert.equal(details.cache, "l1");
});

test("many texts come in their order, whatever the service takes at a time", async () => {
  const expected = await Promise.all(TEXTS.map(told));
  const classifier = new Classifier(`${SERVICE_URL}/project`);
  for (const [chunk, concurrency] of [[1, 1], [4, 3], [10, 2], [64, 4], [1000, 1]]) {
    const found = await collect(classifier.classifyMany(TEXTS, { chunk, concurrency }));
    assert.deepEqual(found.map((one) => one.scores), expected);
  }
  async function* stream() {
    yield* TEXTS;
  }
  assert.equal((await collect(classifier.classifyMany(stream()))).length, TEXTS.length);
  assert.deepEqual(await collect(classifier.classifyMany([])), []);
});

test("what else may be wished is the service's", async () => {
  const classifier = new Classifier(`${SERVICE_URL}/project`);
  const long = "so far. ".repeat(300);
  for (const [options, query] of [
    [{ topK: 1 }, "top_k=1"],
    [{ scores: "logits", threshold: -9, topK: 2 }, "scores=logits&threshold=-9&top_k=2"],
    [{ long: "windows", combine: "max" }, "long=windows&combine=max"],
  ]) {
    const answer = await fetch(`${SERVICE_URL}/project/predict?${query}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({ text: long }),
    });
    const expected = (await answer.json()).predictions[0];
    assert.deepEqual((await classifier.classify(long, options)).scores, expected);
    const [streamed] = await collect(classifier.classifyStream([long], options));
    assert.deepEqual(streamed.scores, expected);
  }
  const none = await classifier.classify("good", { threshold: 1 });
  assert.deepEqual([none.label, none.score, none.scores], ["", 0, []]);
  const [tokens] = await classifier.tokenize(["a good one"]);
  assert.ok(tokens.tokens.includes("good") && tokens.ids.length === tokens.tokens.length);
  const explained = await classifier.explain("a good one");
  assert.deepEqual(explained.spans.map((span) => span.text), ["a", "good", "one"]);
  const other = (await classifier.model()).labels.find((label) => label !== explained.label);
  assert.equal((await classifier.explain("a good one", other)).label, other);
});

test("a stream answers in order, more than both sides hold, while texts are made", async () => {
  const classifier = new Classifier(`${SERVICE_URL}/project`);
  const many = Array.from({ length: 3000 }, (_, number) => `streamed text ${number}`);
  const found = await collect(classifier.classifyStream(many));
  assert.equal(found.length, many.length);
  const some = await collect(classifier.classifyMany(many.filter((_, number) => number % 300 === 0)));
  assert.deepEqual(found.filter((_, number) => number % 300 === 0).map((one) => one.scores), some.map((one) => one.scores));
  let next;
  async function* one_by_one() {
    for (let number = 0; number < 3; number++) {
      const turn = new Promise((resolve) => (next = resolve));
      yield `one after the other ${number}`;
      await turn;
    }
  }
  let answered = 0;
  for await (const one of classifier.classifyStream(one_by_one())) {
    assert.ok(one.label);
    answered++;
    next();
  }
  assert.equal(answered, 3);
});

test("a bad text of a stream stands in its place, or ends it", async () => {
  const classifier = new Classifier(`${SERVICE_URL}/project`);
  const kept = await collect(classifier.classifyStream(["good", "", "fine"], { returnErrors: true }));
  assert.deepEqual(kept.map((one) => one instanceof ApiError && one.text), [false, 1, false]);
  await assert.rejects(collect(classifier.classifyStream(["good", "", "fine"])), { status: 422, text: 1 });
  await assert.rejects(collect(classifier.classifyStream(["good", 1])), TypeError);
  await assert.rejects(collect(new Classifier(`${SERVICE_URL}/nowhere`).classifyStream(["good"])), { status: 404 });
  await assert.rejects(collect(new Classifier(`${KEYED_URL}/project`).classifyStream(["good"])), { status: 401 });
  await assert.rejects(collect(new Classifier("http://127.0.0.1:9/project").classifyStream(["good"])), ConnectionFailedError);
});

test("an endless source is read a few chunks ahead, and told when nobody reads on", async () => {
  let taken = 0;
  let ended = false;
  function* endless() {
    try {
      for (;;) yield `endless ${taken++}`;
    } finally {
      ended = true;
    }
  }
  for await (const one of new Classifier(`${SERVICE_URL}/project`).classifyMany(endless(), { chunk: 5, concurrency: 2 })) {
    assert.ok(one.label);
    break;
  }
  assert.ok(taken <= 20 && ended);
});

test("a bad text is named by its number among all", async () => {
  const classifier = new Classifier(`${SERVICE_URL}/project`);
  const texts = [...TEXTS.slice(0, 23), "", "last"];
  await assert.rejects(collect(classifier.classifyMany(texts, { chunk: 10 })), (error) => {
    return error instanceof ApiError && error.text === 23 && error.code === "invalid_request" && error.status === 422;
  });
  const long = ["long ".repeat(300), "long ".repeat(300), "long ".repeat(300)];
  assert.equal((await collect(classifier.classifyMany(long, { chunk: 10 }))).length, 3);
  await assert.rejects(collect(classifier.classifyMany([...long, "very long ".repeat(1000)])), { status: 413, text: 3 });
  await assert.rejects(classifier.classify("good ".repeat(600), { truncate: false }), { code: "text_too_long" });
});

test("an opinion is taken", async () => {
  const classifier = new Classifier(`${SERVICE_URL}/project`);
  const answer = await classifier.classify("an opinion of TypeScript's", { detail: true });
  assert.equal(await classifier.feedback(answer, "NEGATIVE"), "created");
  assert.equal(await classifier.feedback(answer.details.id, "NEGATIVE"), "unchanged");
  await assert.rejects(classifier.feedback(answer, "NO SUCH LABEL"), { status: 422 });
});

test("one model answers, or none", async () => {
  const { digest } = await new Classifier(`${SERVICE_URL}/project`).model();
  const same = new Classifier(`${SERVICE_URL}/project`, { modelDigest: digest.slice(0, 12) });
  assert.equal((await same.classify("good")).modelDigest, digest);
  const another = new Classifier(`${SERVICE_URL}/project`, { modelDigest: "0".repeat(12) });
  await assert.rejects(another.classify("good"), { code: "model_mismatch" });
});

test("keys are sent, asked for anew, and never shown", async () => {
  const url = `${KEYED_URL}/project`;
  await assert.rejects(new Classifier(url).classify("good"), { status: 401, code: "unauthorized" });
  const keys = ["mlapi_wrong", API_KEY];
  const classifier = new Classifier(url, { key: async () => keys.shift() });
  await assert.rejects(classifier.classify("good"), (error) => error.status === 401 && !String(error).includes("wrong"));
  assert.ok((await classifier.classify("good")).label);
  for (const key of ["", "two words", "line\nend", "ключ"]) {
    await assert.rejects(new Classifier(url, { key }).classify("good"), (error) => !key || !error.message.includes(key));
  }
});

test("what is no call is refused here", async () => {
  for (const url of ["", "localhost:8000/project", "ftp://host/x", "http://u:p@host/x", "http://host/x?key=k"]) {
    assert.throws(() => new Classifier(url), TypeError);
  }
  const classifier = new Classifier(`${SERVICE_URL}/project`);
  await assert.rejects(classifier.classify(undefined), TypeError);
  await assert.rejects(collect(classifier.classifyMany("one text")), TypeError);
  await assert.rejects(collect(classifier.classifyMany([], { chunk: 0 })), RangeError);
  assert.throws(() => new Classifier("http://host/x", { retrying: { timeout: 1 } }), RangeError);
  assert.throws(() => new Classifier("http://host/x", { retrying: { deadlineMs: Number.NaN } }), RangeError);
});

const GOOD = { predictions: [[{ label: "POSITIVE", score: 0.75 }]] };

/** Serve these answers one after the other, the last one for ever; returns what the client did. */
async function scripted(answers, options, use = (classifier) => classifier.classify("good")) {
  let asked = 0;
  let now = 0;
  const pauses = [];
  const server = createServer((request, response) => {
    request.resume();
    const [status, headers, content] = answers[Math.min(asked++, answers.length - 1)];
    if (status === 0) request.socket.destroy();
    else if (status > 0) {
      response.writeHead(status, headers).end(typeof content === "string" ? content : JSON.stringify(content));
    }
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const classifier = new Classifier(`http://127.0.0.1:${server.address().port}/project`, {
    now: () => now,
    random: () => 0.5,
    pause: async (milliseconds) => {
      pauses.push(milliseconds);
      now += milliseconds;
    },
    ...options,
  });
  try {
    const outcome = await use(classifier).catch((error) => error);
    return { asked, pauses, outcome };
  } finally {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  }
}

test("what may pass is tried again, after the pause that the service asks for", async () => {
  const busy = [503, { "retry-after": "3" }, { code: "overloaded", detail: "busy", retryable: true }];
  const done = await scripted([busy, [0], [502, {}, "<html>"], [200, {}, GOOD]], {});
  assert.equal(done.outcome.label, "POSITIVE");
  assert.deepEqual([done.asked, done.pauses], [4, [3050, 100, 200]]);
});

test("what stays wrong is not", async () => {
  for (const answer of [
    [504, {}, { code: "not_cached", detail: "no", retryable: false }],
    [500, {}, "broken"],
    [404, {}, ""],
    [302, { location: "http://127.0.0.1:1/" }, ""],
  ]) {
    const done = await scripted([answer], {});
    assert.ok(done.outcome instanceof ApiError, String(done.outcome));
    assert.deepEqual([done.asked, done.pauses], [1, []]);
  }
  for (const content of ["<html>log in</html>", { predictions: [] }, { predictions: [[]] }, { predictions: [[{}]] }, null]) {
    const done = await scripted([[200, {}, content]], {});
    assert.ok(done.outcome instanceof UnexpectedAnswerError, String(done.outcome));
  }
});

test("the deadline and the budget end it", async () => {
  const late = [429, { "retry-after": "40000" }, { code: "quota_exceeded", detail: "used up", retryable: true }];
  assert.equal((await scripted([late], {})).asked, 1);
  const busy = [503, { "retry-after": "4" }, ""];
  assert.equal((await scripted([busy], { retrying: { deadlineMs: 10_000 } })).asked, 3);
  assert.equal((await scripted([[503, {}, ""]], { retrying: { deadlineMs: 1e9, reserve: 4 } })).asked, 5);
});

test("an attempt that hangs is ended, and so is one that nobody wants any more", async () => {
  const hanging = await scripted([[-1]], { retrying: { timeoutMs: 50, reserve: 0 }, now: () => performance.now() });
  assert.ok(hanging.outcome instanceof TimedOutError);
  const unwanted = new AbortController();
  const left = await scripted([[-1]], {}, (classifier) => {
    const asking = classifier.classify("good", { signal: unwanted.signal });
    unwanted.abort(new Error("not any more"));
    return asking;
  });
  assert.equal(left.outcome.message, "not any more");
  const gone = new Classifier("http://127.0.0.1:1/project", { retrying: { reserve: 0 } });
  await assert.rejects(gone.classify("good"), ConnectionFailedError);
});
