//! The review of a pull request: its commits are fetched into the job's tree before, and what the coding agent found becomes one
//! comment after the owner's approval that shows it whole. All that comes from outside, the review included, is foreign text. Start
//! with [`prepare`], [`check`] and [`post`].

mod fetch;
mod found;
mod text;

use std::{sync::Arc, time::Duration};

use policy::{Act, Redactor};
use serde_json::json;
use sha2::{Digest, Sha256};
use types::{Effect, Place, Sink};

use super::{
    Author, Site, SiteError,
    consent::{Consent, Desk},
    forge::{ForgeError, Forges, Repository},
    land, origin,
    record::TreeRecord,
    site::{Errand, Purpose, Spot, make_private},
    tree,
};

use found::{MAX_BYTES, Review};

/// How often posting is tried.
const TRIES: u32 = 3;
/// How long to wait before the second time; then twice as long.
const PAUSE: Duration = Duration::from_secs(2);

/// The coding agent's file, if it is one and no link, and one byte more than it may have.
const READ: &str = r#"
if [ -f /source/review.json ] && [ ! -L /source/review.json ]; then head -c "$MOST" /source/review.json; fi
"#;

/// What posting a review needs beside the job's places.
pub struct Posting<'a> {
    /// The number of the pull request.
    pub number: u64,
    /// The coding agent.
    pub coder: &'a str,
    /// Puts the question to the owner.
    pub desk: &'a Desk,
    /// Knows the vault's secrets.
    pub redactor: Arc<Redactor>,
    /// Reaches the repository's host.
    pub forges: &'a Forges,
}

/// Makes the tree with the pull request's commits checked out, or finds it as it is. Gives what the owner should know of it. Safe to
/// repeat after a crash.
pub async fn prepare(site: &Site, author: &Author, forges: &Forges, number: u64) -> Result<Vec<String>, SiteError> {
    make_private(&site.directory)?;
    if let Some(record) = TreeRecord::read(&site.directory)? {
        return Ok(record.notes);
    }
    let Place::Branch { branch, .. } = &site.place else {
        return Err(SiteError::Unfit("a review works on a branch of its own".to_owned()));
    };
    let fetched = fetch::fetch(site, forges, number).await?;
    let mut record = tree::clone(site, author, branch, None).await?;
    fetch::check_out(site, branch, &fetched).await?;
    let short: String = fetched.head.chars().take(12).collect();
    record.notes.push(format!("reviewed is pull request {number} as of commit {short}"));
    record.base = Some(fetched.head);
    record.no_commit = Some("it is a review".to_owned());
    record.write(&site.directory)?;
    Ok(record.notes)
}

/// Whether the coding agent has written a review; why not, in words for it.
pub async fn check(site: &Site) -> Result<Result<(), String>, SiteError> {
    Ok(read(site).await?.map(|_| ()))
}

/// Posts the review as one comment, after the owner's approval, and gives its address; why it was not posted otherwise. Safe to
/// repeat after a crash: a comment that is there is found by its mark, and nobody is asked about it again.
pub async fn post(
    site: &Site,
    posting: &Posting<'_>,
    show: impl AsyncFnOnce(&str, &str),
) -> Result<Result<String, String>, SiteError> {
    let review = match read(site).await? {
        Ok(review) => review,
        Err(why) => return Ok(Err(why)),
    };
    let body = text::comment(posting.number, site.job, posting.coder, &review);
    let findings = land::secrets_in(&body, &posting.redactor);
    if let Some(first) = findings.first() {
        return Ok(Err(format!("it holds {first}; look at `review.json` in the job's tree")));
    }
    let repository = match fetch::origin(site).await? {
        Some(repository) => repository,
        None => return Ok(Err(origin::NONE.to_owned())),
    };
    let forge = posting.forges.forge(&repository);
    let digest = hex::encode(Sha256::digest(format!("{}\n{body}", site.job)));
    let mark = format!("<!-- factotum review {} -->", &digest[..32]);
    match forge.commented(posting.number, &mark).await {
        Ok(Some(present)) => return Ok(Ok(present)),
        Ok(None) => {}
        Err(error) => return Ok(Err(error.to_string())),
    }
    show(&digest[..16], &body).await;
    let grant = match ask(site, posting, &repository, &digest[..16], &body).await? {
        Consent::Given(grant) => grant,
        Consent::Refused(why) => return Ok(Err(why)),
    };
    let mut tries = 0;
    loop {
        tries += 1;
        match forge.comment(&grant, posting.number, &mark, &body).await {
            Ok(url) => return Ok(Ok(url)),
            Err(error) if tries < TRIES && may_pass(&error) => tokio::time::sleep(PAUSE * tries).await,
            Err(error) => return Ok(Err(error.to_string())),
        }
    }
}

fn may_pass(error: &ForgeError) -> bool {
    matches!(error, ForgeError::Failed { .. } | ForgeError::Network(_))
}

async fn ask(
    site: &Site,
    posting: &Posting<'_>,
    repository: &Repository,
    digest: &str,
    body: &str,
) -> Result<Consent, SiteError> {
    let number = posting.number;
    let input = json!({ "repository": repository.shown(), "pull_request": number, "comment": digest });
    let effect = Effect {
        sink: Sink::Credential,
        read_only: false,
        destinations: vec![format!("{}#{number}", repository.url())],
        reversible: false,
        payload: Some(body.to_owned()),
        summary: format!("post one comment on pull request {number} of {}", repository.shown()),
        count: 1,
    };
    let why = "it would publish the coding agent's review in your name";
    posting.desk.ask(site, &format!("job-{}-review-{digest}", site.job), "job_review", &input, effect, why).await
}

async fn read(site: &Site) -> Result<Result<Review, String>, SiteError> {
    let purpose = Purpose { act: Act::JobTree, writes: Spot::Land, reads: Some(Spot::Tree), way_out: None };
    let room = site.room(purpose).await?;
    let errand = Errand::new("read the review", READ).with("MOST", (MAX_BYTES + 1).to_string());
    Ok(Review::read(&room.git(errand).await?))
}
