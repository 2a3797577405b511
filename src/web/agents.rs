//! `/api/swarms/{id}/agents`: spawning, listing, showing and ending agents.

use actix_web::http::header::LOCATION;
use actix_web::{HttpRequest, HttpResponse, web};

use super::auth::{Caller, Writer};
use super::body::JsonText;
use super::cursor::{Page, Params};
use super::dto::{List, new_agent};
use super::error::Code;
use super::keyed::Once;
use super::problem::{ApiError, echo};
use super::state::AppState;
use crate::domain::{Agent, AgentId, AgentState, CommandStage};

type Answer = Result<HttpResponse, ApiError>;

/// `POST /api/swarms/{id}/agents/spawn`: 201 once the runtime has acknowledged it, 202 before.
pub(crate) async fn spawn(
    writer: Writer,
    state: web::Data<AppState>,
    path: web::Path<String>,
    text: JsonText,
    req: HttpRequest,
) -> Answer {
    Once::of(&state, &writer, &req)?.run(async move { spawn_now(&writer, &state, &path, &text).await }).await
}

async fn spawn_now(writer: &Writer, state: &AppState, id: &str, text: &JsonText) -> Answer {
    let swarm = state.swarm(&writer.0, id)?;
    let new = new_agent(&text.0)?;
    let agent = swarm.spawn_agent(new, writer.subject(), state.deadline()).await?;
    let location = format!("/api/swarms/{}/agents/{}", swarm.id(), escape(agent.id.as_str()));
    let mut answer = if confirmed(agent.stage) { HttpResponse::Created() } else { HttpResponse::Accepted() };
    Ok(answer.insert_header((LOCATION, location)).json(agent))
}

/// Whether the runtime has said yes.
pub(crate) fn confirmed(stage: CommandStage) -> bool {
    matches!(stage, CommandStage::Acknowledged | CommandStage::Verified)
}

/// `GET /api/swarms/{id}/agents?limit&cursor`: in the order of joining.
pub(crate) async fn list(
    caller: Caller,
    state: web::Data<AppState>,
    path: web::Path<String>,
    req: HttpRequest,
) -> Answer {
    let mut params = Params::parse(req.query_string())?;
    let page = Page::<u32>::take(&mut params, "agents")?;
    params.finish()?;
    let view = state.swarm(&caller, &path)?.view();
    let rest = view.agents.iter().filter(|agent| page.after.is_none_or(|after| agent.slot > after));
    let mut items: Vec<&Agent> = rest.take(page.limit + 1).collect();
    let next_cursor = page.cut("agents", &mut items, |agent| agent.slot);
    Ok(HttpResponse::Ok().json(List { items, next_cursor }))
}

/// `GET /api/swarms/{id}/agents/{agent_id}`.
pub(crate) async fn show(
    caller: Caller,
    state: web::Data<AppState>,
    path: web::Path<(String, String)>,
) -> Answer {
    let (swarm, agent) = path.into_inner();
    let view = state.swarm(&caller, &swarm)?.view();
    let id = agent_id(&agent)?;
    let found = view.agent(&id).ok_or_else(|| not_found(&agent))?;
    Ok(HttpResponse::Ok().json(found))
}

/// `DELETE /api/swarms/{id}/agents/{agent_id}`: 202 until the runtime no longer lists it, 204 if that is so now.
pub(crate) async fn end(
    writer: Writer,
    state: web::Data<AppState>,
    path: web::Path<(String, String)>,
) -> Answer {
    let (swarm, agent) = path.into_inner();
    let swarm = state.swarm(&writer.0, &swarm)?;
    let id = agent_id(&agent)?;
    let ended = swarm.remove_agent(id, writer.subject(), state.deadline()).await?;
    if ended.state == AgentState::Offline || swarm.view().agent(&ended.id).is_none() {
        return Ok(HttpResponse::NoContent().finish());
    }
    Ok(HttpResponse::Accepted().json(ended))
}

fn agent_id(text: &str) -> Result<AgentId, ApiError> {
    AgentId::parse(text).map_err(|_error| not_found(text))
}

fn not_found(id: &str) -> ApiError {
    ApiError::new(Code::AgentNotFound).detail(format!("the swarm has no agent {}", echo(id)))
}

/// A v1 id is any text, so within a path everything but letters, digits and `-._~` is escaped.
pub(crate) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            escaped.push(char::from(byte));
        } else {
            escaped.push('%');
            for digit in [byte >> 4, byte & 15] {
                escaped.extend(char::from_digit(digit.into(), 16).map(|digit| digit.to_ascii_uppercase()));
            }
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_escaped_for_a_path() {
        assert_eq!(escape("019a-x_Y.~"), "019a-x_Y.~");
        assert_eq!(escape("a/b c"), "a%2Fb%20c");
        assert_eq!(escape("ü%"), "%C3%BC%25");
        assert_eq!(escape("\u{33}\u{22}3"), "3%223");
    }

    #[test]
    fn only_the_runtime_s_yes_counts_as_confirmed() {
        let confirmed_ones: Vec<_> = CommandStage::ALL.iter().filter(|stage| confirmed(**stage)).collect();
        assert_eq!(confirmed_ones, [&CommandStage::Acknowledged, &CommandStage::Verified]);
    }
}
