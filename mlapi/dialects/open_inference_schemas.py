"""The public shapes of the Open Inference Protocol, as OpenAPI documents them."""

from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from mlapi.dialects.tensors import DEFAULT_OUTPUTS, OUTPUTS


class InferenceTensorRequest(BaseModel):
    """A tensor of texts."""

    name: str
    shape: list[int]
    datatype: Literal["BYTES"]
    parameters: dict[str, Any] | None = Field(None, description="`content_type: str`, or `binary_data_size`.")
    data: list[str | list[str]] | None = Field(None, description="The texts; absent if they follow in binary form.")


class InferenceOutputRequest(BaseModel):
    """A tensor that is wanted."""

    name: str
    parameters: dict[str, Any] | None = Field(None, description="`classification: K` or `binary_data`.")


class InferenceRequest(BaseModel):
    """Texts to classify."""

    id: str | None = Field(None, description="Returned.")
    model_name: str | None = Field(None, description="The model of the path, if it is given.")
    parameters: dict[str, Any] | None = Field(None, description="`binary_data_output`.")
    inputs: list[InferenceTensorRequest] = Field(min_length=1, max_length=1)
    outputs: list[InferenceOutputRequest] | None = Field(
        None, description=f"By default {', '.join(DEFAULT_OUTPUTS)}; there are {', '.join(OUTPUTS)}."
    )


class InferenceTensor(BaseModel):
    """A tensor of an answer."""

    name: str
    datatype: Literal["BYTES", "FP32", "INT64"]
    shape: list[int]
    parameters: dict[str, Any] | None = None
    data: list[str | float | int] | None = None


class InferenceResponse(BaseModel):
    """Tensors with one row for each text, in the order of the texts."""

    model_name: str
    model_version: str = Field(description="First digits of the model digest.")
    id: str | None = None
    outputs: list[InferenceTensor]


class InferenceError(BaseModel):
    """What went wrong."""

    error: str


class ServerMetadata(BaseModel):
    """What the server is."""

    name: str
    version: str
    extensions: list[str]


class TensorMetadata(BaseModel):
    """A tensor of the model; -1 stands for any number of texts."""

    name: str
    datatype: str
    shape: list[int]


class ModelMetadata(BaseModel):
    """What the model takes and gives."""

    name: str
    versions: list[str]
    platform: str
    inputs: list[TensorMetadata]
    outputs: list[TensorMetadata]


class ServerLive(BaseModel):
    """Whether the server runs."""

    live: bool


class ServerReady(BaseModel):
    """Whether predictions are served."""

    ready: bool


class ServedModels(BaseModel):
    """The models that are served."""

    models: list[str]


class ModelReady(BaseModel):
    """Whether a model is ready."""

    name: str
    ready: bool


REQUEST_EXAMPLES: Final = {
    "two texts": {
        "value": {
            "id": "q1",
            "inputs": [{"name": "text", "shape": [2], "datatype": "BYTES", "data": ["fantastic", "terrible"]}],
        }
    },
    "as for MLServer": {
        "value": {
            "inputs": [
                {
                    "name": "args",
                    "shape": [1],
                    "datatype": "BYTES",
                    "parameters": {"content_type": "str"},
                    "data": ["fantastic"],
                }
            ],
            "outputs": [{"name": "output"}],
        }
    },
}

RESPONSE_EXAMPLE: Final = {
    "model_name": "project",
    "model_version": "0f343b093112",
    "id": "q1",
    "outputs": [
        {"name": "label", "datatype": "BYTES", "shape": [1], "data": ["POSITIVE"]},
        {"name": "score", "datatype": "FP32", "shape": [1], "data": [0.7127904295921326]},
        {
            "name": "probabilities",
            "datatype": "FP32",
            "shape": [1, 2],
            "data": [0.2872096002101898, 0.7127904295921326],
        },
        {"name": "labels", "datatype": "BYTES", "shape": [2], "data": ["NEGATIVE", "POSITIVE"]},
    ],
}
