#!/usr/bin/env bash
# Makes the secrets that deploy/compose.yaml mounts as files; what is there already stays.
# usage: deploy/secrets.sh [FOLDER]     (CLAUDE_API_KEY from the environment, if agents need one)
set -euo pipefail
folder=${1:-$(dirname "$0")/secrets}
# Only its owner enters the folder; the files are for the containers' own user.
install -d -m 700 "$folder"
for name in valkey_password signing_key api_key; do
  [[ -s $folder/$name ]] || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$folder/$name"
done
[[ -e $folder/claude_api_key ]] || printf '%s' "${CLAUDE_API_KEY:-}" >"$folder/claude_api_key"
chmod 444 "$folder"/*
