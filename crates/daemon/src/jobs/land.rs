//! What becomes of finished work: it is committed, vetted, brought back to the workspace's repository, pushed and proposed, each
//! as far as the owner wants. What decides is read in a repository of our own beside the job's tree, whose settings and index
//! whoever worked there may have bent. Start with [`land`].

mod bring;
mod candidate;
mod message;
mod own;
mod push;
mod record;
mod scan;
mod seal;
mod vet;

use std::{path::Path, sync::Arc};

use policy::Redactor;
use sandbox::show_path;
use serde_json::json;
use types::{Place, Then, Timestamp};

use super::{
    Author, Site, SiteError,
    consent::{Consent, Desk, commit_effect},
    forge::Forges,
    record::{Stretch, TreeRecord},
    site::Room,
    tree::Numbers,
};

use candidate::{Candidate, Made};
pub(crate) use candidate::{state_of, stretch_of};
pub use message::Message;
use record::LandRecord;
pub(crate) use record::NAME as RECORD;
use seal::Seal;
pub use seal::{Begun, begin, seal};
use vet::Vetted;

pub(crate) use scan::secrets_in;

/// The most names of files in a note.
const MAX_NAMED: usize = 10;

/// What landing needs beside the job's places.
#[derive(Clone)]
pub struct Landing<'a> {
    /// How far to go.
    pub then: Then,
    /// Who commits.
    pub author: &'a Author,
    /// What the commit and the pull request say.
    pub message: &'a Message,
    /// The date of the commit, which the job remembers: made again after a restart, it is the same commit.
    pub at: Timestamp,
    /// Puts questions to the owner.
    pub desk: &'a Desk,
    /// Knows the vault's secrets, none of which may be committed.
    pub redactor: Arc<Redactor>,
    /// Reaches the repository's host.
    pub forges: &'a Forges,
    /// Whether only the files land for which a done condition was found to hold.
    pub was_checked: bool,
}

/// What came of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Landed {
    /// The commit that holds the work; none when there was nothing to commit, or it was not committed.
    pub commit: Option<String>,
    /// Why work that there is was not committed, if it was not.
    pub withheld: Option<String>,
    /// The branch of the workspace's repository on which it is.
    pub branch: Option<String>,
    /// What it changed, such as `2 files changed, +10 -3`.
    pub changes: Option<String>,
    /// The address of the pull request.
    pub pull_request: Option<String>,
    /// What the owner should read, such as why something was not pushed.
    pub notes: Vec<String>,
    /// Whether nothing was committed because the files are not the ones that were checked.
    pub is_unchecked: bool,
}

/// Lands a job's work. Safe to repeat after a crash: what was done is found as it is. Where the owner refuses a step, or it
/// cannot be done, the ones before it stand and a note says why.
pub async fn land(site: &Site, landing: &Landing<'_>) -> Result<Landed, SiteError> {
    let mut landed = Landed::default();
    if landing.then == Then::Nothing {
        return Ok(landed);
    }
    let tree = TreeRecord::need(&site.directory)?;
    if let Some(why) = &tree.no_commit {
        landed.notes.push(format!("nothing was committed: {why}; the files are as the job left them"));
        landed.withheld = Some(why.clone());
        return Ok(landed);
    }
    let record = match LandRecord::read(&site.directory)? {
        Some(record) => record,
        None => match commit(site, landing, &tree, &mut landed).await? {
            Some(record) => record,
            None => return Ok(landed),
        },
    };
    let branch = bring::bring(site, &record, &mut landed.notes).await?;
    bring::follow(site, &record).await?;
    begin_anew(site, tree, record.stretch.as_ref())?;
    landed.commit = Some(record.commit.clone());
    landed.changes = Some(record.changes.clone());
    landed.branch = Some(branch.clone());
    if landing.then >= Then::Push {
        publish(site, landing, &record, &branch, &mut landed).await;
    }
    Ok(landed)
}

/// What the workspace itself holds beside the commit is the owner's from here on.
fn begin_anew(site: &Site, mut tree: TreeRecord, stretch: Option<&Stretch>) -> Result<(), SiteError> {
    if site.place != Place::Workspace || stretch.is_none() || tree.stretch.as_ref() == stretch {
        return Ok(());
    }
    tree.stretch = stretch.cloned();
    tree.write(&site.directory)
}

/// Why work is not committed that is mixed with the owner's, with where it is.
async fn mixed(site: &Site, began: &str, files: &str, paths: &[String]) -> Result<String, SiteError> {
    let patch = candidate::patch(site, began, files).await?;
    let named: Vec<String> = paths.iter().take(MAX_NAMED).map(|path| show_path(Path::new(path))).collect();
    let more = paths.len().saturating_sub(named.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    Ok(format!(
        "the job changed files in which there were changes of your own that are not committed ({}{more}), and a commit would take \
         both; the files stay as the job left them, and its changes alone are in {}",
        named.join(", "),
        patch.display()
    ))
}

/// Makes the commit and vets it. None where there is nothing to commit, or it must not be.
async fn commit(
    site: &Site,
    landing: &Landing<'_>,
    tree: &TreeRecord,
    landed: &mut Landed,
) -> Result<Option<LandRecord>, SiteError> {
    let Some(base) = &tree.base else { return Ok(None) };
    let seal = if landing.was_checked { Seal::read(&site.directory)? } else { None };
    let made = match &seal {
        None if landing.was_checked => Made::Unchecked,
        seal => candidate::make(site, tree, base, landing, seal.as_ref()).await?,
    };
    let candidate = match made {
        Made::Candidate(candidate) => candidate,
        Made::Unchecked => {
            landed.is_unchecked = true;
            return Ok(None);
        }
        Made::Mixed { began, files, paths } => {
            let why = mixed(site, &began, &files, &paths).await?;
            landed.notes.push(format!("nothing was committed: {why}"));
            landed.withheld = Some(why);
            return Ok(None);
        }
    };
    if candidate.left_out > 0 {
        let note = format!(
            "{} new files of more than 20 MB were not committed; they stay in the job's tree",
            candidate.left_out
        );
        landed.notes.push(note);
    }
    if candidate.commit == *base {
        landed.notes.push("there is nothing to commit: no file has changed".to_owned());
        begin_anew(site, tree.clone(), Some(&candidate.stretch))?;
        return Ok(None);
    }
    let vetted = vet::vet(site, base, &candidate, &landing.redactor).await?;
    if let Some(why) = vetted.never() {
        landed.notes.push(format!("nothing was committed: {why}; the job's tree stays as it is"));
        landed.withheld = Some(why.to_owned());
        return Ok(None);
    }
    if let Some(question) = vetted.question()
        && let Some(refusal) = ask_about(site, landing, &candidate, &vetted, &question).await?
    {
        landed.notes.push(format!("nothing was committed: {question}; {refusal}; the job's tree stays as it is"));
        landed.withheld = Some(format!("{question}; {refusal}"));
        return Ok(None);
    }
    let branch = match &site.place {
        Place::Branch { branch, .. } => branch.clone(),
        Place::Workspace => tree.branch.clone().unwrap_or_default(),
    };
    let record = LandRecord {
        commit: candidate.commit.clone(),
        head: candidate.head.clone(),
        base: base.clone(),
        index: candidate.index.clone(),
        stretch: Some(candidate.stretch.clone()),
        branch,
        changes: vetted.numbers.to_string(),
        notes: vetted.notes,
    };
    record.write(&site.directory)?;
    landed.notes.extend(record.notes.iter().cloned());
    Ok(Some(record))
}

/// Asks whether something that looks wrong is to be committed all the same. Gives why not.
async fn ask_about(
    site: &Site,
    landing: &Landing<'_>,
    candidate: &Candidate,
    vetted: &Vetted,
    question: &str,
) -> Result<Option<String>, SiteError> {
    let input = json!({ "job": site.job, "commit": candidate.commit, "found": vetted.findings });
    let effect = commit_effect(site, question, &vetted.numbers.to_string());
    let asked =
        landing.desk.ask(site, &format!("job-{}-commit", site.job), "job_commit", &input, effect, question).await?;
    Ok(match asked {
        Consent::Given(_) => None,
        Consent::Refused(why) => Some(why),
    })
}

/// Pushes and proposes. A failure here leaves the commit where it is, so that it is a note and no error.
async fn publish(site: &Site, landing: &Landing<'_>, record: &LandRecord, branch: &str, landed: &mut Landed) {
    let pushed = match push::push(site, landing, record, branch).await {
        Ok(push::Pushed::Done(pushed)) => pushed,
        Ok(push::Pushed::Refused(why)) => return landed.notes.push(format!("it was not pushed: {why}")),
        Err(error) => return landed.notes.push(format!("it was not pushed: {error}")),
    };
    landed.notes.push(format!("pushed to {} as {}", pushed.repository.shown(), pushed.branch));
    if landing.then < Then::DraftPullRequest {
        return;
    }
    match push::propose(site, landing, record, &pushed).await {
        Ok(Ok(url)) => landed.pull_request = Some(url),
        Ok(Err(why)) => landed.notes.push(format!("no pull request was opened: {why}")),
        Err(error) => landed.notes.push(format!("no pull request was opened: {error}")),
    }
}
