//! Coding agents are installed with known checksums, and tried for real: the program in a sandbox, and a request through the
//! proxy to a vendor that the test plays.

use std::{net::SocketAddr, sync::Arc};

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
    routing::any,
};
use egress::{Binding, CredentialSlot, SecretSettings};
use harness::{
    all_but_network_inside, all_inside,
    online::{Authority, Online, scene, serve_tls},
};
use types::{Command, CommandReply};

const VENDOR: &str = "203.0.113.80";
const KEY: &str = "sk-ant-the-real-key-0123456789";

fn done(it: &Online, command: &Command) -> String {
    match it.command(command) {
        Ok(CommandReply::Done { text }) => text,
        other => panic!("{command:?}: {other:?}"),
    }
}

fn refused(it: &Online, command: &Command) -> String {
    let failure = it.command(command).expect_err("it must fail");
    format!("{} ({})", failure.error, failure.hint.unwrap_or_default())
}

fn test(coder: &str) -> Command {
    Command::TestCoder { coder: coder.to_owned() }
}

#[test]
fn a_coding_agent_is_installed_with_its_checksums() {
    all_but_network_inside("coders::a_coding_agent_is_installed_with_its_checksums", || {
        let reached = std::process::Command::new("curl")
            .args(["-sS", "-o", "/dev/null", "-m", "10", "https://registry.npmjs.org/"])
            .status();
        if !reached.is_ok_and(|status| status.success()) || std::env::consts::ARCH != "x86_64" {
            eprintln!("skipped: the registry cannot be reached from here");
            return;
        }
        let it = Online::start(&scene::runtime(), "", scene::with_mirrors(), &[]);
        let install = |version: Option<&str>| Command::InstallCoder {
            coder: "opencode".to_owned(),
            version: version.map(str::to_owned),
        };
        let unknown = refused(&it, &install(Some("0.0.1")));
        assert!(unknown.contains("checksum") && unknown.contains("opencode 1.18.33"), "{unknown}");
        let said = done(&it, &install(None));
        for part in ["opencode 1.18.33 is installed", "opencode-linux-x64@1.18.33", "sha512", "sha256"] {
            assert!(said.contains(part), "{said}");
        }
        let listed = it.coders().into_iter().find(|coder| coder.name == "opencode").unwrap();
        assert_eq!((listed.checksum_ok, listed.installed.as_slice()), (Some(true), ["1.18.33".to_owned()].as_slice()));
        let digest = listed.sha256.unwrap();
        assert!(said.contains(&digest), "{said}");
        let tried = done(&it, &test("opencode"));
        assert!(tried.contains("starts in a sandbox: 1.18.33"), "{tried}");
        // Whoever changes the program is found out.
        let program = listed.program.unwrap();
        let mut bytes = std::fs::read(&program).unwrap();
        bytes.push(0);
        std::fs::write(&program, bytes).unwrap();
        let changed = it.coders().into_iter().find(|coder| coder.name == "opencode").unwrap();
        assert_eq!(changed.checksum_ok, Some(false));
        assert!(changed.problems.iter().any(|problem| problem.contains("not what was installed")), "{changed:?}");
        // It reached the registry alone, and left nothing among the workspaces.
        let hosts: Vec<_> = it.egress_records().into_iter().filter(|record| record["stage"] != "denied").collect();
        assert!(hosts.iter().all(|record| record["client"] == "coder-install"), "{hosts:#?}");
        assert!(!it.home.path().join("home/workspaces/coder-install").exists());
    });
}

/// A vendor that takes one key and says who came.
async fn vendor(authority: &Authority, seen: Arc<std::sync::Mutex<Vec<String>>>) {
    let answer = move |headers: HeaderMap| {
        let given = headers.get("x-api-key").and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        seen.lock().unwrap().push(format!("{headers:?}"));
        async move {
            if given == KEY {
                (StatusCode::OK, "{\"data\":[]}")
            } else {
                (StatusCode::UNAUTHORIZED, "invalid x-api-key")
            }
        }
    };
    let router = Router::new().fallback(any(answer));
    serve_tls(authority, &["api.anthropic.com"], SocketAddr::new(VENDOR.parse().unwrap(), 443), router).await;
}

fn bound(header: Option<&str>) -> SecretSettings {
    let mut binding = Binding::to("api.anthropic.com").unwrap();
    if let Some(name) = header {
        binding.slot = CredentialSlot::Header { name: name.to_owned(), prefix: String::new() };
    }
    SecretSettings { bindings: Some(vec![binding]), ..SecretSettings::default() }
}

#[test]
fn the_way_to_the_vendor_is_tried_with_the_real_program() {
    all_inside("coders::the_way_to_the_vendor_is_tried_with_the_real_program", &["203.0.113.80/32"], || {
        let runtime = scene::runtime();
        let (authority, seen) = (Authority::new(), Arc::default());
        runtime.block_on(vendor(&authority, Arc::clone(&seen)));
        let home = tempfile::Builder::new().prefix("factotum-online-").tempdir().unwrap();
        authority.write(&home.path().join("ca.pem"));
        let program = harness::coders::program("claude");
        let config = format!(
            "[coders.claude]\nprogram = \"{program}\"\nsecret = \"right\"\nextra_ca = [\"{ca}\"]\n\
             [coders.wrong]\nkind = \"claude\"\nprogram = \"{program}\"\nsecret = \"wrong\"\nextra_ca = [\"{ca}\"]\n\
             [coders.unbound]\nkind = \"claude\"\nprogram = \"{program}\"\nsecret = \"unbound\"\n\
             [coders.bare]\nkind = \"claude\"\nprogram = \"{program}\"\n",
            ca = home.path().join("ca.pem").display(),
            program = program.display(),
        );
        let secrets = [
            ("right", KEY, bound(Some("x-api-key"))),
            ("wrong", "sk-ant-another-key-0123456789", bound(Some("x-api-key"))),
            ("unbound", "sk-ant-third-key-0123456789", SecretSettings::default()),
        ];
        let network = scene::played(&[("api.anthropic.com", VENDOR)]);
        let it = Online::start_in(&runtime, home, &config, network, &secrets);
        let said = done(&it, &test("claude"));
        assert!(said.contains("starts in a sandbox: 2.1.329"), "{said}");
        assert!(said.contains("/v1/models answers"), "{said}");
        let wrong = refused(&it, &test("wrong"));
        assert!(wrong.contains("does not take the key") && wrong.contains("invalid x-api-key"), "{wrong}");
        let unbound = refused(&it, &test("unbound"));
        assert!(unbound.contains("bound to no host"), "{unbound}");
        let bare = refused(&it, &test("bare"));
        assert!(bare.contains("it has no key"), "{bare}");
        let nobody = refused(&it, &test("pilot"));
        assert!(nobody.contains("there is no coding agent"), "{nobody}");
        let codex = refused(&it, &test("codex"));
        assert!(codex.contains("codex is not installed") && codex.contains("factotum coder install codex"), "{codex}");
        assert_eq!(seen.lock().unwrap().len(), 2);
        let problems = |name: &str| it.coders().into_iter().find(|one| one.name == name).unwrap().problems;
        assert!(problems("claude").is_empty(), "{:?}", problems("claude"));
        assert!(problems("unbound")[0].contains("--bind api.anthropic.com"), "{:?}", problems("unbound"));
    });
}
