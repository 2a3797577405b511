//! The viewer's files, built into the program and served to everybody: they hold no secret.

use std::sync::LazyLock;

use actix_web::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG};
use actix_web::{HttpRequest, HttpResponse, web};

use super::etag;
use super::routes::reading;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const IMAGE: &str = "image/svg+xml";

/// Only what came with the page runs in it, and it talks to no other server.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self' ws: wss:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

macro_rules! files {
    ($($kind:ident $name:literal),+ $(,)?) => {
        /// Path below `/`, media type, content.
        const FILES: &[(&str, &str, &[u8])] = &[$((
            $name, $kind, include_bytes!(concat!("viewer/", $name)),
        )),+];
    };
}

files! {
    HTML "index.html",
    STYLE "style.css",
    IMAGE "icon.svg",
    SCRIPT "main.js",
    SCRIPT "agents.js",
    SCRIPT "api.js",
    SCRIPT "camera.js",
    SCRIPT "client.js",
    SCRIPT "controls.js",
    SCRIPT "dom.js",
    SCRIPT "flat.js",
    SCRIPT "forms.js",
    SCRIPT "gl.js",
    SCRIPT "interpolate.js",
    SCRIPT "legend.js",
    SCRIPT "live.js",
    SCRIPT "meter.js",
    SCRIPT "notices.js",
    SCRIPT "overlay.js",
    SCRIPT "palette.js",
    SCRIPT "readout.js",
    SCRIPT "roster.js",
    SCRIPT "scene.js",
    SCRIPT "session.js",
    SCRIPT "swarms.js",
    SCRIPT "tasks.js",
}

/// The tags of the files in their order.
static TAGS: LazyLock<Vec<String>> =
    LazyLock::new(|| FILES.iter().map(|(_, _, content)| etag::of_bytes(content)).collect());

/// Adds a path for each file, and `/` for the page.
pub(crate) fn configure(cfg: &mut web::ServiceConfig) {
    for (at, (name, ..)) in FILES.iter().enumerate() {
        let serve = move |req: HttpRequest| std::future::ready(file(&req, at));
        cfg.service(reading(&format!("/{name}"), serve));
        if *name == "index.html" {
            cfg.service(reading("/", serve));
        }
    }
}

fn file(req: &HttpRequest, at: usize) -> HttpResponse {
    let (Some((_, media, content)), Some(tag)) = (FILES.get(at), TAGS.get(at)) else {
        return HttpResponse::NotFound().finish();
    };
    let known = etag::matches(req.headers(), tag);
    let mut answer = if known { HttpResponse::NotModified() } else { HttpResponse::Ok() };
    answer
        .insert_header((ETAG, tag.as_str()))
        .insert_header((CACHE_CONTROL, "no-cache"))
        .insert_header((CONTENT_SECURITY_POLICY, POLICY));
    if known { answer.finish() } else { answer.insert_header((CONTENT_TYPE, *media)).body(*content) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_and_its_modules_are_there_and_differ() {
        assert!(FILES.iter().any(|(name, media, _)| *name == "index.html" && *media == HTML));
        let mut tags = TAGS.clone();
        tags.sort();
        tags.dedup();
        assert_eq!(tags.len(), FILES.len());
    }

    #[test]
    fn no_module_imports_a_file_that_is_not_served() {
        for (name, media, content) in FILES {
            if *media != SCRIPT {
                continue;
            }
            let text = std::str::from_utf8(content).unwrap();
            for import in text.split("from \"./").skip(1).filter_map(|rest| rest.split('"').next()) {
                assert!(FILES.iter().any(|(other, ..)| *other == import), "{name} imports {import}");
            }
        }
    }
}
