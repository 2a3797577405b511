#!/usr/bin/env bash
# Kills the built server with SIGKILL, starts it again in the same folder and says of each promise whether it
# holds: "ok - …" or "not ok - …". The work is done by tests/js/crash.mjs, since it needs many requests at once.
#
#   VISIONFLOW_BIN           the server, default target/debug/visionflow
#   VISIONFLOW_CRASH_SWARMS  swarms of 50 agents that must come back, default 100
#   VISIONFLOW_CRASH_SEED    when to kill during creation, default random; the run prints it
set -eu
cd "$(dirname "$0")/.."
if ! command -v node >/dev/null 2>&1; then
  echo "SKIPPED: killed and started again: node is not installed"
  exit 0
fi
exec node tests/js/crash.mjs "${VISIONFLOW_BIN:-$PWD/target/debug/visionflow}"
