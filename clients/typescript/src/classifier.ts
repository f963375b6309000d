/** The client of one model, over `fetch`: for Node, browsers, and whatever else has that. */

import {
  ApiError,
  ConnectionFailedError,
  MlapiError,
  type Problem,
  TimedOutError,
  UnexpectedAnswerError,
} from "./errors.js";
import type { components } from "./openapi.js";
import { Attempts, Budget, type Retrying, readRetryAfter, readRetrying } from "./retrying.js";

type PredictResponse = components["schemas"]["PredictResponse"];
export type Details = components["schemas"]["TextDetail"];
export type LabelScore = components["schemas"]["RankedLabel"];
export type Model = components["schemas"]["ModelInfo"];

/** The answer to one text: the label with the highest score, all of them, and, if asked for, how it was answered. */
export interface Prediction {
  label: string;
  score: number;
  scores: LabelScore[];
  modelDigest: string;
  details?: Details;
}

/** What became of an opinion. */
export type OpinionStatus = "created" | "replaced" | "unchanged";

export interface ClassifierOptions {
  /** The API key, or what returns the one that is valid now. */
  key?: string | (() => string | Promise<string>);
  /** The only model that may answer: its digest, or the first 12 or more digits of it. */
  modelDigest?: string;
  retrying?: Partial<Retrying>;
  fetch?: typeof fetch;
  /** Tells milliseconds. */
  now?: () => number;
  pause?: (milliseconds: number, signal: AbortSignal | undefined) => Promise<void>;
  random?: () => number;
}

export interface ClassifyOptions {
  /** Also say where an answer came from, how many tokens the text has, and its id for feedback. */
  detail?: boolean;
  /** Cut texts that are longer than the model reads (the default); else they are refused. */
  truncate?: boolean;
  /** Whether the service may keep the answers in its cache (the default). */
  store?: boolean;
  signal?: AbortSignal;
}

export interface ManyOptions extends ClassifyOptions {
  /** Texts in one request; fewer where the service takes fewer. */
  chunk?: number;
  /** Requests under way together. */
  concurrency?: number;
}

interface Outgoing {
  method: "GET" | "POST";
  path: string;
  headers?: Record<string, string>;
  content?: unknown;
  signal?: AbortSignal | undefined;
}

interface Reply {
  headers: Headers;
  content: unknown;
}

export class Classifier {
  private readonly url: string;
  private readonly options: ClassifierOptions;
  private readonly retrying: Readonly<Retrying>;
  private readonly budget: Budget;
  private readonly now: () => number;

  /** @param url of the model, such as https://host/project */
  constructor(url: string, options: ClassifierOptions = {}) {
    const parsed = URL.canParse(url) ? new URL(url) : undefined;
    if (!parsed || !/^https?:$/.test(parsed.protocol) || parsed.search || parsed.hash || parsed.username) {
      throw new TypeError("the URL must be like https://host/project, without a query, a fragment or a password");
    }
    this.url = url.replace(/\/+$/, "");
    this.options = options;
    this.retrying = readRetrying(options.retrying ?? {});
    this.budget = new Budget(this.retrying);
    this.now = options.now ?? (() => performance.now());
  }

  /** Classify one text. */
  async classify(text: string, options: ClassifyOptions = {}): Promise<Prediction> {
    const [prediction] = await this.predict("predict", [text], options);
    return prediction as Prediction;
  }

  /**
   * Classify any number of texts; yields the answers in their order, as they come.
   *
   * @param texts taken a few chunks ahead of the answers, so that they may be a stream of any length
   */
  async *classifyMany(
    texts: Iterable<string> | AsyncIterable<string>,
    options: ManyOptions = {},
  ): AsyncGenerator<Prediction, void, undefined> {
    const { chunk = 64, concurrency = 4 } = options;
    if (typeof texts === "string") throw new TypeError("one text is classified by `classify`; this takes several");
    if (!(chunk >= 1) || !(concurrency >= 1)) throw new RangeError("chunk and concurrency are at least 1");
    const stop = new AbortController();
    const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal;
    const size = { most: Math.floor(chunk) };
    const source = Symbol.asyncIterator in texts ? texts[Symbol.asyncIterator]() : texts[Symbol.iterator]();
    const underWay: Promise<Prediction[]>[] = [];
    let first = 0;
    let more = true;
    try {
      while (more || underWay.length > 0) {
        while (more && underWay.length < concurrency) {
          const taken: string[] = [];
          while (taken.length < size.most) {
            const next = await source.next();
            if (next.done) {
              more = false;
              break;
            }
            taken.push(next.value);
          }
          if (taken.length === 0) break;
          const answers = this.chunk(taken, first, size, { ...options, signal });
          // It is looked at when its turn comes; until then a failure of it is nobody's yet.
          answers.catch(() => undefined);
          underWay.push(answers);
          first += taken.length;
        }
        const answers = underWay.shift();
        if (answers) yield* await answers;
      }
    } finally {
      stop.abort();
      if (more) await source.return?.();
    }
  }

  /** Say what a text is in your opinion, of a prediction with details or its id. */
  async feedback(
    answer: Prediction | string,
    label: string,
    more: { text?: string; consent?: boolean; comment?: string; signal?: AbortSignal } = {},
  ): Promise<OpinionStatus> {
    const id = typeof answer === "string" ? answer : answer.details?.id;
    if (id === undefined) throw new TypeError("this prediction has no id: ask with { detail: true }");
    const { signal, ...given } = more;
    const reply = await this.send({ method: "POST", path: "feedback", content: { id, label, ...given }, signal });
    const taken = reply.content as { feedback?: { status?: OpinionStatus }[] } | null;
    const status = taken?.feedback?.[0]?.status;
    if (!status) throw new UnexpectedAnswerError("an answer that says nothing of the opinion", false);
    return status;
  }

  /** Return which model is served. */
  async model(signal?: AbortSignal): Promise<Model> {
    const { content } = await this.send({ method: "GET", path: "model", signal });
    if (typeof (content as Model | null)?.digest !== "string") {
      throw new UnexpectedAnswerError("an answer that names no model", false);
    }
    return content as Model;
  }

  /** Ask for one chunk, in as many requests as it takes: what is too large together is sent apart. */
  private async chunk(
    texts: string[],
    first: number,
    size: { most: number },
    options: ClassifyOptions,
  ): Promise<Prediction[]> {
    try {
      return await this.predict("bulk-predict", texts, options);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.status !== 413 || texts.length === 1) {
        const bad = texts.length === 1 && error.status === 413 ? 0 : error.badTexts[0];
        throw bad === undefined ? error : new ApiError(error.status, error.problem, error.retryAfterMs, first + bad);
      }
      const middle = texts.length >> 1;
      if (error.code === "batch_too_large") size.most = Math.max(1, Math.min(size.most, middle));
      const half = await this.chunk(texts.slice(0, middle), first, size, options);
      return [...half, ...(await this.chunk(texts.slice(middle), first + middle, size, options))];
    }
  }

  private async predict(path: string, texts: string[], options: ClassifyOptions): Promise<Prediction[]> {
    const wrong = texts.find((text) => typeof text !== "string");
    if (wrong !== undefined || texts.includes(undefined as unknown as string)) {
      throw new TypeError(`a text must be a string, not ${typeof wrong}`);
    }
    const query = new URLSearchParams();
    if (options.detail) query.set("detail", "true");
    if (options.truncate === false) query.set("truncate", "false");
    const { headers, content } = await this.send({
      method: "POST",
      path: query.size > 0 ? `${path}?${query}` : path,
      headers: options.store === false ? { "cache-control": "no-store" } : {},
      content: { text: texts },
      signal: options.signal,
    });
    return readPredictions(content, texts.length, headers.get("model-digest") ?? "");
  }

  /** Send a request until there is an answer; throw the last error when no further attempt is allowed. */
  private async send(outgoing: Outgoing): Promise<Reply> {
    const attempts = new Attempts(this.retrying, this.budget, this.now, this.options.random ?? Math.random);
    const pause = this.options.pause ?? pauseFor;
    for (;;) {
      try {
        return await this.attempt(outgoing, attempts.timeoutMs);
      } catch (error) {
        if (!(error instanceof MlapiError)) throw error;
        await pause(attempts.pauseAfter(error), outgoing.signal);
      }
    }
  }

  private async attempt(outgoing: Outgoing, timeoutMs: number): Promise<Reply> {
    const given = this.options.key;
    const key = typeof given === "function" ? await given() : given;
    const late = AbortSignal.timeout(Math.ceil(timeoutMs));
    const headers: Record<string, string> = { accept: "application/json", ...outgoing.headers };
    if (outgoing.content !== undefined) headers["content-type"] = "application/json";
    if (key !== undefined) {
      // What `fetch` says of a bad header quotes it.
      if (!/^[\x21-\x7e]+$/.test(key)) throw new TypeError("the API key is empty, or has characters that no key has");
      headers["authorization"] = `Bearer ${key}`;
    }
    if (this.options.modelDigest !== undefined) headers["model-digest"] = this.options.modelDigest;
    let response: Response;
    let body: string;
    try {
      response = await (this.options.fetch ?? fetch)(`${this.url}/${outgoing.path}`, {
        method: outgoing.method,
        headers,
        body: outgoing.content === undefined ? null : JSON.stringify(outgoing.content),
        // A key goes to no other host.
        redirect: "manual",
        credentials: "omit",
        signal: outgoing.signal ? AbortSignal.any([outgoing.signal, late]) : late,
      });
      body = await response.text();
    } catch (error) {
      throw failure(error, outgoing.signal, late, timeoutMs);
    }
    const content = parse(body);
    if (!response.ok) throw refusal(response, content);
    if (content === undefined) throw new UnexpectedAnswerError(`HTTP ${response.status} with a body that is no JSON`, false);
    return { headers: response.headers, content };
  }
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

function refusal(response: Response, content: unknown): ApiError {
  const said = content as Partial<Problem> | null | undefined;
  const problem = typeof said?.code === "string" && typeof said.detail === "string" ? (said as Problem) : undefined;
  return new ApiError(response.status, problem, readRetryAfter(response.headers.get("retry-after"), Date.now()));
}

/** Return what a failed attempt is called: the caller's own abort is the caller's, and no failure. */
function failure(error: unknown, own: AbortSignal | undefined, late: AbortSignal, timeoutMs: number): unknown {
  if (own?.aborted) return own.reason;
  if (late.aborted) return new TimedOutError(`no answer in ${Math.ceil(timeoutMs)} ms`, true, { cause: error });
  if (!(error instanceof TypeError)) return error;
  const cause = error.cause; // of which browsers say nothing
  return new ConnectionFailedError(cause instanceof Error ? cause.message : error.message, true, { cause: error });
}

function readPredictions(content: unknown, texts: number, modelDigest: string): Prediction[] {
  const { predictions, details } = (content ?? {}) as Partial<PredictResponse>;
  const whole =
    Array.isArray(predictions) && predictions.length === texts && (details == null || details.length === texts);
  if (!whole) throw new UnexpectedAnswerError(`no answer to ${texts} texts`, false);
  return predictions.map((scores, place) => {
    const best = scores[0];
    if (typeof best?.label !== "string" || typeof best.score !== "number") {
      throw new UnexpectedAnswerError("an answer without labels", false);
    }
    const own = details?.[place];
    return { label: best.label, score: best.score, scores, modelDigest, ...(own ? { details: own } : {}) };
  });
}

function pauseFor(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted) return reject(signal.reason as Error);
    const timer = setTimeout(finish, milliseconds);
    function finish(): void {
      signal?.removeEventListener("abort", stop);
      resolve();
    }
    function stop(): void {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    }
    signal?.addEventListener("abort", stop, { once: true });
  });
}
