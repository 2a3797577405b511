#!/usr/bin/env bash
# Starts the built server and drives the viewer in headless Chromium: sign-in, create, spawn, motion, task, delete.
#
#   VISIONFLOW_BIN    the server, default target/debug/visionflow
#   VISIONFLOW_SHOTS  where the screenshots stay, default target/screenshots
set -u
root=$(cd "$(dirname "$0")/../.." && pwd)
bin=${VISIONFLOW_BIN:-$root/target/debug/visionflow}
shots=${VISIONFLOW_SHOTS:-$root/target/screenshots}
work=$(mktemp -d)
server=

cleanup() {
  if [ -n "$server" ]; then
    kill -KILL "$server" 2>/dev/null
    wait "$server" 2>/dev/null
  fi
  rm -rf "$work"
}
trap cleanup EXIT

[ -x "$bin" ] || { echo "not ok - the program is built: $bin is missing"; exit 1; }
free_port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
port=$(free_port) mcp_port=$(free_port) health_port=$(free_port)
in_folder() {
  (cd "$work" && exec env -i PATH="$PATH" PORT="$port" MCP_PORT="$mcp_port" MCP_HEALTH_PORT="$health_port" "$@")
}
in_folder "$bin" >"$work/out" 2>"$work/err" &
server=$!

# the link is printed once everything stands; it is waited for, 20 s at most
mkfifo "$work/never"
for _ in $(seq 400); do
  link=$(grep -Eo 'http://[^ ]+#token=[A-Za-z0-9._-]+' "$work/out" | head -n 1)
  [ -z "$link" ] || break
  read -r -t 0.05 _ <>"$work/never" || true
done
if [ -z "$link" ]; then
  echo "not ok - the server prints its link"
  sed 's/^/  # /' "$work/err" | tail -n 10
  exit 1
fi
mkdir -p "$shots"
(cd "$root/tests/browser" && node viewer.mjs --url "${link%%#*}" --token "${link##*#token=}" --shots "$shots")
code=$?
echo "# screenshots: $shots"
[ "$code" = 0 ] || { echo "# the server's last words:"; tail -n 5 "$work/err" | sed 's/^/  # /'; }
exit "$code"
