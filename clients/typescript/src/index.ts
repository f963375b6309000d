/** A client of mlapi, a text-classification service. */

export type { Details, Explanation, LabelScore, Model, Prediction, Tokens } from "./answers.js";
export {
  Classifier,
  type ClassifierOptions,
  type ClassifyOptions,
  type ManyOptions,
  type OpinionStatus,
  type StreamOptions,
} from "./classifier.js";
export {
  ApiError,
  ConnectionFailedError,
  MlapiError,
  type Problem,
  TimedOutError,
  UnexpectedAnswerError,
} from "./errors.js";
export { PATIENCE, type Retrying } from "./retrying.js";
