//! Token ids that have been revoked: kept in the store, known in memory, so that a check asks nobody.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::Arc;

use parking_lot::RwLock;

use crate::domain::Timestamp;
use crate::store::{Store, StoreError};
use crate::telemetry::clock;
use crate::web::{RevocationFailed, Revocations};

/// The revoked token ids with the time when each would have expired anyway.
#[derive(Debug, Clone)]
pub(super) struct RevokedTokens {
    store: Store,
    known: Arc<RwLock<BTreeMap<String, Timestamp>>>,
}

impl RevokedTokens {
    /// Loads what earlier runs have revoked.
    pub(super) async fn load(store: Store) -> Result<Self, StoreError> {
        let known = store.load_revoked(clock::now()).await?.into_iter().collect();
        Ok(Self { store, known: Arc::new(RwLock::new(known)) })
    }

    /// Whether a token id has been revoked.
    pub(super) fn contains(&self, token_id: &str) -> bool {
        self.known.read().contains_key(token_id)
    }
}

impl Revocations for RevokedTokens {
    fn is_revoked(&self, token_id: &str) -> bool {
        self.contains(token_id)
    }

    fn revoke(
        &self,
        token_id: String,
        expires_at: Timestamp,
    ) -> Pin<Box<dyn Future<Output = Result<(), RevocationFailed>> + '_>> {
        Box::pin(async move {
            let now = clock::now();
            if let Err(error) = self.store.revoke_token(token_id.clone(), expires_at, now).await {
                tracing::error!(%error, "keeping a revocation");
                return Err(RevocationFailed);
            }
            let mut known = self.known.write();
            known.retain(|_, expires_at| *expires_at > now);
            known.insert(token_id, expires_at);
            Ok(())
        })
    }
}
