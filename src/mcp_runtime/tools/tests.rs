//! What the tools answer, read by the same code that reads other runtimes.

use std::time::Duration;

use super::*;
use crate::domain::{AgentType, Timestamp};
use crate::mcp_runtime::engine::EngineLimits;
use crate::mcp_runtime::executor::WorkTiming;
use crate::wire::mcp::{ToolFailure, ToolResult};
use crate::wire::mcp::{agent_id_of, agents_of, swarm_id_of, task_id_of, unwrap_tool_result};

fn engine() -> Engine {
    Engine::new(EngineLimits::default(), WorkTiming::default())
}

fn moment(seconds: u64) -> Moment {
    let elapsed = Duration::from_secs(seconds);
    Moment { at: Timestamp::from_timestamp(1_800_000_000, 0).unwrap() + elapsed, elapsed }
}

fn at(seconds: u64, engine: &mut Engine, name: &str, arguments: Value) -> Result<Value, ToolFailure> {
    let Value::Object(arguments) = arguments else { panic!("arguments are an object") };
    let id = Uuid::from_u128(u128::from(seconds) << 64 | u128::from(arguments.len() as u64));
    let result = match call(ToolName::parse(name).unwrap(), engine, arguments, id, moment(seconds)) {
        Ok(value) => ToolResult::success(value),
        Err(error) => ToolResult::failure(error.code, &error.message),
    };
    unwrap_tool_result(&serde_json::to_value(result).unwrap())
}

fn swarm(engine: &mut Engine) -> String {
    let made = at(
        0,
        engine,
        "swarm_init",
        json!({"topology": "star", "maxAgents": 3.0, "idempotencyKey": "our-swarm"}),
    );
    let made = made.unwrap();
    assert_eq!((&made["success"], &made["status"]), (&json!(true), &json!("initialized")));
    assert_eq!(
        (&made["topology"], &made["maxAgents"], &made["strategy"]),
        (&json!("star"), &json!(3), &json!("balanced"))
    );
    assert_eq!((&made["key"], &made["existing"]), (&json!("our-swarm"), &json!(false)));
    assert_eq!(made["timestamp"], "2027-01-15T08:00:00.000Z");
    swarm_id_of(&made).unwrap()
}

#[test]
fn ids_and_lists_are_found_by_the_client_code() {
    let mut engine = engine();
    let swarm = swarm(&mut engine);
    let spawn = json!({"swarmId": swarm, "type": "coder", "name": "alpha", "capabilities": ["rust"], "idempotencyKey": "our-agent"});
    let made = at(1, &mut engine, "agent_spawn", spawn.clone()).unwrap();
    assert_eq!((&made["status"], &made["type"]), (&json!("idle"), &json!("coder")));
    let agent = agent_id_of(&made).unwrap();
    assert_eq!(swarm_id_of(&made).unwrap(), swarm);
    let again = at(2, &mut engine, "agent_spawn", spawn).unwrap();
    assert_eq!((agent_id_of(&again).unwrap(), &again["existing"]), (agent.clone(), &json!(true)));

    let task = at(
        3,
        &mut engine,
        "task_orchestrate",
        json!({"swarmId": swarm, "task": "do", "idempotencyKey": "our-task"}),
    );
    let task = task_id_of(&task.unwrap()).unwrap();
    let listed = at(3, &mut engine, "agent_list", json!({"swarmId": swarm})).unwrap();
    assert_eq!((&listed["count"], &listed["swarmId"]), (&json!(1), &json!(swarm)));
    let [seen] = &agents_of(&listed).unwrap()[..] else { panic!("{listed}") };
    assert_eq!(
        (seen.id.as_str(), seen.name.as_deref(), seen.kind.as_deref()),
        (agent.as_str(), Some("alpha"), Some("coder"))
    );
    assert_eq!((seen.status.as_deref(), &seen.raw["key"]), (Some("busy"), &json!("our-agent")));
    assert_eq!((&seen.raw["currentTask"], &seen.raw["capabilities"]), (&json!(task), &json!(["rust"])));
    assert_eq!(
        (&seen.raw["successRate"], &seen.raw["tokensUsed"]),
        (&Value::Null, &Value::Null),
        "unknown is null"
    );
    let idle = at(3, &mut engine, "agent_list", json!({"swarmId": swarm, "filter": "idle"})).unwrap();
    assert_eq!(agents_of(&idle).unwrap(), []);

    let ended = at(60, &mut engine, "task_status", json!({"taskId": task})).unwrap();
    assert_eq!(
        (&ended["status"], &ended["progress"], &ended["key"]),
        (&json!("completed"), &json!(1.0), &json!("our-task"))
    );
    assert_eq!(ended["assignedAgents"], json!([agent]));
    assert!(ended["result"].as_str().unwrap().starts_with("simulated work: "));
    let metrics = at(60, &mut engine, "agent_metrics", json!({"agentId": agent})).unwrap();
    assert_eq!((&metrics["tasksCompleted"], &metrics["successRate"]), (&json!(1), &json!(1.0)));
    assert_eq!((&metrics["workload"], &metrics["ageMs"]), (&json!(0.0), &json!(59_000)));
    assert!(metrics["tokensUsed"].is_null() && metrics["cpuUsage"].is_null() && metrics["simulated"] == true);
}

#[test]
fn status_and_ends_tell_what_there_was() {
    let mut engine = engine();
    let swarm = swarm(&mut engine);
    let spawned = at(1, &mut engine, "agent_spawn", json!({"swarmId": swarm, "type": "tester"})).unwrap();
    assert_eq!(spawned["name"], "tester-1");
    at(2, &mut engine, "task_orchestrate", json!({"swarmId": swarm, "task": "do", "maxAgents": 1})).unwrap();
    let status = at(2, &mut engine, "swarm_status", json!({"swarmId": swarm})).unwrap();
    assert_eq!(
        (&status["agentCount"], &status["busyAgents"], &status["activeTasks"]),
        (&json!(1), &json!(1), &json!(1))
    );
    assert_eq!((&status["executor"], &status["simulated"]), (&json!("demo"), &json!(true)));
    let all = at(2, &mut engine, "swarm_status", json!({})).unwrap();
    assert_eq!((&all["count"], &all["swarms"][0]["key"]), (&json!(1), &json!("our-swarm")));
    let gone = at(3, &mut engine, "agent_terminate", json!({"agentId": spawned["agentId"]})).unwrap();
    assert_eq!((&gone["status"], &gone["swarmId"]), (&json!("terminated"), &json!(swarm)));
    let destroyed = at(4, &mut engine, "swarm_destroy", json!({"swarmId": swarm})).unwrap();
    assert_eq!((&destroyed["agentsTerminated"], &destroyed["status"]), (&json!(0), &json!("destroyed")));
    assert!(matches!(
        at(5, &mut engine, "swarm_status", json!({"swarmId": swarm})),
        Err(ToolFailure::NotFound { .. })
    ));
}

#[test]
fn wrong_arguments_are_refused_by_name() {
    let mut engine = engine();
    let swarm = swarm(&mut engine);
    for (tool, arguments, says) in [
        (
            "swarm_init",
            json!({"topology": "torus"}),
            "unknown topology \"torus\"; allowed: mesh, hierarchical, ring, star",
        ),
        ("swarm_init", json!({"maxAgents": 2.5}), "2.5 is no whole number"),
        ("swarm_init", json!({"maxAgents": 0}), "maxAgents is 0; allowed: 1 to 200"),
        ("swarm_init", json!({"name": "x".repeat(51)}), "name has 51 characters"),
        ("agent_spawn", json!({"type": "coder"}), "missing field `swarmId`"),
        ("agent_spawn", json!({"swarmId": swarm, "type": "wizard"}), "unknown agent type \"wizard\""),
        (
            "agent_spawn",
            json!({"swarmId": swarm, "type": "coder", "capabilities": "rust"}),
            "expected a sequence",
        ),
        ("agent_list", json!({"swarmId": swarm, "filter": "dead"}), "allowed: all, idle, busy"),
        ("task_orchestrate", json!({"swarmId": swarm, "task": ""}), "description has 0 characters"),
        ("task_orchestrate", json!({"swarmId": swarm, "task": "x", "maxAgents": 99}), "max_agents is 99"),
        ("task_status", json!({"taskId": 7}), "expected a string"),
    ] {
        let failure = at(9, &mut engine, tool, arguments).unwrap_err();
        assert!(matches!(&failure, ToolFailure::Failed { .. }), "{failure}");
        assert!(failure.to_string().contains(says), "{failure}");
    }
    for (tool, arguments) in [
        ("swarm_status", json!({"swarmId": "swarm-nope"})),
        ("agent_terminate", json!({"agentId": "agent-1"})),
        ("agent_metrics", json!({"agentId": "1"})),
        ("task_cancel", json!({"taskId": "task-x", "swarmId": swarm})),
    ] {
        assert!(matches!(at(9, &mut engine, tool, arguments), Err(ToolFailure::NotFound { .. })), "{tool}");
    }
}

#[test]
fn the_list_describes_every_tool_and_names_its_required_arguments() {
    let tools = list(&EngineLimits::default());
    assert_eq!(tools.len(), ToolName::ALL.len());
    for tool in &tools {
        assert!(ToolName::parse(&tool.name).is_some() && !tool.description.is_empty());
        assert_eq!(tool.input_schema["type"], "object");
        let required = tool.input_schema["required"].as_array().unwrap();
        assert!(required.iter().all(|name| tool.takes(name.as_str().unwrap())), "{}", tool.name);
        let makes = ["swarm_init", "agent_spawn", "task_orchestrate"].contains(&tool.name.as_str());
        assert_eq!(tool.takes("idempotencyKey"), makes, "{}", tool.name);
    }
    let spawn = tools.iter().find(|tool| tool.name == "agent_spawn").unwrap();
    let kinds = spawn.input_schema["properties"]["type"]["enum"].as_array().unwrap();
    assert_eq!(kinds.len(), AgentType::ALL.len());
    assert!(ToolName::parse("rm").is_none());
}
