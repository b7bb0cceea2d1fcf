#!/usr/bin/env bash
# Builds the Go program that tools/NAME/go.mod pins, unless it is there already, and prints its path. It lies outside
# the checkout, since a first build takes minutes: ${XDG_CACHE_HOME:-~/.cache}/gpt-server/tools/NAME-VERSION/NAME.
set -euo pipefail
cd "$(dirname "$0")/$1"
name=$1
package=$(awk '$1 == "tool" { print $2 }' go.mod)
version=$(awk -v package="$package" '$2 ~ /^v[0-9]/ && index(package, $1) == 1 { print $2; exit }' go.mod)
folder=${XDG_CACHE_HOME:-$HOME/.cache}/gpt-server/tools/$name-${version#v}

if [ ! -x "$folder/$name" ]; then
  command -v go >/dev/null || { echo "building $name needs Go $(awk '$1 == "go" { print $2 }' go.mod) or newer" >&2; exit 1; }
  echo "building $name $version: minutes, once" >&2
  mkdir -p "$folder"
  go build -trimpath -ldflags '-s -w' -o "$folder/.$name.$$" "$package" >&2
  mv "$folder/.$name.$$" "$folder/$name"
fi
echo "$folder/$name"
