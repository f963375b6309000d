# More versions of the service's image for the cluster tests, each a layer or two above it: a build argument names it,
# --target says which.
ARG IMAGE
FROM ${IMAGE} AS next
USER 0
# Other label names are another model: its digest covers them.
RUN sed -i -e 's/"NEGATIVE"/"BAD"/' -e 's/"POSITIVE"/"GOOD"/' "${MLAPI_BUNDLE}/bundle.json"
USER 10001:10001

FROM ${IMAGE} AS corrupt
USER 0
RUN printf 'x' | dd of="${MLAPI_BUNDLE}/model.bin" bs=1 seek=4096 conv=notrunc
USER 10001:10001

# Another model by its digest, with the same answers: texts are cut after a token less.
FROM ${IMAGE} AS good
USER 0
RUN sed -i 's/"max_tokens": 512/"max_tokens": 511/' "${MLAPI_BUNDLE}/bundle.json"
USER 10001:10001

# The same again, with something wrong that only shows in use: --build-arg FAULT says what, see faults.py. Each has to
# have a MAX_TOKENS of its own: versions with the same digest share their entries, the wrong ones too.
FROM ${IMAGE} AS faulty
ARG FAULT
ARG MAX_TOKENS
USER 0
COPY faults.py /app/mlapi/engines/faults.py
RUN sed -i "s/\"max_tokens\": 512/\"max_tokens\": ${MAX_TOKENS}/" "${MLAPI_BUNDLE}/bundle.json" \
    && printf '\n\nfrom mlapi.engines import faults\n\nOpenVinoEngine.infer = faults.%s(OpenVinoEngine.infer)\n' "${FAULT}" \
      >>/app/mlapi/engines/openvino.py \
    && python -m compileall -q -f --invalidation-mode unchecked-hash /app/mlapi/engines
USER 10001:10001
