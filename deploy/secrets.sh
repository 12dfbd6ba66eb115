#!/usr/bin/env bash
# Creates the secrets that deploy/compose.yaml mounts as files. Existing files stay unchanged.
# usage: deploy/secrets.sh [FOLDER]     (CLAUDE_API_KEY from the environment, if agents need one)
set -euo pipefail
folder=${1:-$(dirname "$0")/secrets}
# Only the owner can open the folder. The user of the containers can read the files.
install -d -m 700 "$folder"
for name in valkey_password signing_key api_key; do
  [[ -s $folder/$name ]] || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$folder/$name"
done
[[ -e $folder/claude_api_key ]] || printf '%s' "${CLAUDE_API_KEY:-}" >"$folder/claude_api_key"
chmod 444 "$folder"/*
