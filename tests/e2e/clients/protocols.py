"""Asks the service by the clients of other servers, and prints what each was told; runs in an environment of its own.

Usage: python protocols.py URL ROOT NAME TEXT...
"""

import asyncio
import json
import sys
from importlib.metadata import version
from typing import Any

import boto3
import botocore.exceptions
import numpy as np
import tritonclient.http as triton
import tritonclient.utils
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from nemoguardrails.library.hf_classifier.backends import get_backend
from nemoguardrails.rails.llm.config import RemoteHFClassifierConfig

Scores = dict[str, float]


def by_columns(labels: list[str], rows: np.ndarray) -> list[Scores]:
    return [dict(zip(labels, map(float, row), strict=True)) for row in np.reshape(rows, (-1, len(labels)))]


def ask_triton(address: str, name: str, texts: list[str], *, binary: bool) -> dict[str, Any]:
    client = triton.InferenceServerClient(address)
    ready = client.is_server_live() and client.is_server_ready() and client.is_model_ready(name)
    described = client.get_model_metadata(name)
    asked = triton.InferInput("args", [len(texts)], "BYTES")
    asked.set_data_from_numpy(np.array([text.encode() for text in texts], dtype=object), binary_data=binary)
    wanted = ("label", "probabilities", "labels")
    outputs = None if binary else [triton.InferRequestedOutput(item, binary_data=False) for item in wanted]
    answer = client.infer(name, [asked], outputs=outputs, request_id="mine", model_version=described["versions"][0])
    text = (lambda item: item.decode()) if binary else str
    labels = [text(item) for item in answer.as_numpy("labels")]
    classes = client.infer(
        name, [asked], outputs=[triton.InferRequestedOutput("probabilities", binary_data=False, class_count=1)]
    ).as_numpy("probabilities")
    try:
        client.infer("another", [asked])
    except tritonclient.utils.InferenceServerException as error:
        refused = [error.status(), error.message()]
    return {
        "ready": ready and client.get_server_metadata()["name"] == "mlapi" and answer.get_response()["id"] == "mine",
        "scores": by_columns(labels, answer.as_numpy("probabilities")),
        "labels": [text(item) for item in answer.as_numpy("label")],
        "classes": [str(item).split(":")[2] for item in classes.ravel()],
        "refused": refused,
    }


async def ask_kserve(address: str, name: str, texts: list[str], protocol: str) -> dict[str, Any]:
    client = InferenceRESTClient(RESTConfig(protocol=protocol))
    ready = await client.is_model_ready(address, name)
    if protocol == "v1":
        answer = await client.infer(address, {"instances": texts}, model_name=name)
        return {"ready": ready, "scores": answer["predictions"]}
    ready = ready and await client.is_server_live(address) and await client.is_server_ready(address)
    found = []
    for binary in (True, False):
        asked = InferInput("args", [len(texts)], "BYTES", data=None if binary else texts)
        if binary:
            asked.set_data_from_numpy(np.array([text.encode() for text in texts], dtype=object), binary_data=True)
        answer = await client.infer(address, InferRequest(name, [asked]), model_name=name)
        columns = {output.name: output.data for output in answer.outputs}
        found.append(by_columns(columns["labels"], columns["probabilities"]))
    return {"ready": ready, "scores": found[0], "same": found[0] == found[1]}


def ask_sagemaker(url: str, name: str, texts: list[str]) -> dict[str, Any]:
    client = boto3.client(
        *("sagemaker-runtime", "eu-west-1"),
        endpoint_url=url,
        aws_access_key_id="x",
        aws_secret_access_key="x",  # noqa: S106  nobody checks it
    )
    body = json.dumps({"inputs": texts, "parameters": {"top_k": None}})
    answer = client.invoke_endpoint(EndpointName=name, ContentType="application/json", Body=body)
    try:
        client.invoke_endpoint(EndpointName=name, ContentType="application/json", Body=b'{"inputs": 1}')
    except botocore.exceptions.ClientError as error:
        refused = [error.response["ResponseMetadata"]["HTTPStatusCode"], error.response["Error"]["Message"]]
    return {
        "scores": [{item["label"]: item["score"] for item in items} for items in json.load(answer["Body"])],
        "refused": refused,
    }


async def ask_guardrails(address: str, name: str, texts: list[str], engine: str) -> dict[str, Any]:
    backend = get_backend(RemoteHFClassifierConfig(engine=engine, model=name, base_url=address, threshold=0.0))
    found = [await backend.classify(text) for text in texts]
    await backend.close()
    return {"scores": [{item["label"]: item["score"] for item in items} for items in found]}


async def main(url: str, root: str, name: str, *texts: str) -> None:
    given = list(texts)
    bare = url.removeprefix("http://")
    answers = {
        f"tritonclient {version('tritonclient')}": ask_triton(f"{bare}{root}", name, given, binary=True),
        f"tritonclient {version('tritonclient')}, JSON, at the root": ask_triton(bare, name, given, binary=False),
        f"kserve {version('kserve')}, v1": await ask_kserve(url + root, name, given, "v1"),
        f"kserve {version('kserve')}, v2": await ask_kserve(url + root, name, given, "v2"),
        f"kserve {version('kserve')}, v2, at the root": await ask_kserve(url, name, given, "v2"),
        f"boto3 {version('boto3')}": ask_sagemaker(url, name, given),
    }
    for engine in ("vllm", "kserve", "fms"):
        client = f"nemoguardrails {version('nemoguardrails')}, {engine}"
        answers[client] = await ask_guardrails(url + root, name, given, engine)
    json.dump(answers, sys.stdout)


asyncio.run(main(*sys.argv[1:]))
