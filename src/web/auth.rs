//! Who calls: extractors that a handler names to need a token, or a token that allows changes.

use std::future::{Ready, ready};

use actix_web::dev::Payload;
use actix_web::{FromRequest, HttpRequest, web};

use super::error::Code;
use super::gate::Gate;
use super::problem::ApiError;
use crate::identity::{Identity, Role};

/// A caller with a good token of any role.
#[derive(Debug, Clone)]
pub struct Caller(pub Identity);

/// A caller who may change things: an operator or admin, while the server is not stopping.
#[derive(Debug, Clone)]
pub struct Writer(pub Caller);

impl Caller {
    /// Whether the caller may see and, with the role, change what `owner` owns. What it may not see, it is told
    /// does not exist.
    #[must_use]
    pub fn may_see(&self, owner: &str) -> bool {
        self.0.role.allows(Role::Admin) || self.0.subject == owner
    }

    /// Whose things a list shows: the caller's own, or everybody's to an admin.
    #[must_use]
    pub fn scope(&self) -> Option<&str> {
        (!self.0.role.allows(Role::Admin)).then_some(self.0.subject.as_str())
    }

    fn of(req: &HttpRequest) -> Result<Self, ApiError> {
        let caller = Self(gate(req)?.identify(req.headers())?);
        tracing::Span::current().record("subject", tracing::field::debug(&caller.0.subject));
        Ok(caller)
    }
}

fn gate(req: &HttpRequest) -> Result<&web::Data<Gate>, ApiError> {
    req.app_data::<web::Data<Gate>>().ok_or_else(|| ApiError::new(Code::Internal))
}

impl Writer {
    /// The subject, as events name who caused them.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.0.0.subject
    }

    fn of(req: &HttpRequest) -> Result<Self, ApiError> {
        let caller = Caller::of(req)?;
        let role = caller.0.role;
        if !role.allows(Role::Operator) {
            return Err(ApiError::new(Code::RoleTooLow).detail(format!(
                "the token's role is {role}; this call needs {} or {}",
                Role::Operator,
                Role::Admin
            )));
        }
        if gate(req)?.is_draining() {
            return Err(ApiError::new(Code::Draining));
        }
        Ok(Self(caller))
    }
}

impl FromRequest for Caller {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(req))
    }
}

impl FromRequest for Writer {
    type Error = ApiError;
    type Future = Ready<Result<Self, ApiError>>;

    fn from_request(req: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(req))
    }
}
