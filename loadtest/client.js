// Sends one request and takes down everything that its answer says.

import { check, sleep } from 'k6';
import http from 'k6/http';
import { Counter, Rate, Trend } from 'k6/metrics';

import { answers, cacheCounts, rightShape, timings } from './answers.js';

// k6 holds a threshold on a rate without samples to be kept, and has none on their number: they are counted beside it.
class CountedRate {
  constructor(name) {
    this.rate = new Rate(name);
    this.samples = new Counter(`${name}_samples`);
  }

  add(value) {
    this.rate.add(value);
    this.samples.add(1);
  }
}

const hitRate = new CountedRate('hit_rate');
const refused = new CountedRate('refused');
const improperRefusal = new CountedRate('improper_refusal');
const sameAnswer = new CountedRate('same_answer');
const checksDone = new Counter('checks_samples');
const sameModel = new Rate('same_model');
const durationAnswer = new Trend('duration_answer', true);
const durationHit = new Trend('duration_hit', true);
const durationMiss = new Trend('duration_miss', true);
const parts = {
  cache: new Trend('part_cache', true),
  queue: new Trend('part_queue', true),
  model: new Trend('part_model', true),
  outside: new Trend('part_outside', true),
};
const texts = {
  l1: new Counter('texts_l1'),
  l2: new Counter('texts_l2'),
  collapsed: new Counter('texts_collapsed'),
  model: new Counter('texts_model'),
};

const PRIME_TEXTS = 8;
const PRIME_TRIES = 20;
const PRIME_PAUSE_S = 2;
const TIMEOUT = '30s';
const HEADERS = { 'Content-Type': 'application/json' };

// What each model said about each hot text, as this virtual user heard it.
const heard = {};
let told = false;

function post({ baseUrl, headers }, asked, name) {
  const body = JSON.stringify({ text: asked });
  const sent = { ...HEADERS, ...headers };
  return http.post(`${baseUrl}/predict`, body, { headers: sent, timeout: TIMEOUT, tags: { name } });
}

export function checkService({ baseUrl, headers }) {
  const response = http.get(`${baseUrl}/health`, { headers, timeout: TIMEOUT, tags: { name: 'health' } });
  if (response.status === 401 || response.status === 403) {
    const asked = `mlapi at ${baseUrl} asks for an API key (status ${response.status})`;
    throw new Error(`${asked}: set API_KEY to one of its own`);
  }
  if (response.status !== 200) {
    const said = response.error || `status ${response.status}`;
    throw new Error(`no mlapi at ${baseUrl} (GET /health: ${said}); BASE_URL includes the root path, such as /project`);
  }
}

// A service that is busy when the test begins is asked again: how it answers under load is measured later.
function insist(service, asked) {
  let response = post(service, asked, 'prime');
  for (let tries = 1; response.status === 503 && tries < PRIME_TRIES; tries += 1) {
    sleep(Math.min(PRIME_PAUSE_S, Number(response.headers['Retry-After']) || PRIME_PAUSE_S));
    response = post(service, asked, 'prime');
  }
  return response;
}

// Asks for every hot text once, before anything is measured; returns which model said what, and when that was done.
export function prime(service, traffic) {
  const said = {};
  let digest = '';
  for (let start = 0; start < traffic.hot.length; start += PRIME_TEXTS) {
    const asked = traffic.hot.slice(start, start + PRIME_TEXTS);
    const response = insist(service, asked);
    const given = response.status === 200 ? answers(response.body) : null;
    if (!rightShape(given, asked.length)) {
      throw new Error(`the hot texts could not be asked for beforehand: status ${response.status} ${response.body}`);
    }
    digest = response.headers['Model-Digest'];
    asked.forEach((text, i) => {
      said[text] = JSON.stringify(given[i]);
    });
  }
  return { digest, said, ended: Date.now() };
}

export function send(service, request, primed) {
  const response = post(service, request.texts, 'predict');
  const isRefusal = response.status === 503;
  refused.add(isRefusal);
  improperRefusal.add(isRefusal && !/^[1-9]\d*$/.test(response.headers['Retry-After']));
  if (response.status !== 200) {
    if (!isRefusal) {
      tell(response);
    }
    return;
  }
  const given = answers(response.body);
  const counts = cacheCounts(response.headers['Cache-Status']);
  const shaped = check(response, {
    'the body is as documented': () => rightShape(given, request.texts.length),
    'Cache-Status accounts for every text': () => counts !== null && counts.total === request.texts.length,
    'Server-Timing, Model-Digest and X-Request-Id are there': ({ headers }) =>
      Boolean(headers['Server-Timing'] && headers['Model-Digest'] && headers['X-Request-Id']),
  });
  checksDone.add(1);
  takeTimes(response, counts);
  takeSources(counts, request.texts.length);
  if (shaped && request.hot) {
    compare(request.texts, given, response.headers['Model-Digest'], primed);
  }
}

// One failure of a virtual user stands for all that follow.
function tell(response) {
  if (!told) {
    told = true;
    console.error(`status ${response.status}: ${response.error || response.body}`);
  }
}

function takeSources(counts, asked) {
  if (counts === null) {
    // Unknown is not a hit: an answer whose headers were lost must not let the threshold pass.
    hitRate.add(false);
    return;
  }
  for (let i = 0; i < asked; i += 1) {
    hitRate.add(i < counts.l1 + counts.l2);
  }
  for (const source of Object.keys(texts)) {
    texts[source].add(counts[source]);
  }
}

function takeTimes(response, counts) {
  const duration = response.timings.duration;
  const hit = counts !== null && counts.collapsed + counts.model === 0;
  durationAnswer.add(duration);
  (hit ? durationHit : durationMiss).add(duration);
  const { cache, queue, model } = timings(response.headers['Server-Timing']);
  parts.cache.add(cache);
  parts.queue.add(queue);
  parts.model.add(model);
  parts.outside.add(Math.max(0, duration - cache - queue - model));
}

// A text's answer must not change as long as the model does not; a rollout may bring another one.
function compare(asked, given, digest, primed) {
  sameModel.add(digest === primed.digest);
  heard[digest] = heard[digest] || (digest === primed.digest ? { ...primed.said } : {});
  asked.forEach((text, i) => {
    const answer = JSON.stringify(given[i]);
    heard[digest][text] = heard[digest][text] || answer;
    sameAnswer.add(answer === heard[digest][text]);
  });
}
