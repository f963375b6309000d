"""A client of mlapi, a text-classification service."""

from mlapi_client.answers import Details, Explanation, Model, Prediction, Source, Span, Tokens
from mlapi_client.async_classifier import AsyncClassifier
from mlapi_client.classifier import Classifier
from mlapi_client.errors import (
    ApiError,
    BadRequestError,
    ConnectionFailedError,
    ForbiddenError,
    InvalidRequestError,
    MlapiError,
    ModelMismatchError,
    NotFoundError,
    RateLimitedError,
    ServerError,
    TimedOutError,
    TooLargeError,
    UnauthorizedError,
    UnavailableError,
    UnexpectedAnswerError,
    Violation,
)
from mlapi_client.retrying import Retrying
from mlapi_client.wishes import Wishes

__all__ = [
    "ApiError",
    "AsyncClassifier",
    "BadRequestError",
    "Classifier",
    "ConnectionFailedError",
    "Details",
    "Explanation",
    "ForbiddenError",
    "InvalidRequestError",
    "MlapiError",
    "Model",
    "ModelMismatchError",
    "NotFoundError",
    "Prediction",
    "RateLimitedError",
    "Retrying",
    "ServerError",
    "Source",
    "Span",
    "TimedOutError",
    "Tokens",
    "TooLargeError",
    "UnauthorizedError",
    "UnavailableError",
    "UnexpectedAnswerError",
    "Violation",
    "Wishes",
]
