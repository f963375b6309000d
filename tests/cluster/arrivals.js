// Steady arrivals at one URL, one text a request; each answer is one sample of the metric `answer`.
import http from 'k6/http';
import exec from 'k6/execution';
import { sleep } from 'k6';
import { Trend } from 'k6/metrics';

const rate = Number(__ENV.RATE);
const missShare = Number(__ENV.MISS_SHARE);
const missWords = Number(__ENV.MISS_WORDS);
const retries = Number(__ENV.RETRIES || 0);
const knownTexts = 50;
const answer = new Trend('answer', true);

export const options = {
  scenarios: {
    steady: {
      executor: 'constant-arrival-rate',
      rate,
      timeUnit: '1s',
      duration: __ENV.DURATION,
      preAllocatedVUs: rate,
      maxVUs: 4 * rate,
      gracefulStop: '20s',
    },
  },
};

// unseen makes a text that no request before it had.
function unseen(number) {
  const words = [`run ${__ENV.SEED} request ${number}`];
  for (let times = 0; times < missWords; times += 1) words.push('and it goes on');
  return words.join(' ');
}

// What throws adds no sample, and what has no sample is no failure: whatever comes, this says yes or no.
function isPrediction(response) {
  try {
    const [scores, ...more] = response.json('predictions');
    return response.status === 200 && !more.length && scores.length > 1 && scores.every(({ score }) => score >= 0);
  } catch {
    return false;
  }
}

// What got no answer at all is asked once more, where a test says that its clients do so.
function ask(text) {
  const headers = { 'Content-Type': 'application/json' };
  if (__ENV.HOST) headers.Host = __ENV.HOST;
  let response;
  for (let times = 0; ; times += 1) {
    response = http.post(__ENV.URL, JSON.stringify({ text: [text] }), { headers, timeout: '15s' });
    if (response.status !== 0 || times === retries) return [response, times];
    sleep(0.1);
  }
}

export default function () {
  const number = exec.scenario.iterationInTest;
  // The fractional part of number · share steps over a whole number in just this share of the cases.
  const miss = Math.floor((number + 1) * missShare) > Math.floor(number * missShare);
  const text = miss ? unseen(number) : `The film number ${number % knownTexts} was a pleasure.`;
  const [response, again] = ask(text);
  const good = isPrediction(response);
  answer.add(response.timings.duration, {
    good: String(good),
    known: String(!miss),
    again: String(again),
    model: response.headers['Model-Digest'] || '',
    cache: (response.headers['Cache-Status'] || '').includes('mlapi; hit') ? 'hit' : 'miss',
    said: good ? '' : `${response.status} ${response.error} ${response.body}`.slice(0, 300),
  });
}
