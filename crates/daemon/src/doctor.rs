//! `doctor`: is everything as it should be? Each check says what it saw and, where something is wrong, what to do.

use std::{os::unix::fs::PermissionsExt, path::Path, time::Instant};

use channels::Polling;
use sandbox::{Sandbox, SandboxConfig, SandboxSpec, Workspace};
use types::WorkspaceName;

use crate::{
    Config,
    api::views::{CanaryView, Check, CheckState},
    canary,
    canary::UNBOUNDED,
    core::Core,
    offline,
    status::{channel_views, shipping_views},
};

/// Less free space than this is a warning.
const LOW_SPACE: u64 = 1 << 30;
/// Less than this is bad: the journal cannot grow.
const NO_SPACE: u64 = 64 << 20;

fn check(name: &str, state: CheckState, detail: impl Into<String>, hint: Option<&str>) -> Check {
    Check { name: name.to_owned(), state, detail: detail.into(), hint: hint.map(str::to_owned) }
}

fn ok(name: &str, detail: impl Into<String>) -> Check {
    check(name, CheckState::Ok, detail, None)
}

fn bad(name: &str, detail: impl Into<String>, hint: &str) -> Check {
    check(name, CheckState::Bad, detail, Some(hint))
}

/// A warning where whoever has one of the owner's channels can approve everything.
fn second_factor(core: &Core) -> Check {
    match crate::second_factor::is_set_up(core) {
        Ok(true) => ok("second factor", "is set up"),
        Ok(false) => check(
            "second factor",
            CheckState::Warning,
            "none: whoever gets hold of one of your channels can approve everything",
            Some("`factotum totp setup`"),
        ),
        Err(failure) => bad("second factor", failure.error, "look at the journal: `factotum doctor`"),
    }
}

/// The checks that need no daemon.
pub(crate) async fn offline(home: &Path, only: Option<&str>) -> Vec<Check> {
    let wanted = |name: &str| only.is_none_or(|only| only == name);
    let config = Config::load(&offline::config_path(home));
    let mut checks = Vec::new();
    if wanted("home") {
        checks.push(permissions(home));
    }
    if wanted("config") {
        checks.push(configuration(home));
    }
    if wanted("disk") {
        checks.push(disk(home));
    }
    if wanted("clock") {
        checks.push(clock());
    }
    if wanted("kernel") {
        checks.push(kernel());
    }
    if wanted("log") {
        checks.push(log(home));
    }
    if wanted("journal") {
        checks.push(journal(home));
    }
    let sandbox = config.map(|config| config.sandbox).unwrap_or_default();
    if wanted("sandbox") {
        checks.push(canary_check(&canary::test(&sandbox).await));
    }
    if wanted("certificates") {
        checks.push(certificates());
    }
    if only == Some("provider") {
        checks.push(provider(home).await);
    }
    if only == Some("sandbox-start") {
        checks.push(sandbox_start(&sandbox).await);
    }
    if checks.is_empty() {
        let hint = "known are: home, config, disk, clock, kernel, log, journal, sandbox, certificates, provider, \
                    sandbox-start";
        checks.push(bad(only.unwrap_or_default(), "there is no check of this name", hint));
    }
    checks
}

/// The checks that a running daemon answers.
pub(crate) fn running(core: &Core) -> Vec<Check> {
    let mut checks = vec![
        ok("daemon", format!("runs as process {} on {}", std::process::id(), core.address)),
        ok("model", core.live().model.clone()),
        canary_check(&core.canary.borrow()),
        disk(core.home.path()),
        second_factor(core),
    ];
    for view in shipping_views(core) {
        let name = format!("shipping to {}", view.name);
        let detail = format!("{} of {} records", view.shipped, view.recorded);
        checks.push(match view.error {
            None => ok(&name, detail),
            Some(error) => bad(&name, format!("{detail}; {error}"), "it is tried again by itself; look at the target"),
        });
    }
    for (view, messenger) in channel_views(core).into_iter().zip(core.messengers.values()) {
        let detail = match &view.last_error {
            Some(error) => format!("{}; last error: {error}", view.state),
            None => view.state.clone(),
        };
        let (state, hint) = match messenger.channel.status().polling {
            Polling::Receiving | Polling::Starting => (CheckState::Ok, None),
            Polling::Waiting => (CheckState::Warning, Some("it tries again by itself; look at the network")),
            Polling::Conflict => (CheckState::Bad, Some("stop the other program, or make a bot of its own for it")),
            Polling::Refused => (CheckState::Bad, Some("store the right token with `factotum secret set`")),
            Polling::Stopped => (CheckState::Bad, Some("restart factotum")),
        };
        checks.push(check(&view.id, state, detail, hint));
    }
    checks
}

fn permissions(home: &Path) -> Check {
    let metadata = match std::fs::metadata(home) {
        Ok(metadata) => metadata,
        Err(error) => {
            return check(
                "home",
                CheckState::Warning,
                format!("{}: {error}", home.display()),
                Some("run `factotum up`"),
            );
        }
    };
    let open: Vec<String> = ["", "config.toml", "vault", "vault.key", "api.token", "factotum.db", "audit.log"]
        .iter()
        .filter_map(|name| {
            let mode = std::fs::metadata(home.join(name)).ok()?.permissions().mode();
            (mode & 0o077 != 0).then(|| format!("{} is {:o}", home.join(name).display(), mode & 0o777))
        })
        .collect();
    if !metadata.is_dir() {
        return bad("home", format!("{} is not a directory", home.display()), "give a directory with --home");
    }
    match open.first() {
        None => ok("home", format!("{} is closed to others", home.display())),
        Some(_) => bad("home", open.join(", "), "close it to others: chmod -R go-rwx on the home directory"),
    }
}

fn configuration(home: &Path) -> Check {
    match offline::config_check(home) {
        Ok(notes) if notes.is_empty() => ok("config", "valid, and every secret it names is stored"),
        Ok(notes) => check("config", CheckState::Warning, notes.join("; "), Some("see `factotum config example`")),
        Err(failure) => {
            Check { name: "config".to_owned(), state: CheckState::Bad, detail: failure.error, hint: failure.hint }
        }
    }
}

fn disk(home: &Path) -> Check {
    // A home that does not exist yet will be on the disk of the directory above.
    let place = home.ancestors().find(|path| path.exists()).unwrap_or(Path::new("/"));
    match rustix::fs::statvfs(place) {
        Err(error) => check("disk", CheckState::Skipped, error.to_string(), None),
        Ok(space) => {
            let free = space.f_bavail.saturating_mul(space.f_frsize);
            let detail = format!("{} MB free", free >> 20);
            let hint = Some("make room; the journal and the saved workspaces need it");
            if free < NO_SPACE {
                check("disk", CheckState::Bad, detail, hint)
            } else if free < LOW_SPACE {
                check("disk", CheckState::Warning, detail, hint)
            } else {
                ok("disk", detail)
            }
        }
    }
}

/// A clock that is far off makes every TLS certificate invalid and every budget's day wrong.
fn clock() -> Check {
    use types::Clock;
    let now = crate::SystemClock::new().now();
    // 2025-01-01, which is before this program was made.
    const EARLIEST: i64 = 1_735_689_600_000;
    if now.0 < EARLIEST {
        return bad("clock", "the system's clock is years behind", "set it, or let NTP set it");
    }
    ok("clock", jiff::Timestamp::from_millisecond(now.0).map_or_else(|_| now.0.to_string(), |time| time.to_string()))
}

fn kernel() -> Check {
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let numbers: Vec<u32> = release.split(['.', '-']).take(2).map_while(|part| part.parse().ok()).collect();
    // Landlock came with 5.13; without it the sandbox lacks one of its layers.
    if numbers.as_slice() < [5, 13].as_slice() {
        return bad("kernel", format!("Linux {release}"), "Linux 5.13 or later is needed");
    }
    ok("kernel", format!("Linux {release}"))
}

fn log(home: &Path) -> Check {
    match offline::log_verify(home) {
        Ok(verified) => ok("log", format!("{} records, unbroken", verified.records)),
        Err(failure) => {
            Check { name: "log".to_owned(), state: CheckState::Bad, detail: failure.error, hint: failure.hint }
        }
    }
}

fn journal(home: &Path) -> Check {
    let opened = store::Store::open_read_only(home, std::sync::Arc::new(crate::SystemClock::new()));
    match opened.and_then(|store| store.check()) {
        Ok(()) => ok("journal", "the database is whole"),
        Err(store::StoreError::Missing { .. }) => check("journal", CheckState::Skipped, "there is none yet", None),
        Err(error) => bad("journal", error.to_string(), &error.hint()),
    }
}

fn canary_check(state: &CanaryView) -> Check {
    match state {
        CanaryView::Running => check("sandbox", CheckState::Skipped, "the self-test has not ended", None),
        CanaryView::Held { attempts, quota, is_bounded } => {
            let found = format!("held against {attempts} attempts to get out; quotas: {quota}");
            match is_bounded {
                true => ok("sandbox", found),
                false => check(
                    "sandbox",
                    CheckState::Warning,
                    format!("{found}; unattended work is refused"),
                    Some(UNBOUNDED),
                ),
            }
        }
        CanaryView::Failed { error } => bad("sandbox", error.clone(), "see SECURITY.md; `factotum setup` may mend it"),
    }
}

fn certificates() -> Check {
    match egress::check_certificates() {
        Ok(_) => ok("certificates", "the system's certificates can be read"),
        Err(error) => bad("certificates", error.to_string(), "install the package ca-certificates"),
    }
}

/// Asks the configured provider for anything at all, without a key: every HTTP answer shows that it can be reached.
async fn provider(home: &Path) -> Check {
    let config = match Config::load(&offline::config_path(home)) {
        Ok(config) => config,
        Err(error) => return bad("provider", error.to_string(), &error.hint),
    };
    let Some(settings) = config.model().and_then(|model| config.providers.get(model.provider)) else {
        return check("provider", CheckState::Skipped, "none is configured", None);
    };
    let asked = async {
        let vault = egress::Vault::open(home).map_err(|error| error.to_string())?;
        let client = egress::HttpClient::new(egress::ClientConfig::new(settings.base_url.clone()), vault)
            .map_err(|error| error.to_string())?;
        let request = client.request(egress::Method::GET, "/").timeout(std::time::Duration::from_secs(10));
        request.send(&tokio_util::sync::CancellationToken::new()).await.map_err(|error| error.to_string())
    };
    match asked.await {
        Ok(response) => ok("provider", format!("{} answers (HTTP {})", settings.base_url, response.status())),
        Err(error) => bad("provider", error, "look at `base_url` in config.toml and at the network"),
    }
}

/// Starts one sandbox in a scratch workspace and says how long that took, as JSON.
async fn sandbox_start(config: &SandboxConfig) -> Check {
    let scratch = std::env::temp_dir().join(format!("factotum-doctor-{}", std::process::id()));
    let measured = measure(config, &scratch).await;
    if let Err(error) = std::fs::remove_dir(&scratch) {
        tracing::debug!(%error, "the scratch workspace was not removed");
    }
    match measured {
        Ok(millis) => ok("sandbox-start", serde_json::json!({ "sandbox_start_ms": millis }).to_string()),
        Err(error) => bad("sandbox-start", error, "see the check `sandbox`"),
    }
}

async fn measure(config: &SandboxConfig, scratch: &Path) -> Result<f64, String> {
    std::fs::create_dir(scratch).map_err(|error| error.to_string())?;
    let name = WorkspaceName::new("doctor").map_err(|error| error.to_string())?;
    let workspace = Workspace::open(name, scratch).map_err(|error| error.to_string())?;
    let begun = Instant::now();
    let spec = SandboxSpec::new(workspace, config).map_err(|error| error.to_string())?;
    let sandbox = Sandbox::start(spec).await.map_err(|error| error.to_string())?;
    let elapsed = begun.elapsed();
    sandbox.stop().await;
    Ok((elapsed.as_secs_f64() * 1e6).round() / 1e3)
}
