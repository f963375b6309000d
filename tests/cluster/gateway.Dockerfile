# The two images of .k8s/gateway, out of programs that this machine has: --target says which.
ARG BASE=docker.io/library/python:3.11.14-slim-bookworm
FROM scratch AS contour
COPY contour /bin/contour
USER 65534:65534

FROM ${BASE} AS envoy
COPY envoy /usr/local/bin/envoy
USER 65534:65534
