//! Tasks: submitting, listing, showing and cancelling them.

use std::fmt;
use std::str::FromStr;

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};

use super::agents::confirmed;
use super::auth::{Caller, Writer};
use super::body::JsonText;
use super::cursor::{Page, Params};
use super::dto::{List, new_task};
use super::error::Code;
use super::keyed::Once;
use super::problem::{ApiError, echo};
use super::state::AppState;
use crate::actors::swarm::SwarmHandle;
use crate::domain::{Task, TaskId, Timestamp};
use crate::identity::Role;

type Answer = Result<HttpResponse, ApiError>;

/// Where a task is in the order of a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct TaskKey {
    created_at: Timestamp,
    id: TaskId,
}

impl TaskKey {
    const fn of(task: &Task) -> Self {
        Self { created_at: task.created_at, id: task.id }
    }
}

impl fmt::Display for TaskKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.created_at.timestamp_micros(), self.id)
    }
}

impl FromStr for TaskKey {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let key = text.split_once('.').and_then(|(micros, id)| {
            let created_at = Timestamp::from_timestamp_micros(micros.parse().ok()?)?;
            Some(Self { created_at, id: id.parse().ok()? })
        });
        key.ok_or(())
    }
}

/// `POST /api/swarms/{id}/tasks`: 201 once the runtime has acknowledged it, 202 before.
pub(crate) async fn submit(
    writer: Writer,
    state: web::Data<AppState>,
    path: web::Path<String>,
    text: JsonText,
    req: HttpRequest,
) -> Answer {
    Once::of(&state, &writer, &req)?.run(async move { submit_now(&writer, &state, &path, &text).await }).await
}

async fn submit_now(writer: &Writer, state: &AppState, id: &str, text: &JsonText) -> Answer {
    let swarm = state.swarm(&writer.0, id)?;
    let new = new_task(&text.0)?;
    let task = swarm.submit_task(new, writer.subject(), state.deadline()).await?;
    let mut answer = if confirmed(task.stage) { HttpResponse::Created() } else { HttpResponse::Accepted() };
    Ok(answer.insert_header((LOCATION, format!("/api/tasks/{}", task.id))).json(task))
}

/// `GET /api/swarms/{id}/tasks?limit&cursor`: newest first, also those that ended long ago.
pub(crate) async fn list(
    caller: Caller,
    state: web::Data<AppState>,
    path: web::Path<String>,
    req: HttpRequest,
) -> Answer {
    let mut params = Params::parse(req.query_string())?;
    let page = Page::<TaskKey>::take(&mut params, "tasks")?;
    params.finish()?;
    let swarm = state.swarm(&caller, &path)?;
    let mut items: Vec<Task> = state
        .swarms
        .tasks(swarm.id(), page.after.map(|key| (key.created_at, key.id)), page.limit + 1)
        .await?;
    let next_cursor = page.cut("tasks", &mut items, TaskKey::of);
    Ok(HttpResponse::Ok().json(List { items, next_cursor }))
}

/// `GET /api/tasks/{task_id}`.
pub(crate) async fn show(caller: Caller, state: web::Data<AppState>, path: web::Path<String>) -> Answer {
    let (task, _swarm) = find(&state, &caller, &path).await?;
    Ok(HttpResponse::Ok().json(task))
}

/// `POST /api/tasks/{task_id}/cancel`: 200 once the runtime has acknowledged it, 202 before.
pub(crate) async fn cancel(
    writer: Writer,
    state: web::Data<AppState>,
    path: web::Path<String>,
    req: HttpRequest,
) -> Answer {
    Once::of(&state, &writer, &req)?.run(async move { cancel_now(&writer, &state, &path).await }).await
}

async fn cancel_now(writer: &Writer, state: &AppState, id: &str) -> Answer {
    let (task, swarm) = find(state, &writer.0, id).await?;
    let swarm = swarm.ok_or_else(|| not_found(id))?;
    let task = swarm.cancel_task(task.id, writer.subject(), state.deadline()).await?;
    let mut answer = if confirmed(task.stage) { HttpResponse::Ok() } else { HttpResponse::Accepted() };
    Ok(answer.json(task))
}

/// The task and its swarm, which may be gone: then only an admin, who sees everything, still sees the task.
async fn find(
    state: &AppState,
    caller: &Caller,
    text: &str,
) -> Result<(Task, Option<SwarmHandle>), ApiError> {
    let id: TaskId = text.parse().map_err(|_error| not_found(text))?;
    let task = state.swarms.task(id).await?.ok_or_else(|| not_found(text))?;
    let swarm = state.swarms.find(task.swarm_id);
    let visible = match &swarm {
        Some(swarm) => caller.may_see(swarm.owner()),
        None => caller.0.role.allows(Role::Admin),
    };
    if visible { Ok((task, swarm)) } else { Err(not_found(text)) }
}

fn not_found(id: &str) -> ApiError {
    ApiError::new(Code::TaskNotFound).detail(format!("there is no task {}", echo(id)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_s_place_in_a_list_is_read_back_to_the_microsecond() {
        let created_at = Timestamp::from_timestamp_micros(1_700_000_000_123_456).unwrap();
        let key = TaskKey { created_at, id: TaskId(uuid::Uuid::from_u128(9)) };
        assert_eq!(key.to_string().parse(), Ok(key));
        for bad in ["", ".", "1", "x.00000000-0000-0000-0000-000000000009", "1.x", "99999999999999999999.x"] {
            assert_eq!(bad.parse::<TaskKey>(), Err(()), "{bad}");
        }
    }
}
