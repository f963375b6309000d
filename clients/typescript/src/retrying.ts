/** Decides whether a failed request is sent again, and when: within a deadline, and within a budget for all requests. */

import { ApiError, type MlapiError } from "./errors.js";

/** How patient a client is; times are milliseconds. */
export interface Retrying {
  /** For one attempt. */
  timeoutMs: number;
  /** For one request with all its attempts and the pauses between them. */
  deadlineMs: number;
  /** Longest pause before the second attempt; it doubles with each further one. A `Retry-After` is obeyed instead. */
  firstPauseMs: number;
  longestPauseMs: number;
  /** How many requests may be repeated, as a share of all. */
  budget: number;
  /** Repetitions that are free at the start, and the most that are saved up. */
  reserve: number;
}

export const PATIENCE: Readonly<Retrying> = {
  timeoutMs: 10_000,
  deadlineMs: 30_000,
  firstPauseMs: 100,
  longestPauseMs: 5_000,
  budget: 0.1,
  reserve: 10,
};

/** Check what a caller asks for; a name that is not one of these is a mistake, too. */
export function readRetrying(given: Partial<Retrying>): Readonly<Retrying> {
  const chosen = { ...PATIENCE, ...given };
  for (const [name, value] of Object.entries(chosen)) {
    const least = name === "budget" || name === "reserve" ? 0 : Number.MIN_VALUE;
    if (!(name in PATIENCE) || typeof value !== "number" || !(value >= least)) {
      throw new RangeError(`retrying.${name} cannot be ${String(value)}`);
    }
  }
  return chosen;
}

/** Counts requests and repetitions of one client. */
export class Budget {
  private left: number;

  constructor(private readonly retrying: Readonly<Retrying>) {
    this.left = retrying.reserve;
  }

  earn(): void {
    this.left = Math.min(this.retrying.reserve, this.left + this.retrying.budget);
  }

  spend(): boolean {
    if (this.left < 1) return false;
    this.left -= 1;
    return true;
  }
}

/** The attempts at one request. */
export class Attempts {
  private failed = 0;
  private readonly ends: number;

  constructor(
    private readonly retrying: Readonly<Retrying>,
    private readonly budget: Budget,
    private readonly now: () => number,
    private readonly random: () => number,
  ) {
    this.ends = now() + retrying.deadlineMs;
    budget.earn();
  }

  get timeoutMs(): number {
    return Math.max(1, Math.min(this.retrying.timeoutMs, this.ends - this.now()));
  }

  /** Return how long to pause before the next attempt, or throw the error: there is none. */
  pauseAfter(error: MlapiError): number {
    if (!error.retryable) throw error;
    this.failed += 1;
    const pause = this.pauseMs(error);
    if (pause >= this.ends - this.now() || !this.budget.spend()) throw error;
    return pause;
  }

  private pauseMs(error: MlapiError): number {
    const asked = error instanceof ApiError ? error.retryAfterMs : undefined;
    // Clients that were refused together must not come back together.
    if (asked !== undefined) return asked + this.random() * this.retrying.firstPauseMs;
    const longest = this.retrying.firstPauseMs * 2 ** Math.min(this.failed - 1, 30);
    return this.random() * Math.min(longest, this.retrying.longestPauseMs);
  }
}

/** Read a `Retry-After`: seconds, or a date. */
export function readRetryAfter(value: string | null, now: number): number | undefined {
  const given = value?.trim() ?? "";
  if (/^[0-9]{1,9}$/.test(given)) return Number(given) * 1000;
  const then = /^[A-Z][a-z]{2}, /.test(given) ? Date.parse(given) : Number.NaN;
  return Number.isNaN(then) ? undefined : Math.max(0, then - now);
}
