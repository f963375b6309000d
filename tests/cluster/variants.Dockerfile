# Two more versions of the service's image for the cluster tests, each one layer above it: a build argument names it,
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
