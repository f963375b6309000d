/** What a call returns, how it is read from an answer, and what a failure is called. */

import { ApiError, ConnectionFailedError, type Problem, TimedOutError, UnexpectedAnswerError } from "./errors.js";
import type { components } from "./openapi.js";
import { readRetryAfter } from "./retrying.js";

type PredictResponse = components["schemas"]["PredictResponse"];
export type Details = components["schemas"]["TextDetail"];
export type LabelScore = components["schemas"]["RankedLabel"];
export type Model = components["schemas"]["ModelInfo"];
/** How the model reads a text. */
export type Tokens = components["schemas"]["TokenizedItem"];
/** What speaks for a label, and against it, word by word. */
export type Explanation = components["schemas"]["ExplainResponse"];

/**
 * The answer to one text: the label with the highest score, all that were asked for, and, if wanted, how it was answered.
 * Where all scores are below the `threshold` that was asked for, `label` is empty and `score` 0.
 */
export interface Prediction {
  label: string;
  score: number;
  scores: LabelScore[];
  modelDigest: string;
  details?: Details;
}

export function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    return undefined;
  }
}

export function refusal(response: Response, content: unknown): ApiError {
  const said = content as Partial<Problem> | null | undefined;
  const problem = typeof said?.code === "string" && typeof said.detail === "string" ? (said as Problem) : undefined;
  return new ApiError(response.status, problem, readRetryAfter(response.headers.get("retry-after"), Date.now()));
}

/** Return what a failed attempt is called: the caller's own abort is the caller's, and no failure. */
export function failure(error: unknown, own: AbortSignal | undefined, late: AbortSignal, timeoutMs: number): unknown {
  if (own?.aborted) return own.reason;
  if (late.aborted) return new TimedOutError(`no answer in ${Math.ceil(timeoutMs)} ms`, true, { cause: error });
  if (!(error instanceof TypeError)) return error;
  const cause = error.cause; // of which browsers say nothing
  return new ConnectionFailedError(cause instanceof Error ? cause.message : error.message, true, { cause: error });
}

export function readPredictions(content: unknown, texts: number, modelDigest: string, mayBeEmpty = false): Prediction[] {
  const { predictions, details } = (content ?? {}) as Partial<PredictResponse>;
  const whole =
    Array.isArray(predictions) && predictions.length === texts && (details == null || details.length === texts);
  if (!whole) throw new UnexpectedAnswerError(`no answer to ${texts} texts`, false);
  return predictions.map((scores, place) => {
    const best = scores[0] ?? (mayBeEmpty ? { label: "", score: 0 } : undefined);
    if (typeof best?.label !== "string" || typeof best.score !== "number") {
      throw new UnexpectedAnswerError("an answer without labels", false);
    }
    const own = details?.[place];
    return { label: best.label, score: best.score, scores, modelDigest, ...(own ? { details: own } : {}) };
  });
}
