#!/usr/bin/env bash
# Runs the upgrade guide's own commands against the built program, with nothing replaced but the ports, and
# says of each promise whether it holds: "ok - …" or "not ok - …".
#
#   VISIONFLOW_BIN   the server, default target/debug/visionflow (mcp-runtime is looked for beside it)
set -u
root=$(cd "$(dirname "$0")/.." && pwd)
bin=${VISIONFLOW_BIN:-$root/target/debug/visionflow}
runtime_bin=$(dirname "$bin")/mcp-runtime
work=$(mktemp -d)
failed=0
pids=()

cleanup() {
  local pid
  for pid in "${pids[@]}"; do kill -KILL "$pid" 2>/dev/null; done
  rm -rf "$work"
}
trap cleanup EXIT

ok() { printf 'ok - %s\n' "$1"; }
not_ok() {
  failed=1
  printf 'not ok - %s\n' "$1"
  shift
  printf '%s\n' "$@" | head -c 2000 | sed 's/^/  # /'
}
# check NAME DETAIL COMMAND...: the promise holds when the command succeeds
check() {
  local name=$1 detail=$2; shift 2
  if "$@"; then ok "$name"; else not_ok "$name" "$detail"; fi
}
contains() { [[ $1 == *"$2"* ]]; }
skip() { printf 'SKIPPED: %s\n' "$1"; }

now_ms() { local t=${EPOCHREALTIME/[.,]/}; echo "${t%???}"; }
free_port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
new_ports() { port=$(free_port) mcp_port=$(free_port) health_port=$(free_port); }

# json EXPRESSION < TEXT: the value of a Python expression over the document d
json() {
  python3 -c 'import json,sys
d = json.load(sys.stdin)
v = eval(sys.argv[1])
print(v if isinstance(v, str) else json.dumps(v))' "$1" 2>&1
}

# until_true MS COMMAND...: asks again until it succeeds or the time is over
until_true() {
  local deadline=$(($(now_ms) + $1)); shift
  until "$@"; do
    [ "$(now_ms)" -lt "$deadline" ] || return 1
    read -r -t 0.05 _ <>"$work/never" || true
  done
}
mkfifo "$work/never"

# An environment with the ports and what the caller adds, and nothing of the shell that runs this.
clean() { env -i PATH="$PATH" PORT="$port" MCP_PORT="$mcp_port" MCP_HEALTH_PORT="$health_port" "$@"; }

# start NAME [VARIABLE=VALUE...] PROGRAM ARGUMENTS...: in the folder $work/NAME, output in its files out and err
start() {
  local dir=$work/$1; shift
  mkdir -p "$dir"
  (cd "$dir" && exec env -i PATH="$PATH" PORT="$port" MCP_PORT="$mcp_port" MCP_HEALTH_PORT="$health_port" "$@") \
    >"$dir/out" 2>"$dir/err" &
  started=$!
  pids+=("$started")
  here=$dir
}
# stop PID SIGNAL: within 15 s, else it is killed
stop() {
  kill "-${2:-TERM}" "$1" 2>/dev/null
  until_true 15000 gone "$1" || { kill -KILL "$1" 2>/dev/null; return 1; }
}
gone() { ! kill -0 "$1" 2>/dev/null; }

link_of() { grep -Eo 'https?://[^ ]+#token=[A-Za-z0-9._-]+' "$1" | head -n 1; }
has_link() { [ -n "$(link_of "$here/out")" ]; }
answers() { [ "$(curl -s -o /dev/null -w '%{http_code}' --max-time 2 "$1")" = 200 ]; }

# --- the start with nothing set -------------------------------------------------------------------------
[ -x "$bin" ] || { not_ok "the program is built" "$bin is missing"; exit 1; }
new_ports
begun=$(now_ms)
start first "$bin"
server=$started
until_true 20000 has_link
took=$(($(now_ms) - begun))
link=$(link_of "$here/out")
detail="after $took ms; $(cat "$here/out" "$here/err")"
if [ -n "$link" ] && [ "$took" -le 3000 ]; then ok "the server prints its link within 3 s ($took ms)"; else
  not_ok "the server prints its link within 3 s" "$detail"
fi
check "the link leads to this server" "$link" contains "$link" ":$port/"
check "nothing was written outside the data folder" "$(ls -A "$here")" \
  test "$(ls -A "$here" | grep -vE '^(data|out|err)$')" = ""
viewer=$(curl -s --max-time 5 "${link%%#*}")
check "the link's page is the viewer" "$viewer" contains "$viewer" "<!doctype html"

# --- Step 6: check service health -----------------------------------------------------------------------
health=$(curl -s --max-time 5 "http://localhost:$port/health")
check "curl http://localhost:3001/health: ok, with database, mcp and compute" "$health" \
  test "$(json '[d["status"]] + sorted(set(d["checks"]) & {"database","mcp","compute"})' <<<"$health")" \
  = '["ok", "compute", "database", "mcp"]'
runtime_health=$(curl -s --max-time 5 "http://localhost:$health_port/health")
check "curl http://localhost:9501/health answers" "$runtime_health" \
  test "$(json 'd["status"]' <<<"$runtime_health")" = healthy

# --- Connection verification: the two lines as they stand -----------------------------------------------
if command -v nc >/dev/null 2>&1; then
  # nc waits for the server's end of the connection, so only its first line is waited for
  reply=
  read -r -t 5 reply < <(echo '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2024-11-05"}}' | timeout 6 nc localhost "$mcp_port")
  check "the guide's first nc line is answered" "$reply" \
    test "$(json '[d["id"], d["result"]["protocolVersion"], "serverInfo" in d["result"]]' <<<"$reply")" = '[1, "2024-11-05", true]'
  reply=
  read -r -t 5 reply < <(echo '{"jsonrpc":"2.0","id":2,"method":"tools/list"}' | timeout 6 nc localhost "$mcp_port")
  check "the guide's second nc line is answered" "$reply" \
    test "$(json '[d["id"], {"swarm_init","agent_spawn","agent_list","task_orchestrate"} <= {t["name"] for t in d["result"]["tools"]}]' <<<"$reply")" = '[2, true]'
else
  skip "the guide's nc lines: no nc is installed"
fi
both=$(
  exec 3<>"/dev/tcp/localhost/$mcp_port" || exit
  echo '{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2024-11-05"}}' >&3
  read -r -t 5 first <&3 && json 'd["id"]' <<<"$first"
  echo '{"jsonrpc":"2.0","id":2,"method":"tools/list"}' >&3
  read -r -t 5 second <&3 && json 'd["id"], len(d["result"]["tools"]) > 0' <<<"$second"
)
check "one connection answers both requests" "$both" test "$both" = $'1\n[2, true]'

# --- Swarm management testing ---------------------------------------------------------------------------
TOKEN=$(cd "$here" && clean "$bin" token --subject alice --role operator --ttl 12h 2>"$work/token.err")
check "visionflow token prints the token and nothing else" "$TOKEN $(cat "$work/token.err")" \
  grep -Eqx '[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+' <<<"$TOKEN"

created=$(curl -s --max-time 15 -w '\n%{http_code}' -X POST http://localhost:$port/api/swarms \
  -H "Authorization: Bearer $TOKEN" \
  -H "Content-Type: application/json" \
  -d '{"topology": "mesh", "name": "test-swarm"}')
code=${created##*$'\n'} body=${created%$'\n'*}
check "the guide's curl creates a swarm: 201" "$created" test "$code" = 201
check "it is an active mesh under its name, confirmed by the runtime" "$body" \
  test "$(json '[d["name"], d["topology"], d["status"], d["runtime_id"] is not None]' <<<"$body")" = '["test-swarm", "mesh", "active", true]'
swarm_id=$(json 'd["id"]' <<<"$body")

listed=$(curl -s --max-time 5 http://localhost:$port/api/swarms \
  -H "Authorization: Bearer $TOKEN")
check "the guide's curl lists it" "$listed" \
  test "$(json '[s["id"] for s in d["items"]]' <<<"$listed")" = "[\"$swarm_id\"]"

code=$(curl -s -o "$work/body" -w '%{http_code}' --max-time 5 http://localhost:$port/api/swarms)
check "without a token the list is refused: 401" "$code $(cat "$work/body")" \
  test "$code $(json 'd["code"]' <"$work/body")" = "401 token_missing"

# --- Step 5: the new call and the old one ---------------------------------------------------------------
spawned=$(curl -s --max-time 15 -w '\n%{http_code}' -X POST "http://localhost:$port/api/swarms/$swarm_id/agents/spawn" \
  -H "Authorization: Bearer $TOKEN" -H "Content-Type: application/json" \
  -d '{
  "type": "researcher",
  "capabilities": ["analysis"]
}')
code=${spawned##*$'\n'} body=${spawned%$'\n'*}
check "the new spawn call makes an agent: 201" "$spawned" test "$code" = 201
check "it has the type and the capabilities asked for" "$body" \
  test "$(json '[d["type"], d["capabilities"], d["swarm_id"]]' <<<"$body")" = "[\"researcher\", [\"analysis\"], \"$swarm_id\"]"
agent_id=$(json 'd["id"]' <<<"$body")
verified() {
  curl -s --max-time 5 "http://localhost:$port/api/swarms/$swarm_id/agents/$agent_id" -H "Authorization: Bearer $TOKEN" \
    | json 'd["stage"]' | grep -qx verified
}
check "a second observation verifies it" "" until_true 10000 verified

old=$(curl -s --max-time 5 -w '\n%{http_code}' -X POST http://localhost:$port/api/agents/spawn \
  -H "Content-Type: application/json" -d '{
  "type": "researcher",
  "capabilities": ["analysis"]
}')
check "the old spawn call is gone: 410" "$old" test "${old##*$'\n'}" = 410
check "its answer names the new call and the header" "$old" \
  test "$(json '[d["code"], "/api/swarms/{swarm_id}/agents/spawn" in json.dumps(d), "Authorization" in json.dumps(d)]' <<<"${old%$'\n'*}")" = '["v1_call_gone", true, true]'

# --- the end of the first server ------------------------------------------------------------------------
stop "$server" TERM; stopped=$?
wait "$server"; code=$?
check "SIGTERM ends the server cleanly" "code $code; $(tail -n 5 "$here/err")" test "$stopped $code" = "0 0"

# --- Step 2: configuration ------------------------------------------------------------------------------
secret=$(head -c 36 /dev/urandom | base64 | tr -d '\n')
shown=$(cd "$here" && clean JWT_SECRET="$secret" DATABASE_URL="postgres://u:hush-hush@db/vf" "$bin" config 2>&1)
check "visionflow config shows the settings with their source" "$shown" \
  grep -Eq 'PORT.*'"$port"'.*|port.*'"$port" <<<"$shown"
check "visionflow config shows no secret" "$shown" \
  test "$(grep -cF -e "$secret" -e hush-hush <<<"$shown")" = 0

said=$(cd "$here" && clean POSITION_UPDATE_FPS=banana timeout 20 "$bin" 2>&1); code=$?
check "a bad variable stops the start with code 78" "code $code; $said" test "$code" = 78
check "the message names the variable, the value and what is allowed" "$said" \
  grep -Eq 'POSITION_UPDATE_FPS.*banana.*1 to 240' <<<"$(tr '\n' ' ' <<<"$said")"

guide_env() {
  cat <<ENV
# Connection pooling
MCP_CONNECTION_POOL_SIZE=10
MCP_CONNECTION_TIMEOUT=30000
MCP_KEEPALIVE_INTERVAL=5000

# Client configuration
CLIENT_POLL_RATE_MS=1000
MAX_SWARMS_PER_CLIENT=5
POSITION_UPDATE_FPS=60

# Swarm management
DEFAULT_SWARM_TOPOLOGY=mesh
MAX_AGENTS_PER_SWARM=200
SWARM_IDLE_TIMEOUT=3600000

# GPU optimisation
GPU_COMPUTE_BATCH_SIZE=64
FORCE_CALCULATION_THREADS=256

# Security
JWT_SECRET=$1
CORS_ALLOWED_ORIGINS=http://localhost:3001
ENV
}
mkdir -p "$work/placeholder"
guide_env '<generate-new-secret>' >"$work/placeholder/.env"
said=$(cd "$work/placeholder" && clean timeout 20 "$bin" 2>&1); code=$?
check "the guide's placeholder for JWT_SECRET is refused: code 78" "code $code; $said" test "$code" = 78
check "the refusal says what to do about it" "$said" \
  grep -Eqi 'JWT_SECRET.*(placeholder|generate)' <<<"$(tr '\n' ' ' <<<"$said")"

new_ports
mkdir -p "$work/envfile"
guide_env "$secret" >"$work/envfile/.env"
start envfile "$bin"
server=$started
check "the guide's .env block is accepted" "$(cat "$here/err" 2>/dev/null)" until_true 10000 answers "http://localhost:$port/health"
TOKEN=$(cd "$here" && clean "$bin" token --subject alice)
code=$(curl -s -o /dev/null -w '%{http_code}' --max-time 5 http://localhost:$port/api/swarms -H "Authorization: Bearer $TOKEN")
check "its secret signs the tokens" "$code" test "$code" = 200
stop "$server" TERM

# --- the agent runtime on its own -----------------------------------------------------------------------
if [ -x "$runtime_bin" ]; then
  new_ports
  start runtime "$runtime_bin"
  runtime=$started
  check "mcp-runtime alone answers curl http://localhost:9501/health" "$(cat "$here/err")" \
    until_true 10000 answers "http://localhost:$health_port/health"
  reply=
  exec 3<>"/dev/tcp/localhost/$mcp_port" && {
    echo '{"jsonrpc":"2.0","id":7,"method":"tools/list"}' >&3
    read -r -t 5 reply <&3
    exec 3>&-
  }
  check "mcp-runtime alone answers on its MCP port" "$reply" test "$(json 'd["id"]' <<<"$reply")" = 7
  runtime_port=$mcp_port
  new_ports
  start outside MCP_SERVER="tcp://127.0.0.1:$runtime_port" "$bin"
  server=$started
  check "a server with MCP_SERVER=tcp://… starts" "$(cat "$here/err")" until_true 10000 has_link
  check "it runs no agent runtime of its own" "$health_port" \
    test "$(curl -s -o /dev/null -w '%{http_code}' --max-time 1 "http://localhost:$health_port/health")" = 000
  TOKEN=$(cd "$here" && clean "$bin" token --subject alice)
  created=$(curl -s --max-time 15 -X POST http://localhost:$port/api/swarms -H "Authorization: Bearer $TOKEN" \
    -H "Content-Type: application/json" -d '{"topology": "ring", "name": "outside"}')
  runtime_id=$(json 'd["runtime_id"]' <<<"$created")
  check "the swarm is made by that runtime" "$created" test "$(json 'd["status"]' <<<"$created")" = active
  reply=
  exec 3<>"/dev/tcp/localhost/$runtime_port" && {
    echo '{"jsonrpc":"2.0","id":8,"method":"tools/call","params":{"name":"swarm_status","arguments":{"swarmId":"'"$runtime_id"'"}}}' >&3
    read -r -t 5 reply <&3
    exec 3>&-
  }
  check "that runtime knows the swarm under the id that the server shows" "$reply" contains "$reply" "$runtime_id"
  stop "$server" TERM
  stop "$runtime" TERM; stopped=$?
  check "SIGTERM ends mcp-runtime" "" test "$stopped" = 0
else
  not_ok "mcp-runtime is built" "$runtime_bin is missing"
fi

# --- the demo -------------------------------------------------------------------------------------------
# asked of visionflow demo: four swarms of four topologies, agents at work
demo_works() {
  local list
  list=$(curl -s --max-time 2 http://localhost:$port/api/swarms -H "Authorization: Bearer $TOKEN") || return 1
  [ "$(json 'sorted(s["topology"] for s in d["items"])' <<<"$list")" = '["hierarchical", "mesh", "ring", "star"]' ] || return 1
  local id
  for id in $(json '" ".join(s["id"] for s in d["items"])' <<<"$list"); do
    curl -s --max-time 2 "http://localhost:$port/api/swarms/$id/metadata" -H "Authorization: Bearer $TOKEN" \
      | json 'sum(d["agents_by_state"].get(s, 0) for s in ("busy", "active")) > 0' | grep -qx true || return 1
  done
}
for words in demo --demo; do
  new_ports
  begun=$(now_ms)
  start "demo$words" "$bin" "$words"
  server=$started
  until_true 10000 has_link
  TOKEN=$(link_of "$here/out"); TOKEN=${TOKEN##*#token=}
  if until_true $((10000 - ($(now_ms) - begun))) demo_works; then
    ok "visionflow $words: four topologies with agents at work within 10 s ($(($(now_ms) - begun)) ms)"
  else
    not_ok "visionflow $words: four topologies with agents at work within 10 s" \
      "$(curl -s --max-time 2 http://localhost:$port/api/swarms -H "Authorization: Bearer $TOKEN")" "$(tail -n 5 "$here/err")"
  fi
  stop "$server" TERM
done

exit "$failed"
