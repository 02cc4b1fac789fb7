//! The store.
use crate::{audit::*, error::StoreError, records::*, tx::Tx};
use std::{path::Path, sync::Arc};
use types::*;
/// The store.
#[derive(Clone)]
pub struct Store {}
impl Store {
    /// See the contract.
    pub fn open(_home: &Path, _clock: Arc<dyn Clock>) -> Result<Store, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn open_read_only(_home: &Path, _clock: Arc<dyn Clock>) -> Result<Store, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn in_memory(_clock: Arc<dyn Clock>) -> Result<Store, StoreError> {
        todo!()
    }
    /// See the contract.
    pub async fn transact<T: Send + 'static>(
        &self,
        _job: impl FnOnce(&mut Tx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn publish(&self, _session: Option<SessionId>, _turn: Option<TurnId>, _event: Event) {
        todo!()
    }
    /// See the contract.
    pub fn subscribe(&self) -> tokio::sync::broadcast::Receiver<Envelope> {
        todo!()
    }
    /// See the contract.
    pub fn events_after(
        &self,
        _seq: Seq,
        _session: Option<SessionId>,
        _limit: usize,
    ) -> Result<Vec<Envelope>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn last_seq(&self) -> Result<Seq, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn session(&self, _id: SessionId) -> Result<Option<Session>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn session_by_key(&self, _key: &str) -> Result<Option<Session>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn sessions(&self, _limit: usize) -> Result<Vec<Session>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn context(&self, _session: SessionId) -> Result<Vec<StoredMessage>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn messages(
        &self,
        _session: SessionId,
        _before: Option<MessageId>,
        _limit: usize,
    ) -> Result<Vec<StoredMessage>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn constraints(&self, _session: SessionId) -> Result<Vec<String>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn search(&self, _query: &str, _limit: usize) -> Result<Vec<SearchHit>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn turn(&self, _id: TurnId) -> Result<Option<Turn>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn unfinished_turns(&self) -> Result<Vec<Turn>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn undelivered_turns(&self) -> Result<Vec<Turn>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn turns(&self, _session: SessionId, _limit: usize) -> Result<Vec<Turn>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn calls(&self, _turn: TurnId) -> Result<Vec<CallRecord>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn waiting_inbox(&self, _session: SessionId) -> Result<Vec<InboxRow>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn sessions_with_waiting_inbox(&self) -> Result<Vec<SessionId>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn is_received(&self, _channel: &ChannelId, _remote_id: &str) -> Result<bool, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn open_requests(&self) -> Result<Vec<OwnerRequest>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn request(&self, _id: RequestId) -> Result<Option<OwnerRequest>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn request_by_nonce(&self, _nonce: &str) -> Result<Option<OwnerRequest>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn request_for_call(&self, _turn: TurnId, _call: &str) -> Result<Option<OwnerRequest>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn request_nonce(&self, _id: RequestId) -> Result<Option<String>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub async fn wait_request(&self, _id: RequestId) -> Result<OwnerRequest, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn due_outbox(&self, _now: Timestamp, _limit: usize) -> Result<Vec<OutboxRow>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn next_outbox_at(&self) -> Result<Option<Timestamp>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn outbox_wake(&self) -> tokio::sync::watch::Receiver<u64> {
        todo!()
    }
    /// See the contract.
    pub fn spent(&self, _scope: SpendScope) -> Result<Spend, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn cursor(&self, _name: &str) -> Result<Option<String>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn snapshots(&self, _workspace: &WorkspaceName) -> Result<Vec<SnapshotRow>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn workspace_label(&self, _workspace: &WorkspaceName) -> Result<Label, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn audit(&self) -> &AuditLog {
        todo!()
    }
    /// See the contract.
    pub fn audit_head(&self) -> Result<Option<Head>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn check(&self) -> Result<(), StoreError> {
        todo!()
    }
    /// See the contract.
    pub async fn close(&self) {
        todo!()
    }
}
