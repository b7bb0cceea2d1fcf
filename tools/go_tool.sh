#!/usr/bin/env bash
# Builds the Go programs that tools/NAME/go.mod pins, unless they are there already, and prints the path of the first. They
# lie outside the checkout, since a first build takes minutes: ${XDG_CACHE_HOME:-~/.cache}/gpt-server/tools/NAME-VERSION/.
# A program is called as its package, or as the comment on its `tool` line says.
set -euo pipefail
cd "$(dirname "$0")/$1"
name=$1
tools=$(awk '$1 == "tool" { n = split($2, part, "/"); print $2, ($3 == "//" ? $4 : part[n]) }' go.mod)
first=${tools%%$'\n'*} package=${first% *} program=${first#* }
version=$(awk -v package="$package" '$2 ~ /^v[0-9]/ && index(package, $1) == 1 { print $2; exit }' go.mod)
ldflags="-s -w -X k8s.io/component-base/version.gitVersion=$version" # Kubernetes must say which it is; others have no such
[ "$tools" = "$first" ] || version+=+$(sha256sum go.sum | head -c 8) # of several, any may have changed
folder=${XDG_CACHE_HOME:-$HOME/.cache}/gpt-server/tools/$name-${version#v}

if [ ! -x "$folder/$program" ]; then
  command -v go >/dev/null || { echo "building $name needs Go $(awk '$1 == "go" { print $2 }' go.mod) or newer" >&2; exit 1; }
  echo "building $name $version: minutes, once" >&2
  draft=$folder.$$
  mkdir -p "$draft"
  # All in one go: what they share is compiled once, and a link of one runs beside what is compiled for another.
  go build -trimpath -ldflags "$ldflags" -o "$draft/" $(awk '{ print $1 }' <<<"$tools") >&2
  while read -r from to; do
    built=$draft/$(basename "${from%/v[0-9]}")
    [ "$built" = "$draft/$to" ] || mv "$built" "$draft/$to"
  done <<<"$tools"
  rm -rf "$folder"
  mv "$draft" "$folder"
fi
echo "$folder/$program"
