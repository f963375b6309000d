"""A client of mlapi, a text-classification service."""

from mlapi_client.answers import Details, Model, Prediction, Source
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

__all__ = [
    "ApiError",
    "AsyncClassifier",
    "BadRequestError",
    "Classifier",
    "ConnectionFailedError",
    "Details",
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
    "TimedOutError",
    "TooLargeError",
    "UnauthorizedError",
    "UnavailableError",
    "UnexpectedAnswerError",
    "Violation",
]
