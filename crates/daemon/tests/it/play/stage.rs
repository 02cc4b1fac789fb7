//! The play as the daemon holds it: what jobs have done for them.

use std::{sync::Arc, time::Duration};

use coders::{CoderEnd, CoderEvent, Permission, Trouble, Verdict};
use daemon::jobs::{Checked, Hand, JobTrouble, Landed, Prepared, Shop, TakenUp};
use store::Job;
use types::{BoxFuture, JobId};

use super::{Play, Player};

/// The play as the daemon holds it.
pub struct Stage(pub Arc<Play>);

impl Shop for Stage {
    fn coders(&self) -> Vec<String> {
        ["claude", "codex", "factotum"].map(str::to_owned).to_vec()
    }

    fn prepare<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Prepared, JobTrouble>> {
        self.0.breaks_off(job.id);
        Box::pin(async { Ok(Prepared { notes: vec!["uncommitted work is not in the tree".to_owned()] }) })
    }

    fn open<'a>(&'a self, job: &'a Job) -> BoxFuture<'a, Result<Box<dyn Hand>, JobTrouble>> {
        let mut read = job.cursor.record as usize;
        let (at, last) = {
            let mut records = self.0.records.lock().unwrap();
            let records = records.entry(job.id).or_default();
            records.opened += 1;
            if std::mem::take(&mut records.is_gone) && records.busy {
                // The next supervisor tells what became of the program.
                let (trouble, message) = (Trouble::Crashed, "its supervisor was lost".to_owned());
                records.does(CoderEvent::Finished { end: CoderEnd::Failed { trouble, message } });
            }
            (records.begun, records.events.len())
        };
        let is_place = read == 0 || (read <= last && job.memory.record_at == at);
        let taken_up = (!is_place).then(|| {
            read = last;
            TakenUp { record: last as u64, item: u32::MAX, at, note: "records were lost".to_owned() }
        });
        let player = Player { play: self.0.clone(), job: job.id, read, at, taken_up };
        Box::pin(async move { Ok(Box::new(player) as Box<dyn Hand>) })
    }

    fn judge<'a>(
        &'a self,
        _job: &'a Job,
        _permission: &'a Permission,
        _record: u64,
        unasked: Option<String>,
    ) -> BoxFuture<'a, Verdict> {
        Box::pin(async move {
            if let Some(why) = unasked {
                return Verdict::Deny { why };
            }
            let _judging = Judging::of(&self.0);
            loop {
                let changed = self.0.changed.clone();
                let changed = changed.notified();
                if let Some(verdict) = self.0.verdict.lock().unwrap().clone() {
                    return verdict;
                }
                // A test that answers later wakes this.
                let _ = tokio::time::timeout(Duration::from_millis(50), changed).await;
            }
        })
    }

    fn withdraw<'a>(&'a self, _job: &'a Job, permission: &'a str, _record: u64) -> BoxFuture<'a, ()> {
        Box::pin(async { self.0.withdrawn.lock().unwrap().push(permission.to_owned()) })
    }

    fn check<'a>(&'a self, _job: &'a Job) -> BoxFuture<'a, Result<Checked, JobTrouble>> {
        Box::pin(async {
            self.0.moment().await;
            self.0.held().await;
            let mut checks = self.0.checks.lock().unwrap();
            *checks += 1;
            Ok((self.0.checker)(*checks))
        })
    }

    fn land<'a>(&'a self, _job: &'a Job) -> BoxFuture<'a, Result<Landed, JobTrouble>> {
        Box::pin(async {
            self.0.moment().await;
            self.0.held().await;
            *self.0.landings.lock().unwrap() += 1;
            self.0.moment().await;
            let mut changed = self.0.changed_since.lock().unwrap();
            let is_unchecked = *changed > 0;
            *changed = changed.saturating_sub(1);
            let commit = (!is_unchecked).then(|| "c0ffee".repeat(6));
            Ok(Landed { commit, is_unchecked, ..Landed::default() })
        })
    }

    fn changes<'a>(&'a self, _job: &'a Job) -> BoxFuture<'a, Option<String>> {
        Box::pin(async { Some("1 file changed, +3 -1".to_owned()) })
    }

    fn diff<'a>(&'a self, _job: &'a Job) -> BoxFuture<'a, Result<String, JobTrouble>> {
        Box::pin(async { Ok("--- a\n+++ b\n".to_owned()) })
    }

    fn close(&self, job: JobId) -> BoxFuture<'_, Vec<String>> {
        self.0.breaks_off(job);
        Box::pin(async move {
            self.0.moment().await;
            while *self.0.holds_close.lock().unwrap() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            self.0.ends_program(job);
            self.0.records.lock().unwrap().entry(job).or_default().closed += 1;
            self.0.moment().await;
            self.0.found_at_close.lock().unwrap().clone()
        })
    }

    fn clear(&self, job: JobId) -> BoxFuture<'_, Result<(), JobTrouble>> {
        Box::pin(async move {
            self.0.cleared.lock().unwrap().push(job);
            Ok(())
        })
    }
}

/// Counts what is judged at the same time.
struct Judging(Arc<Play>);

impl Judging {
    fn of(play: &Arc<Play>) -> Self {
        let mut judged = play.judged.lock().unwrap();
        judged.0 += 1;
        judged.1 = judged.1.max(judged.0);
        drop(judged);
        Self(play.clone())
    }
}

impl Drop for Judging {
    fn drop(&mut self) {
        self.0.judged.lock().unwrap().0 -= 1;
    }
}
