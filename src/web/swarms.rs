//! `/api/swarms`: creating, listing, showing and deleting swarms; their metadata, links and events.

use std::sync::Arc;

use actix_web::http::header::{CACHE_CONTROL, ETAG, LOCATION};
use actix_web::{HttpRequest, HttpResponse, web};

use super::auth::{Caller, Writer};
use super::body::JsonText;
use super::cursor::{Page, Params, refused};
use super::dto::{LinksBody, List, SlotBody, SwarmBody, new_swarm};
use super::error::Code;
use super::etag;
use super::keyed::Once;
use super::limits::{LINKS_MAX, LINKS_PAGE_MAX, PAGE_MAX};
use super::problem::{ApiError, echo};
use super::state::AppState;
use crate::actors::directory::SwarmView;
use crate::actors::swarm::Deleted;
use crate::domain::{Event, Link, Member, SwarmId, SwarmState, Topology, links};
use crate::wire::metadata::SwarmMetadata;

type Answer = Result<HttpResponse, ApiError>;

/// `POST /api/swarms`: 201 once the runtime has confirmed it, 202 while the runtime can't be reached.
pub(crate) async fn create(
    writer: Writer,
    state: web::Data<AppState>,
    text: JsonText,
    req: HttpRequest,
) -> Answer {
    Once::of(&state, &writer, &req)?.run(async move { create_now(&writer, &state, &text).await }).await
}

async fn create_now(writer: &Writer, state: &AppState, text: &JsonText) -> Answer {
    let limits = &state.limits;
    let new = new_swarm(&text.0, limits.default_topology, limits.max_agents_per_swarm)?;
    let swarm = state.swarms.create(new, writer.subject(), state.deadline()).await?;
    let view = swarm.view();
    let location = format!("/api/swarms/{}", swarm.id());
    let mut answer = match view.swarm.status {
        SwarmState::Failed => return Err(creation_failed(&view, &location)),
        SwarmState::Creating => HttpResponse::Accepted(),
        SwarmState::Active
        | SwarmState::Degraded
        | SwarmState::Paused
        | SwarmState::Idle
        | SwarmState::Deleting => HttpResponse::Created(),
    };
    let tag = etag::of_version(view.swarm.epoch, view.swarm.version);
    Ok(answer.insert_header((LOCATION, location)).insert_header((ETAG, tag)).json(SwarmBody::new(&view)))
}

/// The swarm is kept as failed, so the answer says where it is.
fn creation_failed(view: &SwarmView, location: &str) -> ApiError {
    let reason = view.swarm.reason.as_deref().unwrap_or("it gave no reason");
    ApiError::new(Code::RuntimeRefused)
        .detail(format!("the agent runtime refused the swarm: {reason}"))
        .header(LOCATION, location)
        .with("swarm_id", view.swarm.id.to_string())
}

/// `GET /api/swarms?status&limit&cursor`: the caller's own, everybody's to an admin, oldest first.
pub(crate) async fn list(caller: Caller, state: web::Data<AppState>, req: HttpRequest) -> Answer {
    let mut params = Params::parse(req.query_string())?;
    let page = Page::<SwarmId>::take(&mut params, "swarms")?;
    let status = params.take("status").map(|word| parse_status(&word)).transpose()?;
    params.finish()?;
    let mut found = pick(&state, caller.scope(), &page, status);
    let next_cursor = page.cut("swarms", &mut found, |view| view.swarm.id);
    let items: Vec<SwarmBody<'_>> = found.iter().map(|view| SwarmBody::new(view)).collect();
    Ok(HttpResponse::Ok().json(List { items, next_cursor }))
}

fn parse_status(word: &str) -> Result<SwarmState, ApiError> {
    word.parse().map_err(|_unknown| {
        let allowed = SwarmState::WORDS.join(", ");
        refused("status", format!("status is {:?}; allowed: {allowed}", echo(word)))
    })
}

/// A page and one entry more. A filter may pass over any number of swarms, each looked at once.
fn pick(
    state: &AppState,
    owner: Option<&str>,
    page: &Page<SwarmId>,
    status: Option<SwarmState>,
) -> Vec<Arc<SwarmView>> {
    let wanted = page.limit + 1;
    let mut found = Vec::new();
    let mut after = page.after;
    loop {
        let step = if status.is_some() { PAGE_MAX } else { wanted };
        let views = state.swarms.page(owner, after, step);
        let last_step = views.len() < step;
        after = views.last().map(|view| view.swarm.id).or(after);
        let fits = |view: &Arc<SwarmView>| status.is_none_or(|status| view.swarm.status == status);
        found.extend(views.into_iter().filter(fits));
        if last_step || found.len() >= wanted {
            found.truncate(wanted);
            return found;
        }
    }
}

/// `GET /api/swarms/{id}`.
pub(crate) async fn show(
    caller: Caller,
    state: web::Data<AppState>,
    path: web::Path<String>,
    req: HttpRequest,
) -> Answer {
    let view = state.swarm(&caller, &path)?.view();
    let tag = etag::of_version(view.swarm.epoch, view.swarm.version);
    Ok(tagged(&req, tag, || serde_json::to_vec(&SwarmBody::new(&view)).unwrap_or_default()))
}

/// `GET /api/swarms/{id}/metadata`: what a client polls.
pub(crate) async fn metadata(
    caller: Caller,
    state: web::Data<AppState>,
    path: web::Path<String>,
    req: HttpRequest,
) -> Answer {
    let view = state.swarm(&caller, &path)?.view();
    let poll_rate_ms = u64::try_from(state.limits.poll_rate.as_millis()).unwrap_or(u64::MAX);
    let metadata = SwarmMetadata::of(&view.swarm, &view.agents, &view.tasks, poll_rate_ms);
    let body = serde_json::to_vec(&metadata).unwrap_or_default();
    Ok(tagged(&req, etag::of_bytes(&body), || body))
}

/// 304 without a body when the client has this version.
fn tagged(req: &HttpRequest, tag: String, body: impl FnOnce() -> Vec<u8>) -> HttpResponse {
    let known = etag::matches(req.headers(), &tag);
    let mut answer = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer.insert_header((ETAG, tag)).insert_header((CACHE_CONTROL, "private, no-cache"));
    if known { answer.finish() } else { answer.content_type("application/json").body(body()) }
}

/// `DELETE /api/swarms/{id}`: 204 once it is gone in the runtime too, 202 while the runtime can't be reached.
pub(crate) async fn delete(writer: Writer, state: web::Data<AppState>, path: web::Path<String>) -> Answer {
    let swarm = state.swarm(&writer.0, &path)?;
    match swarm.delete(writer.subject(), state.deadline()).await? {
        Deleted::Gone => Ok(HttpResponse::NoContent().finish()),
        Deleted::Accepted => Ok(HttpResponse::Accepted().json(SwarmBody::new(&swarm.view()))),
    }
}

/// `GET /api/swarms/{id}/links?limit&cursor`: by slots, with the agents that have them.
pub(crate) async fn list_links(
    caller: Caller,
    state: web::Data<AppState>,
    path: web::Path<String>,
    req: HttpRequest,
) -> Answer {
    let mut params = Params::parse(req.query_string())?;
    let page = Page::<Pair>::take_within(&mut params, "links", LINKS_PAGE_MAX, LINKS_PAGE_MAX)?;
    params.finish()?;
    let view = state.swarm(&caller, &path)?.view();
    let count = view.agents.len();
    if view.swarm.topology == Topology::Mesh && count.saturating_mul(count) / 2 > LINKS_MAX {
        return Err(ApiError::new(Code::LinksTooMany));
    }
    let members: Vec<Member> = view.agents.iter().map(|a| Member { slot: a.slot, kind: a.kind }).collect();
    let after = page.after;
    let mut items: Vec<Link> = links(view.swarm.topology, &members)
        .into_iter()
        .filter(|link| after.is_none_or(|after| Pair(link.a, link.b) > after))
        .take(page.limit + 1)
        .collect();
    let next_cursor = page.cut("links", &mut items, |link| Pair(link.a, link.b));
    let agents =
        view.agents.iter().map(|agent| SlotBody { slot: agent.slot, id: agent.id.as_str() }).collect();
    Ok(HttpResponse::Ok().json(LinksBody { items, next_cursor, agents }))
}

/// The key of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Pair(u32, u32);

impl std::fmt::Display for Pair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

impl std::str::FromStr for Pair {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let pair = text.split_once('-').and_then(|(a, b)| Some(Self(a.parse().ok()?, b.parse().ok()?)));
        pair.ok_or(())
    }
}

/// `GET /api/swarms/{id}/events?limit&cursor`: newest first.
pub(crate) async fn list_events(
    caller: Caller,
    state: web::Data<AppState>,
    path: web::Path<String>,
    req: HttpRequest,
) -> Answer {
    let mut params = Params::parse(req.query_string())?;
    let page = Page::<i64>::take(&mut params, "events")?;
    params.finish()?;
    let swarm = state.swarm(&caller, &path)?;
    let mut items: Vec<Event> = state.swarms.events(swarm.id(), page.after, page.limit + 1).await?;
    let next_cursor = page.cut("events", &mut items, |event| event.seq);
    Ok(HttpResponse::Ok().json(List { items, next_cursor }))
}
