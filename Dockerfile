# The service, its models and nothing else. Builds with docker, podman and buildah; docs/deploying.md says how.

# A digest is welcome, too: --build-arg PYTHON=docker.io/library/python:3.11.14-slim-bookworm@sha256:…
ARG PYTHON=docker.io/library/python:3.11.14-slim-bookworm
# The folder of the model, below the repository's root.
ARG BUNDLE=models/distilbert-minilm-sst2
# The small model of /lab, which goes into every image: MLAPI_BUNDLE chooses. Less than a megabyte.
ARG LAB=models/tfidf-logreg-sst2
# serve: the service on CPUs. learn: with PostgreSQL's driver, for `mlapi learn serve`. torch: with PyTorch and CUDA, for bundles of the torch engine; several gigabytes. ray: with Ray, for `mlapi bulk --ray`.
ARG FLAVOUR=serve


# What the service imports, in an environment of its own.
FROM ${PYTHON} AS packages
ARG FLAVOUR
# Bytecode holds sets in the order of their hashes: without a fixed seed no two builds would be alike.
ENV PYTHONHASHSEED=0 PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
RUN python -m venv --without-pip /opt/mlapi
COPY requirements/${FLAVOUR}.txt requirements.txt
RUN pip --python /opt/mlapi/bin/python install --no-compile --require-hashes --only-binary :all: \
      --requirement requirements.txt
COPY tools/prune_packages.sh ./
# The service itself lies in /app. Bytecode is never compared with its source: an image does not change.
RUN bash prune_packages.sh /opt/mlapi "${FLAVOUR}" \
    && echo /app >/opt/mlapi/lib/python3.11/site-packages/app.pth \
    && python -m compileall -q -f --invalidation-mode unchecked-hash /opt/mlapi/lib


# The service, and the models when their files are what their manifests say.
FROM packages AS app
ARG BUNDLE LAB
COPY requirements/build.txt ./
RUN pip install --target backend --require-hashes --only-binary :all: --requirement build.txt
COPY pyproject.toml README.md LICENSE ./
COPY mlapi mlapi
RUN PYTHONPATH=/build/backend pip --python /opt/mlapi/bin/python install --target /app \
      --no-compile --no-index --no-deps --no-build-isolation . \
    && python -m compileall -q -f --invalidation-mode unchecked-hash /app
COPY ${LAB} /bundle/${LAB}
COPY ${BUNDLE} /bundle/${BUNDLE}
RUN chmod -R u=rwX,go=rX /app /bundle \
    && /app/bin/mlapi bundle verify "/bundle/${LAB}" \
    && /app/bin/mlapi bundle verify "/bundle/${BUNDLE}" \
    && mkdir -p /viewer/mlapi/page \
    && mv /app/mlapi/page/swagger /viewer/mlapi/page


FROM ${PYTHON}
ARG BUNDLE
# No installer; and bytecode for the standard library, which this base comes without: nothing could write it at run time.
RUN rm -rf /usr/local/bin/pip* /usr/local/lib/python3.11/site-packages/* /usr/local/lib/python3.11/ensurepip \
      /usr/bin/pip* /usr/lib/python3/dist-packages/* /usr/lib/python3.11/ensurepip /usr/share/python-wheels \
    && PYTHONHASHSEED=0 python -m compileall -q --invalidation-mode unchecked-hash \
      "$(python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')"
# What changes least comes first.
COPY --from=packages /opt/mlapi /opt/mlapi
COPY --from=app /bundle /app
COPY --from=app /viewer /app
COPY --from=app /app /app
ENV PATH=/app/bin:/opt/mlapi/bin:${PATH} \
    MLAPI_BUNDLE=/app/${BUNDLE} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
WORKDIR /app
# A number, because a cluster cannot tell that a name is not root's. Any other one does as well.
USER 10001:10001
EXPOSE 8000
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="mlapi" \
      org.opencontainers.image.description="A text-classification service with a two-tier prediction cache" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
ENTRYPOINT ["mlapi"]
CMD ["serve"]
