#!/usr/bin/env bash
# Put a Kafka broker into .tools/kafka, once: tests/e2e/test_consume.py starts it. Maven resolves tools/kafka/pom.xml, and
# nothing but what tools/kafka/jars.sha256 lists is used. Needs a JDK and Maven, from the distribution where the PATH has
# none and the user is root.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=.tools/kafka
stamp=$folder/installed
made_from=$(cat tools/kafka/pom.xml tools/kafka/jars.sha256 tools/kafka.sh | sha256sum)
[[ -f $stamp && $(<"$stamp") == "$made_from" ]] && exit

if ! command -v mvn >/dev/null || ! command -v java >/dev/null; then
  if [[ $EUID != 0 ]] || ! apt-get install --quiet=2 --yes --no-install-recommends default-jdk-headless maven; then
    echo "mlapi: a Kafka broker needs java and mvn on the PATH" >&2
    exit 1
  fi
fi
echo "mlapi: fetching a Kafka broker (100 MB), once"
rm -rf "$folder"
mkdir -p "$folder"
mvn --quiet --batch-mode --file tools/kafka/pom.xml \
  org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
  -DoutputDirectory="$PWD/$folder/jars" -DincludeScope=runtime
(cd "$folder/jars" && sha256sum --quiet --strict --check ../../../tools/kafka/jars.sha256)
if [[ $(find "$folder/jars" -type f | wc -l) != "$(wc -l <tools/kafka/jars.sha256)" ]]; then
  echo "mlapi: there are other files in $folder/jars than tools/kafka/jars.sha256 lists" >&2
  exit 1
fi
echo "$made_from" >"$stamp"
