#!/usr/bin/env bash
# curl, with its defaults: sends the requests of a list, and writes what was answered.
# client.sh URL LIST [OPTION…]. The list and the answers: see cases.py.
set -euo pipefail

url=$1 list=$2
shift 2
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
while IFS=$'\t' read -r name method path mode file; do
  options=(--request "$method")
  [[ $method == HEAD ]] && options=(--head)
  if [[ $mode == gzip ]]; then
    gzip --stdout "$file" >"$folder/packed"
    file=$folder/packed
    options+=(--header 'Content-Encoding: gzip')
  fi
  [[ $mode == chunked ]] && options+=(--header 'Transfer-Encoding: chunked')
  [[ $mode == none ]] || options+=(--header 'Content-Type: application/json' --data-binary "@$file")
  : >"$folder/answer"
  found=$(curl --silent --show-error --max-time 10 --output "$folder/answer" \
    --write-out '%{http_code}\t%{content_type}' "$@" "${options[@]}" "$url$path")
  # What curl writes of a HEAD is the head.
  [[ $method == HEAD ]] && : >"$folder/answer"
  printf '%s\t%s\t%s\n' "$name" "$found" "$(base64 <"$folder/answer" | tr -d '\n')"
done <"$list"
