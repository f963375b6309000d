/** A client of mlapi, a text-classification service. */

export {
  Classifier,
  type ClassifierOptions,
  type ClassifyOptions,
  type Details,
  type LabelScore,
  type ManyOptions,
  type Model,
  type OpinionStatus,
  type Prediction,
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
