#!/usr/bin/env bash
# Ask each deployed model for a prediction, twice, from a pod of its namespace, through its Service.
set -euo pipefail
cd "$(dirname "$0")/.."

usage='usage: tools/smoke_test.sh CONTEXT NAMESPACE IMAGE URL…'
context=${1:?$usage} namespace=${2:?$usage} image=${3:?$usage}
: "${4:?$usage}"
urls=("${@:4}")
name=mlapi-smoke-test-$RANDOM
limit=90

kube() { kubectl --context "$context" --namespace "$namespace" "$@"; }

# As restricted as the namespace demands, and labelled as those are who may ask the API.
manifest() {
  cat <<YAML
apiVersion: v1
kind: Pod
metadata:
  name: $name
  labels:
    app.kubernetes.io/name: $name
    mlapi/client: "true"
spec:
  restartPolicy: Never
  activeDeadlineSeconds: $limit
  automountServiceAccountToken: false
  enableServiceLinks: false
  terminationGracePeriodSeconds: 0
  securityContext:
    runAsNonRoot: true
    runAsUser: 10001
    seccompProfile: {type: RuntimeDefault}
  containers:
    - name: ask
      image: $image
      imagePullPolicy: IfNotPresent
      command: [python, -c]
      args:
        - |
$(sed 's/^/          /' tools/smoke_test.py)
$(printf '        - %s\n' "${urls[@]}")
      # Of the component api-keys; without it there is no such Secret.
      env:
        - name: API_KEY
          valueFrom:
            secretKeyRef: {name: mlapi-smoke-test-key, key: key, optional: true}
      resources:
        requests: {cpu: 50m, memory: 64Mi}
        limits: {memory: 64Mi}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities: {drop: [ALL]}
YAML
}

remove() { kube delete --ignore-not-found --wait=false "pod/$name" >/dev/null; }

trap remove EXIT
manifest | kube apply --filename - >/dev/null
while true; do
  phase=$(kube get pod "$name" --output 'jsonpath={.status.phase}')
  if [[ $phase == Succeeded || $phase == Failed ]] || ((SECONDS >= limit)); then
    break
  fi
  sleep 1
done
if ! kube logs "$name" || [[ $phase != Succeeded ]]; then
  kube get events --field-selector "involvedObject.name=$name" >&2 || true
  echo "tools/smoke_test.sh: no prediction through the Service within $limit s (the pod that asks: ${phase:-unknown})" >&2
  exit 1
fi
