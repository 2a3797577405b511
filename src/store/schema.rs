//! The tables as the queries see them; written by hand, since one description serves both databases.
//!
//! v1's own columns that v2 neither reads nor writes (`memory_usage`, `x`, `y`, `z`) are left out.

diesel::table! {
    use diesel::sql_types::*;
    use crate::store::types::sql::*;
    swarms (id) {
        id -> DbUuid,
        owner -> Text,
        name -> Text,
        topology -> Text,
        strategy -> Text,
        max_agents -> BigInt,
        status -> Text,
        reason -> Nullable<Text>,
        runtime_id -> Nullable<Text>,
        epoch -> BigInt,
        version -> BigInt,
        next_slot -> BigInt,
        next_event_seq -> BigInt,
        created_at -> DbTs,
        updated_at -> DbTs,
        last_used_at -> DbTs,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::store::types::sql::*;
    agents (id) {
        id -> Text,
        #[sql_name = "type"]
        kind -> Text,
        name -> Nullable<Text>,
        status -> Text,
        capabilities -> Text,
        current_task -> Nullable<Text>,
        cpu_usage -> Nullable<Float>,
        health -> Nullable<Float>,
        workload -> Nullable<Float>,
        created_at -> DbV1Time,
        updated_at -> Nullable<DbV1Time>,
        swarm_id -> DbUuid,
        slot -> Nullable<BigInt>,
        stage -> Text,
        runtime_id -> Nullable<Text>,
        figures -> Nullable<DbJson>,
        observed_at -> Nullable<DbTs>,
        source -> Nullable<Text>,
        stale -> Bool,
        missed_polls -> BigInt,
        accepted_at -> Nullable<DbTs>,
        changed_at -> Nullable<DbTs>,
        v1_status -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::store::types::sql::*;
    tasks (id) {
        id -> Text,
        agent_id -> Nullable<Text>,
        description -> Text,
        status -> Text,
        priority -> Nullable<Text>,
        result -> Nullable<Text>,
        created_at -> DbV1Time,
        completed_at -> Nullable<DbV1Time>,
        swarm_id -> DbUuid,
        uid -> Nullable<DbUuid>,
        strategy -> Nullable<Text>,
        max_agents -> Nullable<BigInt>,
        stage -> Text,
        progress -> Nullable<Float>,
        reason -> Nullable<Text>,
        assigned_agents -> Nullable<DbJson>,
        runtime_id -> Nullable<Text>,
        observed_at -> Nullable<DbTs>,
        accepted_at -> Nullable<DbTs>,
        changed_at -> Nullable<DbTs>,
        finished_at -> Nullable<DbTs>,
        v1_status -> Nullable<Text>,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::store::types::sql::*;
    events (swarm_id, seq) {
        swarm_id -> DbUuid,
        seq -> BigInt,
        at -> DbTs,
        actor -> Text,
        kind -> Text,
        data -> DbJson,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::store::types::sql::*;
    layout_snapshots (swarm_id) {
        swarm_id -> DbUuid,
        epoch -> BigInt,
        tick -> BigInt,
        taken_at -> DbTs,
        positions -> Binary,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::store::types::sql::*;
    revoked_tokens (jti) {
        jti -> Text,
        expires_at -> DbTs,
        revoked_at -> DbTs,
    }
}

diesel::table! {
    use diesel::sql_types::*;
    use crate::store::types::sql::*;
    idempotency_keys (subject, key) {
        subject -> Text,
        key -> Text,
        route -> Text,
        body_hash -> Text,
        status -> Nullable<Integer>,
        response -> Nullable<Text>,
        created_at -> DbTs,
    }
}

diesel::allow_tables_to_appear_in_same_query!(swarms, agents, tasks);
