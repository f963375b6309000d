/** The client of one model, over `fetch`: for Node, browsers, and whatever else has that. */

import {
  type Explanation,
  failure,
  type Model,
  parse,
  type Prediction,
  readPredictions,
  refusal,
  type Tokens,
} from "./answers.js";
import { ApiError, ConnectionFailedError, MlapiError, type Problem, UnexpectedAnswerError } from "./errors.js";
import { linesOf, NDJSON, split } from "./lines.js";
import { Attempts, Budget, type Retrying, readRetrying } from "./retrying.js";

const NEVER = new AbortController().signal;

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
  /** How many labels there are in `scores` at most; all by default. */
  topK?: number;
  /** The lowest score in `scores`. */
  threshold?: number;
  /** `logits` are what the model says before its activation. */
  scores?: "probabilities" | "logits";
  /** `windows` answers a text that is longer than the model reads by its windows; in place of `truncate`. */
  long?: "truncate" | "windows" | "refuse";
  /** How the answer to a long text is made of those to its windows. */
  combine?: "mean" | "max";
  signal?: AbortSignal;
}

export interface StreamOptions extends ClassifyOptions {
  /** Yield the error in the place of a text that is not answered; by default it is thrown. */
  returnErrors?: boolean;
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

interface Sending {
  headers: Record<string, string>;
  body: string | ReadableStream<Uint8Array> | null;
  duplex?: "half";
  signal: AbortSignal;
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

  /**
   * Classify any number of texts over one connection, as lines; yields the answers in their order, as they come.
   *
   * Texts are taken as fast as the service reads, while answers are taken. Nothing is repeated: where the stream breaks,
   * those that were yielded are answered, and no others. Needs a `fetch` that reads while it sends, as Node's does;
   * those of browsers do not.
   */
  async *classifyStream(
    texts: Iterable<string> | AsyncIterable<string>,
    options: StreamOptions = {},
  ): AsyncGenerator<Prediction | ApiError, void, undefined> {
    if (typeof texts === "string") throw new TypeError("one text is classified by `classify`; this takes several");
    const stop = new AbortController();
    const sent = { texts: 0, all: false, fault: undefined as unknown };
    let answered = 0;
    let last: ApiError | undefined;
    try {
      const response = await this.fetch("POST", `bulk-predict${query(options)}`, {
        headers: { accept: NDJSON, "content-type": NDJSON, ...stored(options) },
        body: linesOf(texts, sent),
        duplex: "half",
        signal: options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal,
      });
      if (!response.ok || !response.body) throw refusal(response, parse(await response.text()));
      const digest = response.headers.get("model-digest") ?? "";
      for await (const line of split(response.body)) {
        if (last) {
          // Others follow, so it is about its own text alone.
          if (!options.returnErrors) throw last;
          yield last;
          last = undefined;
        }
        const content = parse(line);
        const error = (content as { error?: Problem & { retry_after?: number } } | undefined)?.error;
        if (error) {
          const pauseMs = error.retry_after === undefined ? undefined : error.retry_after * 1000;
          last = new ApiError(error.status, error, pauseMs, answered);
        } else {
          yield readPredictions(content, 1, digest, options.threshold !== undefined)[0] as Prediction;
        }
        answered += 1;
      }
    } catch (error) {
      if (sent.fault !== undefined) throw sent.fault;
      throw error instanceof MlapiError ? error : failure(error, options.signal, NEVER, 0);
    } finally {
      stop.abort();
    }
    const whole = sent.all && answered === sent.texts;
    if (last) {
      if (!options.returnErrors || !whole) throw last;
      yield last;
    } else if (!whole) {
      throw new ConnectionFailedError(`the stream ended after ${answered} answers`, true);
    }
  }

  /** Return how the model reads each of some texts; it is not asked for an answer. */
  async tokenize(texts: string[], signal?: AbortSignal): Promise<Tokens[]> {
    const { content } = await this.send({ method: "POST", path: "tokenize", content: { text: texts }, signal });
    const found = (content as { texts?: Tokens[] } | null)?.texts;
    if (found?.length !== texts.length) throw new UnexpectedAnswerError(`no answer to ${texts.length} texts`, false);
    return found;
  }

  /** Return which words of a text speak for a label, the best one if none is named. */
  async explain(text: string, label?: string, signal?: AbortSignal): Promise<Explanation> {
    const path = label === undefined ? "explain" : `explain?${new URLSearchParams({ label })}`;
    const { content } = await this.send({ method: "POST", path, content: { text }, signal });
    if (!Array.isArray((content as Explanation | null)?.spans)) {
      throw new UnexpectedAnswerError("an answer that explains nothing", false);
    }
    return content as Explanation;
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
    const { headers, content } = await this.send({
      method: "POST",
      path: `${path}${query(options)}`,
      headers: stored(options),
      content: { text: texts },
      signal: options.signal,
    });
    return readPredictions(content, texts.length, headers.get("model-digest") ?? "", options.threshold !== undefined);
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
    const late = AbortSignal.timeout(Math.ceil(timeoutMs));
    const headers: Record<string, string> = { accept: "application/json", ...outgoing.headers };
    if (outgoing.content !== undefined) headers["content-type"] = "application/json";
    let response: Response;
    let body: string;
    try {
      response = await this.fetch(outgoing.method, outgoing.path, {
        headers,
        body: outgoing.content === undefined ? null : JSON.stringify(outgoing.content),
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

  /** Send one request, with the key that is valid now. */
  private async fetch(method: string, path: string, more: Sending): Promise<Response> {
    const given = this.options.key;
    const key = typeof given === "function" ? await given() : given;
    const headers = { ...more.headers };
    if (key !== undefined) {
      // What `fetch` says of a bad header quotes it.
      if (!/^[\x21-\x7e]+$/.test(key)) throw new TypeError("the API key is empty, or has characters that no key has");
      headers["authorization"] = `Bearer ${key}`;
    }
    if (this.options.modelDigest !== undefined) headers["model-digest"] = this.options.modelDigest;
    // A key goes to no other host.
    const request = { ...more, method, headers, redirect: "manual", credentials: "omit" } as RequestInit;
    return (this.options.fetch ?? fetch)(`${this.url}/${path}`, request);
  }
}

function stored(options: ClassifyOptions): Record<string, string> {
  return options.store === false ? { "cache-control": "no-store" } : {};
}

/** Return the query string that asks for what is wished, with its question mark. */
function query(options: ClassifyOptions): string {
  const { detail, truncate, topK, threshold, scores, long, combine } = options;
  const values = { detail: detail || undefined, truncate: truncate === false ? false : undefined };
  const given = Object.entries({ ...values, top_k: topK, threshold, scores, long, combine });
  const asked = new URLSearchParams(given.flatMap(([name, value]) => (value === undefined ? [] : [[name, `${value}`]])));
  return asked.size > 0 ? `?${asked}` : "";
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
