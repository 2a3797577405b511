//! The typed calls against runtimes: our own, a child process, and what others have been seen to answer.

use super::super::testing::AbortOnDrop;
use super::*;
use crate::domain::{Agent, AgentId, AgentState, NewAgent, NewSwarm, NewTask, Swarm, SwarmId, Task, TaskId};
use crate::domain::{SwarmModel, SwarmState, Topology};
use crate::mcp_runtime::faults::Fault;
use crate::mcp_runtime::{McpRuntime, RunningRuntime, RuntimeConfig};
use crate::telemetry::clock;

pub(super) fn swarm() -> Swarm {
    let new = NewSwarm::parse("s".into(), None, None, None, Topology::Mesh, 200).unwrap();
    let mut swarm = new.accept(SwarmId(clock::uuid_v7()), "alice".into(), clock::now());
    swarm.status = SwarmState::Active;
    swarm
}

pub(super) fn agent(swarm: &Swarm) -> Agent {
    let mut model = SwarmModel::new(swarm.clone(), Vec::new(), Vec::new());
    let new = NewAgent::parse("coder", None, Vec::new()).unwrap();
    model.accept_agent(new, AgentId::from_uuid(clock::uuid_v7()), clock::now()).unwrap()
}

fn task(swarm: &Swarm) -> Task {
    let mut model = SwarmModel::new(swarm.clone(), Vec::new(), Vec::new());
    let new = NewTask::parse("count to three".into(), None, None, None).unwrap();
    model.accept_task(new, TaskId(clock::uuid_v7()), clock::now()).unwrap()
}

pub(super) async fn start(
    config: impl FnOnce(&mut RuntimeConfig),
) -> (RunningRuntime, AgentRuntime, McpHandle) {
    let free = "127.0.0.1:0".parse().unwrap();
    let mut with = RuntimeConfig::new(free, free);
    config(&mut with);
    let running = McpRuntime::start(with).await.unwrap();
    let handle = connected(self::config(running.mcp_addr())).await;
    (running, AgentRuntime::new(handle.clone()), handle)
}

#[actix::test]
async fn our_own_runtime_does_all_that_is_asked() {
    let (running, runtime, handle) = start(|_| ()).await;
    let health = handle.health();
    assert_eq!((health.runtime, health.missing_tools.len()), (Some(RuntimeKind::Visionflow), 0));
    let mut swarm = swarm();
    let id = runtime.swarm_init(&swarm, soon()).await.unwrap();
    assert_eq!(runtime.swarm_init(&swarm, soon()).await.unwrap(), id, "the same key is the same swarm");
    swarm.runtime_id = Some(id);
    runtime.swarm_status(&swarm, soon()).await.unwrap();
    let mut agent = agent(&swarm);
    agent.runtime_id = Some(runtime.agent_spawn(&swarm, &agent, soon()).await.unwrap());
    let listed = runtime.agent_list(&swarm, soon()).await.unwrap();
    assert_eq!((listed.len(), listed[0].key.as_ref()), (1, Some(&agent.id)));
    let mut task = task(&swarm);
    let ack = runtime.task_orchestrate(&swarm, &task, soon()).await.unwrap();
    task.runtime_id = Some(ack.runtime_id);
    let report = runtime.task_status(&swarm, &task, soon()).await.unwrap();
    assert!(report.status.is_some());
    runtime.task_cancel(&swarm, &task, soon()).await.unwrap();
    runtime.agent_metrics(&agent, soon()).await.unwrap();
    runtime.agent_terminate(&swarm, &agent, soon()).await.unwrap();
    assert_eq!(runtime.agent_list(&swarm, soon()).await.unwrap(), []);
    runtime.swarm_destroy(&swarm, soon()).await.unwrap();
    let gone = runtime.swarm_status(&swarm, soon()).await.unwrap_err();
    assert!(matches!(gone, McpError::NotFound { .. }), "{gone:?}");
    running.shutdown(Duration::from_secs(2)).await;
}

#[actix::test]
async fn a_keyed_spawn_whose_answer_is_lost_makes_one_agent() {
    let faults = crate::mcp_runtime::faults::FaultPlan::default();
    for fault in [Fault::CloseBeforeReply, Fault::CloseMidReply] {
        let (running, runtime, _handle) = start(|config| config.faults = faults.clone()).await;
        let mut swarm = swarm();
        swarm.runtime_id = Some(runtime.swarm_init(&swarm, soon()).await.unwrap());
        faults.plan("agent_spawn", fault, 1);
        let agent = agent(&swarm);
        let id = runtime.agent_spawn(&swarm, &agent, soon()).await.unwrap();
        assert_eq!(faults.left(), 0);
        let listed = runtime.agent_list(&swarm, soon()).await.unwrap();
        assert_eq!((listed.len(), listed[0].runtime_id.as_str()), (1, id.as_str()));
        running.shutdown(Duration::from_secs(2)).await;
    }
}

#[actix::test]
async fn what_the_runtime_never_named_is_not_asked_about() {
    let (running, runtime, _handle) = start(|_| ()).await;
    let swarm = swarm();
    for error in [
        runtime.swarm_status(&swarm, soon()).await.unwrap_err(),
        runtime.swarm_destroy(&swarm, soon()).await.unwrap_err(),
        runtime.agent_terminate(&swarm, &agent(&swarm), soon()).await.unwrap_err(),
        runtime.task_cancel(&swarm, &task(&swarm), soon()).await.unwrap_err(),
    ] {
        assert!(matches!(error, McpError::NotFound { .. }), "{error:?}");
    }
    running.shutdown(Duration::from_secs(2)).await;
}

#[actix::test]
async fn a_child_process_is_a_runtime_too_and_is_started_again_when_it_ends() {
    // a shell loop that answers each line by its id: no more is needed to shake hands
    let script = r#"echo "starting" >&2; while read -r line; do
        id=$(printf '%s' "$line" | sed -n 's/.*"id":\("[^"]*"\).*/\1/p'); [ -n "$id" ] || continue
        case "$line" in
          *server/discover*) printf '{"jsonrpc":"2.0","id":%s,"error":{"code":-32601,"message":"no"}}\n' "$id";;
          *'"initialize"'*) printf '{"jsonrpc":"2.0","id":%s,"result":{"protocolVersion":"2024-11-05","capabilities":{},"serverInfo":{"name":"sh","version":"1"}}}\n' "$id";;
          *tools/list*) printf '{"jsonrpc":"2.0","id":%s,"result":{"tools":[{"name":"agent_list","description":"","inputSchema":{}},{"name":"swarm_destroy","description":"","inputSchema":{}}]}}\n' "$id";;
          *swarm_destroy*) exit 3;;
          *) printf '{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text","text":"{\\"agents\\":[]}"}]}}\n' "$id";;
        esac
      done"#;
    let target = McpTarget::Stdio { program: "sh".into(), args: vec!["-c".into(), script.into()] };
    let handle = connected(McpConfig::new(target)).await;
    assert_eq!(handle.health().server.as_deref(), Some("sh"));
    let answer = handle.call(call(RuntimeTool::AgentList, 0), soon()).await.unwrap();
    assert_eq!(answer, json!({"agents": []}));
    let ends = handle.call(call(RuntimeTool::SwarmDestroy, 0), soon()).await;
    assert_eq!(ends, Err(McpError::OutcomeUnknown { tool: "swarm_destroy" }));
    let answer = handle.call(call(RuntimeTool::AgentList, 0), soon()).await.unwrap();
    assert_eq!((answer, handle.health().connects), (json!({"agents": []}), 2));
}

/// A peer that answers each tool as a real runtime did, out of its transcript.
async fn replay(
    server: &str,
    tools: &[(&str, &[&str])],
    transcript: &str,
) -> (AgentRuntime, McpHandle, AbortOnDrop) {
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
    let cases: Vec<Value> = transcript.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let describe = |(name, properties): &(&str, &[&str])| {
        let properties: serde_json::Map<String, Value> =
            properties.iter().map(|name| ((*name).to_owned(), json!({}))).collect();
        json!({"name": name, "inputSchema": {"properties": properties}})
    };
    let list: Vec<Value> = tools.iter().map(describe).collect();
    let server = server.to_owned();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = actix::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let (read, mut write) = stream.into_split();
        for case in cases.iter().filter(|case| case["case"] == "noise" || case["case"] == "notification") {
            write.write_all(format!("{}\n", case["raw"].as_str().unwrap()).as_bytes()).await.unwrap();
        }
        let mut lines = BufReader::new(read).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            let message: Value = serde_json::from_str(&line).unwrap();
            let Some(id) = message.get("id") else { continue };
            let case = message["params"]["name"].as_str().unwrap_or_default();
            let mut answer = match message["method"].as_str().unwrap() {
                "initialize" => {
                    json!({"result": {"protocolVersion": "2024-11-05", "serverInfo": {"name": server}}})
                }
                "tools/list" => json!({"result": {"tools": list}}),
                "tools/call" => {
                    let found = cases.iter().find(|found| found["case"] == case).expect(case);
                    serde_json::from_str(found["raw"].as_str().unwrap()).unwrap()
                }
                _ => json!({"error": {"code": -32601, "message": "Method not found"}}),
            };
            answer["id"] = id.clone();
            write.write_all(format!("{answer}\n").as_bytes()).await.unwrap();
        }
    });
    let handle = connected(config(address)).await;
    (AgentRuntime::new(handle.clone()), handle, AbortOnDrop(task))
}

const RUV: &str = include_str!("../../../../tests/fixtures/wire/mcp/ruv-swarm.jsonl");
const FLOW3: &str = include_str!("../../../../tests/fixtures/wire/mcp/claude-flow-3.jsonl");

#[actix::test]
async fn ruv_swarm_is_understood() {
    let tools: &[(&str, &[&str])] = &[
        ("swarm_init", &["topology", "maxAgents", "strategy"]),
        ("agent_spawn", &["type", "name", "capabilities"]),
        ("agent_list", &["filter"]),
        ("task_orchestrate", &["task", "strategy", "priority", "maxAgents"]),
        ("task_status", &["taskId", "detailed"]),
    ];
    let (runtime, handle, _peer) = replay("ruv-swarm-no-timeout", tools, RUV).await;
    assert_eq!(handle.health().runtime, Some(RuntimeKind::RuvSwarm));
    let mut swarm = swarm();
    swarm.runtime_id = Some(runtime.swarm_init(&swarm, soon()).await.unwrap());
    assert_eq!(swarm.runtime_id.as_deref(), Some("swarm-1795474888672"));
    let spawned = runtime.agent_spawn(&swarm, &agent(&swarm), soon()).await.unwrap();
    let listed = runtime.agent_list(&swarm, soon()).await.unwrap();
    assert_eq!((listed[0].runtime_id.as_str(), listed[0].state), (spawned.as_str(), Some(AgentState::Idle)));
    let mut task = task(&swarm);
    let ack = runtime.task_orchestrate(&swarm, &task, soon()).await.unwrap();
    assert_eq!(ack.assigned.len(), 2);
    task.runtime_id = Some(ack.runtime_id);
    let report = runtime.task_status(&swarm, &task, soon()).await.unwrap();
    assert_eq!((report.status, report.progress), (Some(crate::domain::TaskState::Completed), Some(1.0)));
    let destroyed = runtime.swarm_destroy(&swarm, soon()).await.unwrap_err();
    assert_eq!(destroyed, McpError::UnsupportedByRuntime { tool: "swarm_destroy" });
}

#[actix::test]
async fn claude_flow_3_is_understood_and_tells_of_no_other_swarm() {
    let tools: &[(&str, &[&str])] = &[
        ("swarm_init", &["topology", "maxAgents", "strategy", "config"]),
        ("swarm_shutdown", &["swarmId", "graceful"]),
        ("agent_spawn", &["agentType", "agentId", "swarmId", "config", "task"]),
        ("agent_list", &["status", "domain"]),
        ("task_create", &["type", "description", "priority", "assignTo", "tags"]),
    ];
    let (runtime, handle, _peer) = replay("ruflo", tools, FLOW3).await;
    assert_eq!(handle.health().runtime, Some(RuntimeKind::ClaudeFlow3));
    let mut swarm = swarm();
    swarm.runtime_id = Some(runtime.swarm_init(&swarm, soon()).await.unwrap());
    assert_eq!(runtime.agent_spawn(&swarm, &agent(&swarm), soon()).await.unwrap(), "alpha");
    assert_eq!(runtime.agent_list(&swarm, soon()).await.unwrap(), []);
    let ack = runtime.task_orchestrate(&swarm, &task(&swarm), soon()).await.unwrap();
    assert_eq!(ack.runtime_id, "task-1795477226568-ysxeli");
    // the transcript's shutdown was of another swarm
    let other = runtime.swarm_destroy(&swarm, soon()).await.unwrap_err();
    assert!(
        matches!(&other, McpError::NotFound { message, .. } if message.contains("swarm-1795477226789-66t0su"))
    );
}
