//! Swarms at work, restarts, shutdowns.

use visionflow::mcp_runtime::WorkTiming;

use super::*;

fn quick() -> RuntimeConfig {
    let step = Duration::from_millis(20);
    RuntimeConfig {
        work: WorkTiming { steps_min: 4, steps_max: 4, step_min: step, step_max: step },
        ..any_port()
    }
}

#[tokio::test]
async fn agents_work_and_rest_by_themselves() {
    let runtime = start(quick()).await;
    let mut client = Client::connect(runtime.mcp_addr()).await;
    let swarm = client.make_swarm("k").await;
    // The task comes first: it has to wait for an agent, and the agent's arrival has to wake the executor.
    let task = client.call("task_orchestrate", json!({"swarmId": swarm, "task": "do"})).await;
    assert_eq!((&task["status"], &task["assignedAgents"]), (&json!("pending"), &json!([])));
    let agent = client.call("agent_spawn", json!({"swarmId": swarm, "type": "coder"})).await;
    assert_eq!(agent["status"], "busy");
    let mut progress = vec![0.0];
    within("the task", async {
        loop {
            // Only the health endpoint is asked for news, so the executor must have ended the steps itself.
            health_becomes(&runtime, "news", |_| true).await;
            let now = client.call("task_status", json!({"taskId": task["taskId"]})).await;
            progress.push(now["progress"].as_f64().unwrap());
            if now["status"] == "completed" {
                return assert!(
                    now["result"].as_str().unwrap().starts_with("simulated work: 4 steps by 1 agents")
                );
            }
            assert_eq!(now["status"], "in_progress");
        }
    })
    .await;
    assert!(progress.is_sorted(), "{progress:?}");
    let listed = client.call("agent_list", json!({"swarmId": swarm})).await;
    assert_eq!(
        (&listed["agents"][0]["status"], &listed["agents"][0]["tasksCompleted"]),
        (&json!("idle"), &json!(1))
    );
}

#[tokio::test]
async fn the_executor_needs_nobody_to_ask() {
    let runtime = start(quick()).await;
    let mut client = Client::connect(runtime.mcp_addr()).await;
    let swarm = client.make_swarm("k").await;
    client.call("agent_spawn", json!({"swarmId": swarm, "type": "coder"})).await;
    client.call("task_orchestrate", json!({"swarmId": swarm, "task": "do"})).await;
    // The health report does not move the state by itself.
    health_becomes(&runtime, "the task to end", |report| {
        report["open_tasks"] == 0 && report["busy_agents"] == 0
    })
    .await;
}

#[tokio::test]
async fn a_restarted_runtime_knows_nothing_and_takes_everything_again_by_key() {
    let runtime = start(any_port()).await;
    let (mcp_addr, health_addr) = (runtime.mcp_addr(), runtime.health_addr());
    let mut client = Client::connect(mcp_addr).await;
    let before = client.make_swarm("our-swarm").await;
    assert_eq!(client.make_swarm("our-swarm").await, before);
    assert!(
        tokio::time::timeout(Duration::ZERO, runtime.ended()).await.is_err(),
        "it does not end by itself"
    );
    assert!(runtime.shutdown(WAIT).await);
    client.ended().await;
    assert!(TcpStream::connect(mcp_addr).await.is_err() && TcpStream::connect(health_addr).await.is_err());

    let runtime = start(RuntimeConfig::new(mcp_addr, health_addr)).await;
    let mut client = Client::connect(mcp_addr).await;
    let gone = client.call("swarm_status", json!({"swarmId": before})).await;
    assert_eq!((&gone["success"], &gone["code"]), (&json!(false), &json!("swarm_not_found")));
    let after = client.make_swarm("our-swarm").await;
    assert_ne!(after, before, "an id of an earlier life never names something else");
    assert!(runtime.shutdown(WAIT).await);
}

#[tokio::test]
async fn answers_that_wait_are_sent_before_the_end() {
    let runtime = start(any_port()).await;
    let mut client = Client::connect(runtime.mcp_addr()).await;
    for _ in 0..50 {
        client.line(GUIDE_TOOLS_LIST).await;
    }
    assert_eq!(client.next().await.unwrap()["id"], 2);
    assert!(runtime.shutdown(WAIT).await);
    while let Some(answer) = client.raw().await {
        assert!(answer.ends_with('\n'), "a whole line");
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_does_not_hold_up_the_end() {
    let runtime = start(any_port()).await;
    let client = Client::connect(runtime.mcp_addr()).await;
    let (_reader, mut writer) = (client.reader, client.writer.unwrap());
    let line = format!("{GUIDE_TOOLS_LIST}\n");
    while let Ok(written) = tokio::time::timeout(FULL_AFTER, writer.write_all(line.as_bytes())).await {
        written.unwrap();
    }
    let started = tokio::time::Instant::now();
    assert!(!runtime.shutdown(Duration::from_millis(200)).await, "it says that somebody was cut off");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn dropping_a_runtime_ends_it() {
    let runtime = start(any_port()).await;
    let (mcp_addr, health_addr) = (runtime.mcp_addr(), runtime.health_addr());
    let mut client = Client::connect(mcp_addr).await;
    client.ask(1, "ping", Value::Null).await;
    drop(runtime);
    client.ended().await;
    within("both ports to be closed", async {
        while TcpStream::connect(mcp_addr).await.is_ok() || TcpStream::connect(health_addr).await.is_ok() {}
    })
    .await;
}

#[tokio::test]
async fn it_runs_on_an_arbiter_of_its_own() {
    let (send, started) = tokio::sync::oneshot::channel();
    let thread = std::thread::spawn(move || {
        actix_rt::System::new().block_on(async move {
            let (done, ended) = tokio::sync::oneshot::channel::<()>();
            send.send((McpRuntime::start(any_port()).await.unwrap(), done)).unwrap();
            ended.await.unwrap();
        });
    });
    let (runtime, done) = within("the start", started).await.unwrap();
    let mut client = Client::connect(runtime.mcp_addr()).await;
    assert_eq!(client.ask(1, "ping", Value::Null).await["result"], json!({}));
    assert_eq!(health(&runtime).await["status"], "healthy");
    assert!(runtime.shutdown(WAIT).await, "from another thread");
    done.send(()).unwrap();
    thread.join().unwrap();
}
