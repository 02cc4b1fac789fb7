//! What a coding agent asks for while it works. Each permission is judged once at a time and answered once; how many questions
//! it may put to the owner is bounded, so that one which asks for everything drowns nobody.

use std::collections::VecDeque;

use coders::{CoderCommand, Permission, Verdict};
use futures_util::stream::FuturesUnordered;
use store::StoreError;
use types::BoxFuture;

use super::{
    round::Broken,
    seam::{Hand, JobTrouble, NotTold},
    worker::Worker,
};

/// The most questions of one job that wait for the owner at the same time.
const MAX_OPEN: usize = 8;
/// The most questions that one round may put to the owner.
const MAX_IN_ROUND: u32 = 50;
/// The most permissions that are judged at a time without asking anybody.
const MAX_UNASKED: usize = 64;

/// Verdicts that are being found: the permission and its answer.
type Judging = FuturesUnordered<BoxFuture<'static, (String, Verdict)>>;

/// The permissions that a coding agent waits for.
#[derive(Default)]
pub(super) struct Questions {
    pub judging: Judging,
    /// Those that are not judged yet, each with the record in which it was asked for.
    pub held: VecDeque<(Permission, u64)>,
}

impl Worker {
    /// Those that were asked for before a restart, oldest first. One that is not remembered yet comes as an event.
    pub(super) fn questions_again(&self, hand: &dyn Hand) -> Questions {
        let asked = &self.job.memory.asked;
        let pending = hand.pending().into_iter();
        let mut held: Vec<(Permission, u64)> = pending
            .filter_map(|permission| asked.get(&permission.id).copied().map(|record| (permission, record)))
            .collect();
        held.sort_by_key(|(_, record)| *record);
        Questions { held: held.into(), ..Questions::default() }
    }

    /// How many questions of the job wait for the owner.
    pub(super) fn open_questions(&self) -> Result<usize, StoreError> {
        let open = self.core.store.open_requests()?;
        Ok(open.iter().filter(|request| request.session == self.job.session).count())
    }

    /// Judges the permissions that are due. No more than may wait for the owner are judged at the same time; when as many do
    /// wait, what needs no answer of theirs is judged all the same, and the rest refused.
    pub(super) fn judge_next(&self, questions: &mut Questions) -> Result<(), StoreError> {
        while !questions.held.is_empty() {
            let unasked = if self.job.memory.questions >= MAX_IN_ROUND {
                Some(format!(
                    "the owner was asked {MAX_IN_ROUND} times in this round, which is the most; find a way without"
                ))
            } else if questions.judging.len() < MAX_OPEN {
                None
            } else if self.open_questions()? >= MAX_OPEN {
                Some(format!("{MAX_OPEN} questions wait for the owner already; ask again once they are answered"))
            } else {
                // One of those that are being judged will be answered or asked about in a moment.
                return Ok(());
            };
            if questions.judging.len() >= MAX_OPEN + MAX_UNASKED {
                return Ok(());
            }
            if let Some((permission, record)) = questions.held.pop_front() {
                questions.judging.push(self.judge(permission, record, unasked));
            }
        }
        Ok(())
    }

    fn judge(
        &self,
        permission: Permission,
        record: u64,
        unasked: Option<String>,
    ) -> BoxFuture<'static, (String, Verdict)> {
        let (shop, job) = (self.shop.clone(), self.job.clone());
        Box::pin(async move {
            let verdict = shop.judge(&job, &permission, record, unasked).await;
            (permission.id, verdict)
        })
    }

    pub(super) async fn answer(
        &mut self,
        hand: &mut dyn Hand,
        permission: String,
        verdict: Verdict,
    ) -> Result<(), Broken> {
        self.job.memory.asked.remove(&permission);
        // One that was withdrawn in the meantime needs no answer.
        if !hand.pending().iter().any(|asked| asked.id == permission) {
            return Ok(());
        }
        match hand.command(&self.job, CoderCommand::Answer { permission, verdict }).await {
            Ok(()) => Ok(()),
            Err(NotTold::Trouble(trouble)) => Err(trouble.into()),
            Err(NotTold::Unsupported(why)) => Err(JobTrouble::lasting(why).into()),
        }
    }

    /// The coding agent does not wait for this any more.
    pub(super) async fn withdraw(&mut self, permission: &str, questions: &mut Questions) {
        questions.held.retain(|(held, _)| held.id != permission);
        if let Some(record) = self.job.memory.asked.remove(permission) {
            self.shop.withdraw(&self.job, permission, record).await;
        }
    }
}
