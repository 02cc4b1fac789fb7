//! Writes.
use crate::{error::StoreError, records::*};
use std::borrow::Borrow;
use types::*;
/// A transaction.
pub struct Tx<'a> {
    _marker: std::marker::PhantomData<&'a ()>,
}
impl Tx<'_> {
    /// See the contract.
    pub fn now(&self) -> Timestamp {
        todo!()
    }
    /// See the contract.
    pub fn create_session(&mut self, _new: NewSession) -> Result<SessionId, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn set_session_workspace(&mut self, _session: SessionId, _workspace: WorkspaceName) -> Result<(), StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn set_title(&mut self, _session: SessionId, _title: impl Into<String>) -> Result<(), StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn raise_label(&mut self, _session: SessionId, _label: Label, _cause: &str) -> Result<Label, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn add_constraint(&mut self, _session: SessionId, _text: impl Into<String>) -> Result<bool, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn receive(&mut self, _new: NewInbox) -> Result<Received, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn note_silenced(
        &mut self,
        _channel: impl Borrow<ChannelId>,
        _remote_id: impl Into<String>,
    ) -> Result<(), StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn begin_turn(&mut self, _new: NewTurn) -> Result<TurnId, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn take_inbox(&mut self, _turn: TurnId, _inbox: InboxId) -> Result<(), StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn set_turn_step(&mut self, _turn: TurnId, _step: u32) -> Result<(), StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn finish_turn(&mut self, _turn: TurnId, _end: TurnEnd, _text: String) -> Result<bool, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn mark_turn_delivered(&mut self, _turn: TurnId) -> Result<(), StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn append_message(&mut self, _new: NewMessage) -> Result<MessageId, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn compact(&mut self, _summary: NewMessage, _keep_from: Option<MessageId>) -> Result<MessageId, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn plan_call(&mut self, _new: NewCall) -> Result<(), StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn start_call(
        &mut self,
        _turn: TurnId,
        _call: &str,
        _summary: &str,
        _read_only: bool,
    ) -> Result<(), StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn finish_call(
        &mut self,
        _turn: TurnId,
        _call: &str,
        _end: ToolEnd,
        _output: ToolOutput,
    ) -> Result<(), StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn ask_owner(&mut self, _new: NewRequest) -> Result<OwnerRequest, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn answer(&mut self, _id: RequestId, _answer: Answer, _channel: Option<ChannelId>) -> Result<bool, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn withdraw_requests(&mut self, _turn: TurnId) -> Result<(), StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn use_approval(&mut self, _id: RequestId) -> Result<bool, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn deliver(&mut self, _new: NewDelivery) -> Result<Option<OutboxId>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn outbox_sending(&mut self, _id: OutboxId) -> Result<(), StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn outbox_sent(&mut self, _id: OutboxId, _remote_id: impl Into<String>) -> Result<(), StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn outbox_retry(&mut self, _id: OutboxId, _at: Timestamp, _error: impl Into<String>) -> Result<(), StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn outbox_failed(&mut self, _id: OutboxId, _error: impl Into<String>) -> Result<(), StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn reserve(&mut self, _turn: TurnId, _step: u32, _amount: MicroUsd) -> Result<(), StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn settle(
        &mut self,
        _turn: TurnId,
        _step: u32,
        _usage: Usage,
        _cost: Option<MicroUsd>,
    ) -> Result<(), StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn settle_unknown(&mut self, _turn: TurnId, _step: u32) -> Result<(), StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn set_cursor(&mut self, _name: impl AsRef<str>, _value: impl Into<String>) -> Result<(), StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn add_snapshot(
        &mut self,
        _workspace: impl Borrow<WorkspaceName>,
        _turn: Option<TurnId>,
        _manifest: impl Into<String>,
    ) -> Result<SnapshotId, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn raise_workspace_label(
        &mut self,
        _workspace: impl Borrow<WorkspaceName>,
        _label: Label,
    ) -> Result<(), StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn record(
        &mut self,
        _session: Option<SessionId>,
        _turn: Option<TurnId>,
        _event: Event,
    ) -> Result<Seq, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn session(&self, _id: SessionId) -> Result<Option<Session>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn turn(&self, _id: TurnId) -> Result<Option<Turn>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn waiting_inbox(&self, _session: SessionId) -> Result<Vec<InboxRow>, StoreError> {
        todo!()
    }
    /// See the contract.
    pub fn request(&self, _id: RequestId) -> Result<Option<OwnerRequest>, StoreError> {
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
}
