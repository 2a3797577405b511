//! Loads settings from folders of their own: layers, ranges, messages, secrets, documents.

use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

use secrecy::ExposeSecret;

use super::values::{mask_url, parse_origins};
use super::*;

const SECRET: &str = "0123456789abcdef0123456789abcdef";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn write(dir: &tempfile::TempDir, name: &str, text: &str) {
    let path = dir.path().join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn input(dir: &tempfile::TempDir) -> LoadInput {
    LoadInput::new(dir.path())
}

/// The one problem of an input that must have exactly one.
fn problem(input: &LoadInput) -> Problem {
    let error = Settings::load(input).unwrap_err();
    assert_eq!(error.problems().len(), 1, "{error}");
    error.problems()[0].clone()
}

fn source(settings: &Settings, key: &str) -> String {
    settings.effective().iter().find(|row| row.key == key).unwrap().source.clone()
}

#[test]
fn nothing_set_gives_the_documented_defaults() {
    let dir = folder();
    let s = Settings::load(&input(&dir)).unwrap();
    assert_eq!(s.profile, Profile::Development);
    assert_eq!(s.server.address().to_string(), "127.0.0.1:3001");
    assert_eq!(s.mcp.server, McpServer::Embedded);
    assert_eq!((s.mcp.connection_pool_size, s.mcp.port, s.mcp.health_port), (10, 9500, 9501));
    assert_eq!(s.mcp.connection_timeout, Duration::from_secs(30));
    assert_eq!(s.mcp.keepalive_interval, Duration::from_secs(5));
    assert_eq!(s.client.poll_rate, Duration::from_secs(1));
    assert_eq!((s.client.max_swarms, s.client.position_update_fps), (5, 60));
    assert_eq!((s.swarm.default_topology, s.swarm.max_agents), ("mesh", 200));
    assert_eq!(s.swarm.idle_timeout, Duration::from_secs(3600));
    assert_eq!((s.compute.batch_size, s.compute.threads_per_block), (64, 256));
    assert!(s.effective().iter().all(|row| row.source == "default"));
}

#[test]
fn nothing_set_gives_safe_defaults_and_makes_no_files() {
    let dir = folder();
    let s = Settings::load(&input(&dir)).unwrap();
    assert_eq!(s.security.cors_allowed_origins, ["http://localhost:3001"]);
    assert_eq!(s.data.dir, dir.path().join("data"));
    assert_eq!(s.log.format, LogFormat::Pretty);
    assert!(!s.metrics.public && s.metrics.token.is_none());
    let DatabaseUrl::Sqlite { path } = &s.database.url else { panic!("{:?}", s.database.url) };
    assert_eq!(path, &dir.path().join("data/visionflow.db"));
    assert!(s.warnings.is_empty(), "{:?}", s.warnings);
    assert!(!dir.path().join("data").exists(), "loading makes no files");
}

#[test]
fn every_row_is_consistent() {
    for row in ROWS {
        assert!(!row.doc.is_empty() && row.doc.ends_with('.'), "{}", row.key);
        assert_eq!(ROWS.iter().filter(|other| other.key == row.key).count(), 1, "{}", row.key);
        if let Kind::Whole { min, max, step } = row.kind {
            let default: u64 = row.default.parse().unwrap();
            assert!(min <= default && default <= max && default.is_multiple_of(step), "{}", row.key);
        }
    }
}

#[test]
fn every_limit_is_accepted_and_one_beyond_is_refused() {
    let dir = folder();
    for row in ROWS {
        let Kind::Whole { min, max, step } = row.kind else { continue };
        // Ports may collide with each other only at other values than these.
        for good in [min, max] {
            let loaded = Settings::load(&input(&dir).var(&row.name(), &good.to_string()));
            assert!(loaded.is_ok(), "{} = {good}: {}", row.key, loaded.unwrap_err());
        }
        let beyond = (max + step).to_string();
        let too_small = if min == 0 { "-1".to_owned() } else { (min - 1).to_string() };
        for bad in
            [beyond.as_str(), too_small.as_str(), "ten", "1.5", "1e3", "0x10", "30s", "99999999999999999999"]
        {
            let found = problem(&input(&dir).var(&row.name(), bad));
            assert_eq!((found.name.as_str(), found.value.as_deref()), (row.name().as_str(), Some(bad)));
            assert!(found.reason.contains(&max.to_string()), "{found}");
        }
    }
}

#[test]
fn later_layers_win_and_say_so() {
    let dir = folder();
    let fps = |input: &LoadInput| {
        let settings = Settings::load(input).unwrap();
        (settings.client.position_update_fps, source(&settings, "client.position_update_fps"))
    };
    let pairs = |number, origin: &str| (number, origin.to_owned());
    let mut layered = input(&dir);
    assert_eq!(fps(&layered), pairs(60, "default"));
    write(&dir, "config/default.toml", "[client]\nposition_update_fps = 10\n");
    assert_eq!(fps(&layered), pairs(10, "config/default.toml"));
    write(&dir, "config/development.toml", "client.position_update_fps = 20\n");
    assert_eq!(fps(&layered), pairs(20, "config/development.toml"));
    write(&dir, ".env", "POSITION_UPDATE_FPS=30\n");
    assert_eq!(fps(&layered), pairs(30, ".env"));
    layered = layered.var("POSITION_UPDATE_FPS", "");
    assert_eq!(fps(&layered), pairs(30, ".env"), "empty is unset");
    layered = layered.var("POSITION_UPDATE_FPS", "40");
    assert_eq!(fps(&layered), pairs(40, "environment"));
    layered = layered.flag("client.position_update_fps", "50");
    assert_eq!(fps(&layered), pairs(50, "command line"));
}

#[test]
fn a_key_is_set_by_its_path_too() {
    let dir = folder();
    let s = Settings::load(&input(&dir).var("VISIONFLOW__DATABASE__POOL_SIZE", "3")).unwrap();
    assert_eq!(s.database.pool_size, 3);
    let both = input(&dir).var("PORT", "1").var("VISIONFLOW__SERVER__PORT", "2");
    let found = problem(&both);
    assert!(found.to_string().contains("is set to another value by PORT"), "{found}");
    let typo = problem(&input(&dir).var("VISIONFLOW__DATABASE__POOL_SIZ", "3"));
    assert!(typo.reason.contains("did you mean VISIONFLOW__DATABASE__POOL_SIZE?"), "{typo}");
}

#[test]
fn all_problems_come_at_once() {
    let dir = folder();
    write(
        &dir,
        "config/default.toml",
        "[mcp]\nconnection_pool_sise = 3\nkeepalive_interval_ms = [1]\n[srv]\nx = 1\n",
    );
    write(&dir, ".env", "MAX_AGENTS_PER_SWARM=0\nJWT_SECRET=<generate-new-secret>\n");
    let bad = input(&dir)
        .var("POSITION_UPDATE_FPS", "241")
        .var("FORCE_CALCULATION_THREADS", "100")
        .var("DEFAULT_SWARM_TOPOLOGY", "torus")
        .var("MCP_SERVER", "multi-agent-container:9500")
        .var("CORS_ALLOWED_ORIGINS", "*")
        .var("METRICS_PUBLIC", "maybe")
        .var("BIND", "localhost");
    let text = Settings::load(&bad).unwrap_err().to_string();
    let expected = [
        r"mcp.connection_pool_sise (config/default.toml): is not a setting; did you mean mcp.connection_pool_size?",
        r"mcp.keepalive_interval_ms (config/default.toml): is a list; allowed: a whole number from 50 to 600000 ms",
        r"srv.x (config/default.toml): is not a setting",
        r#"MAX_AGENTS_PER_SWARM = "0" (.env): is too small; allowed: a whole number from 1 to 100000 agents"#,
        r#"JWT_SECRET = "***" (.env): still holds the placeholder of the guide"#,
        r#"POSITION_UPDATE_FPS = "241" (environment): is too large"#,
        r#"FORCE_CALCULATION_THREADS = "100" (environment): is not a multiple of 32"#,
        r#"DEFAULT_SWARM_TOPOLOGY = "torus" (environment): is not known; allowed: mesh, hierarchical, ring, star"#,
        r#"MCP_SERVER = "multi-agent-container:9500" (environment): is none of the forms known; allowed: embedded"#,
        r"CORS_ALLOWED_ORIGINS",
        r"METRICS_PUBLIC",
        r#"BIND = "localhost" (environment): is not an IP address"#,
    ];
    for part in expected {
        assert!(text.contains(part), "{part}\nis not in\n{text}");
    }
    assert_eq!(text.lines().count(), expected.len() + 1, "{text}");
}

#[test]
fn misspelt_variables_are_warned_of() {
    let dir = folder();
    let odd = input(&dir)
        .var("MCP_CONECTION_TIMEOUT", "1")
        .var("DEFUALT_SWARM_TOPOLOGY", "ring")
        .var("MCP_HOST", "10.0.0.1")
        .var("MAX_CONNECTIONS_OF_ANOTHER_PROGRAM", "1")
        .var("HOME", "/root")
        .var("JWT_SECRETS", "");
    let warnings = Settings::load(&odd).unwrap().warnings;
    assert_eq!(warnings.len(), 3, "{warnings:?}");
    assert!(
        warnings[0].contains("DEFUALT_SWARM_TOPOLOGY")
            && warnings[0].ends_with("mean DEFAULT_SWARM_TOPOLOGY?")
    );
    assert!(warnings[1].ends_with("did you mean MCP_CONNECTION_TIMEOUT?"), "{warnings:?}");
    assert!(warnings[2].starts_with("MCP_HOST (environment) is not a setting"), "{warnings:?}");
}

#[test]
fn broken_files_are_named_and_secrets_in_them_are_not_shown() {
    let dir = folder();
    write(&dir, "config/default.toml", "[security]\njwt_secret = \"hunter2hunter2\n");
    write(&dir, ".env", "JWT_SECRET=hunter2 hunter2\nPORT=4000\n");
    let error = Settings::load(&input(&dir)).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("config/default.toml: is not TOML"), "{text}");
    assert!(text.contains("JWT_SECRET (.env line 1): cannot be parsed"), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn profiles_bring_their_defaults() {
    let dir = folder();
    let s = Settings::load(&input(&dir).var("APP_ENV", "production").var("JWT_SECRET", SECRET)).unwrap();
    assert_eq!(s.server.bind.to_string(), "0.0.0.0");
    assert_eq!(s.mcp.bind.to_string(), "127.0.0.1", "a profile does not expose the runtime");
    assert_eq!(s.log.format, LogFormat::Json);
    assert_eq!(source(&s, "server.bind"), "default of production");
    let said = input(&dir).var("BIND", "0.0.0.0");
    assert_eq!(Settings::load(&said).unwrap().mcp.bind.to_string(), "0.0.0.0");
    let s = Settings::load(&input(&dir).var("APP_ENV", "test")).unwrap();
    assert_eq!((s.server.port, s.mcp.port, s.mcp.health_port), (0, 0, 0));
    for name in ["staging", "../../etc/passwd", "Production"] {
        let error = Settings::load(&input(&dir).var("APP_ENV", name).var("JWT_SECRET", SECRET)).unwrap_err();
        assert!(error.to_string().contains("APP_ENV = "), "{error}");
    }
    write(&dir, "config/staging.toml", "[server]\nport = 8080\n");
    write(&dir, ".env", "APP_ENV=staging\n");
    let s = Settings::load(&input(&dir).var("JWT_SECRET", SECRET)).unwrap();
    assert_eq!((s.server.port, s.profile.as_str()), (8080, "staging"));
    let missing = problem(&input(&dir));
    assert!(missing.to_string().starts_with("JWT_SECRET: is not set"), "{missing}");
}

#[test]
fn production_refuses_to_guess_a_secret_but_tools_run() {
    let dir = folder();
    let production = input(&dir).var("APP_ENV", "production");
    assert_eq!(problem(&production).name, "JWT_SECRET");
    let tool = production
        .clone()
        .purpose(Purpose::Database)
        .var("PORT", "x")
        .var("JWT_SECRET", "<generate-new-secret>");
    let settings = Settings::load(&tool).unwrap();
    assert!(matches!(settings.signing_secrets(), Err(SettingsError::Invalid(_))));
    assert_eq!(problem(&tool.clone().var("DATABASE_URL", "mysql://x")).name, "DATABASE_URL");
    let short = problem(&production.var("JWT_SECRET", "short"));
    assert_eq!(
        short.to_string(),
        "JWT_SECRET = \"***\" (environment): has only 5 bytes; allowed: a secret of at least 32 bytes"
    );
}

#[test]
fn secrets_come_from_files_and_are_masked() {
    let dir = folder();
    write(&dir, "run/secret", &format!("{SECRET}\n"));
    let with_file = input(&dir)
        .var("JWT_SECRET_FILE", "run/secret")
        .var("METRICS_TOKEN", "metrics-token-of-us")
        .var("DATABASE_URL", "postgres://vf:p@ss:w0rd@db/vf?password=x&sslmode=disable");
    let s = Settings::load(&with_file).unwrap();
    assert_eq!(s.signing_secrets().unwrap().current.expose_secret(), SECRET);
    let text = render_text(s.effective());
    let json = render_json(s.effective()).unwrap();
    for shown in [text.as_str(), json.as_str(), &format!("{s:?}")] {
        for secret in [SECRET, "metrics-token-of-us", "p@ss", "w0rd"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
    assert!(text.contains("postgres://vf:***@db/vf?password=***&sslmode=disable"), "{text}");
    assert!(s.database.url.expose().contains("p@ss:w0rd"));
    let parsed: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(parsed.as_array().unwrap().len(), ROWS.len());
    let missing = problem(&input(&dir).var("JWT_SECRET_FILE", "run/none"));
    assert!(missing.reason.contains("cannot be read"), "{missing}");
    let both = problem(&with_file.var("JWT_SECRET", &SECRET.to_uppercase()));
    assert!(both.reason.contains("set one of the two") && !both.to_string().contains(SECRET), "{both}");
}

#[test]
fn ports_must_differ() {
    let dir = folder();
    assert_eq!(problem(&input(&dir).var("PORT", "9500")).key, Some("mcp.port"));
    assert_eq!(problem(&input(&dir).var("MCP_PORT", "9501")).key, Some("mcp.health_port"));
    let elsewhere = input(&dir).var("PORT", "9500").var("MCP_SERVER", "tcp://agents:9500");
    assert!(Settings::load(&elsewhere).is_ok());
}

#[test]
fn a_generated_secret_is_kept_private_and_shared_by_racers() {
    let dir = folder();
    let settings = Settings::load(&input(&dir)).unwrap();
    let secrets: Vec<String> = std::thread::scope(|scope| {
        let racers: Vec<_> = (0..16)
            .map(|_| scope.spawn(|| settings.signing_secrets().unwrap().current.expose_secret().to_owned()))
            .collect();
        racers.into_iter().map(|racer| racer.join().unwrap()).collect()
    });
    assert!(
        secrets.iter().all(|secret| secret == &secrets[0] && secret.len() == 64),
        "{} of them",
        secrets.len()
    );
    let path = dir.path().join("data/jwt_secret");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(dir.path().join("data")).unwrap().count(), 1, "no temporary file is left");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert_eq!(settings.signing_secrets().unwrap().current.expose_secret(), secrets[0]);
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600, "closed again");
    std::fs::write(&path, "short\n").unwrap();
    assert!(matches!(settings.signing_secrets(), Err(SettingsError::SecretUnusable { .. })));
}

#[test]
fn values_with_a_form_are_parsed() {
    let stdio = |program: &str, args: &[&str]| McpServer::Stdio {
        program: program.to_owned(),
        args: args.iter().map(|arg| (*arg).to_owned()).collect(),
    };
    let tcp = |host: &str, port| McpServer::Tcp { host: host.to_owned(), port };
    for (text, server) in [
        ("tcp://multi-agent-container:9500", tcp("multi-agent-container", 9500)),
        ("tcp://agents", tcp("agents", 9500)),
        ("tcp://[::1]:77/", tcp("::1", 77)),
        ("stdio:npx -y claude-flow mcp start", stdio("npx", &["-y", "claude-flow", "mcp", "start"])),
        (r#"stdio:'a b' "c \" d" e\ f """#, stdio("a b", &["c \" d", "e f", ""])),
    ] {
        assert_eq!(McpServer::parse(text), Ok(server), "{text}");
    }
    for text in [
        "",
        "Embedded?",
        "tcp://",
        "tcp://:1",
        "tcp://a:0",
        "tcp://a:65536",
        "tcp://a:b",
        "tcp://a/b",
        "tcp://[x]:1",
        "stdio:",
        "stdio:  ",
        "stdio:'x",
        "stdio:x\\",
        "http://a",
    ] {
        assert!(McpServer::parse(text).is_err(), "{text}");
    }
    for text in
        ["", "sqlite://", "sqlite::memory:", "sqlite://a?mode=rwc", "postgres://", "postgres://a b", "/a/b"]
    {
        assert!(DatabaseUrl::parse(text).is_err(), "{text}");
    }
    let dir = folder();
    let relative = Settings::load(&input(&dir).var("DATABASE_URL", "sqlite://x/y.db")).unwrap();
    assert!(relative.database.url.expose().ends_with("/x/y.db"));
    let absolute = Settings::load(&input(&dir).var("DATABASE_URL", "sqlite:///x/y.db")).unwrap();
    assert_eq!(absolute.database.url.expose(), "sqlite:///x/y.db");
    assert_eq!(
        parse_origins("HTTP://Example.org:80/, https://a:8443,https://a:8443 ,http://[::1]:3001").unwrap(),
        ["http://example.org", "https://a:8443", "http://[::1]:3001"]
    );
    for text in
        ["*", "example.org", "ftp://a", "http://a/path", "http://", "null", "http://a:99999", "http://u@a"]
    {
        assert!(parse_origins(text).is_err(), "{text}");
    }
    assert_eq!(mask_url("postgres:///db"), "postgres:///db");
    assert_eq!(mask_url("postgres://u@h/db"), "postgres://u@h/db");
}

#[test]
fn an_empty_list_of_origins_allows_nobody() {
    let dir = folder();
    write(&dir, "config/default.toml", "[security]\ncors_allowed_origins = []\n");
    assert!(Settings::load(&input(&dir)).unwrap().security.cors_allowed_origins.is_empty());
}

/// The committed documents are what the table gives; a wrong one is written beside the build for copying.
#[test]
fn documents_are_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (name, wanted) in [("default.toml", default_toml()), ("env.example", env_example())] {
        let committed = std::fs::read_to_string(root.join("config").join(name)).unwrap();
        if committed != wanted {
            let fresh = root.join("target").join(name);
            std::fs::write(&fresh, wanted).unwrap();
            panic!("config/{name} is not current: cp {} config/{name}", fresh.display());
        }
    }
}

#[test]
fn the_example_is_a_working_env_file() {
    let dir = folder();
    // Each line with its comment mark taken off, as a user would.
    let text: String = env_example()
        .lines()
        .map(|line| {
            line.strip_prefix("# ").filter(|rest| rest.split('=').next().is_some_and(is_name)).unwrap_or(line)
        })
        .map(|line| format!("{line}\n"))
        .collect();
    write(&dir, ".env", &text);
    let settings = Settings::load(&input(&dir)).unwrap();
    assert!(settings.warnings.is_empty(), "{:?}", settings.warnings);
    assert_eq!(source(&settings, "server.port"), ".env");
}

fn is_name(text: &str) -> bool {
    text.len() > 1 && text.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

#[test]
fn the_guide_s_env_file_is_accepted_once_it_has_a_secret() {
    let dir = folder();
    let guide = "MCP_CONNECTION_POOL_SIZE=10\nMCP_CONNECTION_TIMEOUT=30000\nMCP_KEEPALIVE_INTERVAL=5000\n\n# Client\n\
        CLIENT_POLL_RATE_MS=1000\nMAX_SWARMS_PER_CLIENT=5\nPOSITION_UPDATE_FPS=60\nDEFAULT_SWARM_TOPOLOGY=mesh\n\
        MAX_AGENTS_PER_SWARM=200\nSWARM_IDLE_TIMEOUT=3600000\nGPU_COMPUTE_BATCH_SIZE=64\nFORCE_CALCULATION_THREADS=256\n\
        JWT_SECRET=<generate-new-secret>\nCORS_ALLOWED_ORIGINS=http://localhost:3001\n";
    write(&dir, ".env", guide);
    assert_eq!(problem(&input(&dir)).name, "JWT_SECRET");
    write(&dir, ".env", &guide.replace("<generate-new-secret>", SECRET));
    assert!(Settings::load(&input(&dir)).unwrap().warnings.is_empty());
    let tuned = input(&dir)
        .var("MCP_CONNECTION_POOL_SIZE", "20")
        .var("MCP_CONNECTION_TIMEOUT", "60000")
        .var("GPU_COMPUTE_BATCH_SIZE", "128")
        .var("FORCE_CALCULATION_THREADS", "512")
        .var("CLIENT_POLL_RATE_MS", "2000");
    assert!(Settings::load(&tuned).is_ok());
}
