/** Everything that a call can end with beside its answer. */

import type { components } from "./openapi.js";

export type Problem = components["schemas"]["Problem"];

/** The root: `retryable` tells whether the same request may succeed later. */
export class MlapiError extends Error {
  readonly retryable: boolean;

  constructor(message: string, retryable: boolean, options?: ErrorOptions) {
    super(message, options);
    this.name = new.target.name;
    this.retryable = retryable;
  }
}

/**
 * The service refused, or a gateway in front of it, which gives no `problem`.
 *
 * `code` is stable, for programs; `text` is the number of the text among those of the call that this is about.
 */
export class ApiError extends MlapiError {
  readonly status: number;
  readonly code: string;
  readonly requestId: string;
  readonly retryAfterMs: number | undefined;
  readonly problem: Problem | undefined;
  readonly text: number | undefined;

  constructor(status: number, problem: Problem | undefined, retryAfterMs: number | undefined, text?: number) {
    const about = text === undefined ? "" : ` (text ${text})`;
    super(
      problem
        ? `${status} ${problem.code}: ${problem.detail}${about}, request ${problem.request_id}`
        : `HTTP ${status}, without a problem document`,
      problem ? problem.retryable : [429, 502, 503, 504].includes(status),
    );
    this.status = status;
    this.code = problem?.code ?? "";
    this.requestId = problem?.request_id ?? "";
    this.retryAfterMs = retryAfterMs;
    this.problem = problem;
    this.text = text;
  }

  /** The numbers of the texts of the request that the refusal names. */
  get badTexts(): number[] {
    const pointers = (this.problem?.errors ?? []).map((item) => /^\/text\/(\d+)$/.exec(item.pointer)?.[1]);
    return [...new Set(pointers.filter((found) => found !== undefined).map(Number))].sort((a, b) => a - b);
  }
}

/** There is no connection, or it broke. */
export class ConnectionFailedError extends MlapiError {}

/** The whole answer did not come in time. */
export class TimedOutError extends MlapiError {}

/** Something answered, and it is not this service in a version that this client knows. */
export class UnexpectedAnswerError extends MlapiError {}
