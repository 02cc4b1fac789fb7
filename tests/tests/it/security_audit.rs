//! `factotum security audit`: green when every promise holds, red for each that is broken, and for nothing else.

use harness::{
    Home,
    home::{KEY, config},
    process, run_inside,
};
use serde_json::Value;

/// Audits in a home of its own, with these promises broken.
fn audited(broken: &str, arguments: &[&str]) -> (i32, Value) {
    let home = Home::new();
    home.configure("[api]\nlisten = \"127.0.0.1:0\"\n");
    let arguments = [&["--json", "security", "audit"], arguments].concat();
    // The cloud's own address lies on loopback, so that an attempt that is not stopped reaches nobody else.
    let addresses = ["169.254.169.254/32", "10.99.0.1/32"];
    let finished = run_inside(&home.path(), &addresses, &[("FACTOTUM_BREAK", broken)], &arguments);
    let report = serde_json::from_str(&finished.stdout).unwrap_or_else(|error| panic!("{error}: {finished:?}"));
    (finished.code.unwrap_or(-1), report)
}

fn outcomes(report: &Value) -> Vec<(u64, &str, &str)> {
    let attempts = report["attempts"].as_array().unwrap();
    attempts
        .iter()
        .map(|attempt| {
            let text = |key: &str| attempt[key].as_str().unwrap_or_default();
            (attempt["invariant"].as_u64().unwrap(), text("id"), text("outcome"))
        })
        .collect()
}

#[test]
fn every_attack_on_a_sound_program_is_tried_and_held() {
    let (_, report) = audited("", &[]);
    let outcomes = outcomes(&report);
    let failed: Vec<_> = outcomes.iter().filter(|(_, _, outcome)| *outcome != "held").collect();
    assert!(failed.is_empty(), "{failed:?}\n{report:#}");
    let attacked: std::collections::BTreeSet<u64> = outcomes.iter().map(|(invariant, ..)| *invariant).collect();
    assert_eq!(attacked, (1..=25).collect(), "every promise is attacked");
}

/// The audit of one broken promise is red for that promise, with a finding that says what to do.
fn red_when_broken(invariant: u8) {
    let number = invariant.to_string();
    let (code, report) = audited(&number, &["--only", &number]);
    let outcomes = outcomes(&report);
    assert!(outcomes.iter().any(|(_, _, outcome)| *outcome == "broken"), "{invariant}: {report:#}");
    assert_eq!(code, 13, "{report:#}");
    let finding = &report["findings"][0];
    assert!(["gain", "fix"].iter().all(|key| finding[*key].as_str().is_some_and(|text| !text.is_empty())), "{finding}");
}

macro_rules! each_broken {
    ($($name:ident $number:literal)*) => {$(
        #[test]
        fn $name() {
            red_when_broken($number);
        }
    )*};
}

each_broken! {
    a_readable_secret_is_noticed 1
    a_command_without_a_sandbox_is_noticed 2
    another_way_to_the_network_is_noticed 3
    a_dialled_private_address_is_noticed 4
    a_silent_send_is_noticed 5
    a_label_that_falls_is_noticed 6
    an_approval_for_another_call_is_noticed 7
    a_yes_of_nobody_is_noticed 8
    an_open_control_file_is_noticed 9
    an_answer_to_a_stranger_is_noticed 10
    a_forged_sender_is_noticed 11
    an_unguarded_api_is_noticed 12
    a_child_with_more_than_its_parent_is_noticed 13
    a_revocation_without_effect_is_noticed 14
    a_stop_that_does_not_stop_is_noticed 15
    a_cap_that_does_not_hold_is_noticed 16
    an_effect_without_a_record_is_noticed 17
    a_file_tool_that_leaves_the_workspace_is_noticed 18
    a_credential_in_the_wrong_place_is_noticed 19
    a_quota_that_does_not_hold_is_noticed 20
    an_attachment_that_is_opened_is_noticed 21
    a_silent_persistence_is_noticed 22
    an_unsafe_start_is_noticed 23
    a_hidden_link_is_noticed 24
    a_dishonest_audit_is_noticed 25
}

#[test]
fn permissions_are_found_and_mended() {
    use std::os::unix::fs::PermissionsExt;
    let home = Home::new();
    home.configure("[api]\nlisten = \"127.0.0.1:0\"\n");
    let config = home.path().join("config.toml");
    std::fs::set_permissions(&config, std::fs::Permissions::from_mode(0o644)).unwrap();
    let audit = |arguments: &[&str]| {
        let finished = run_inside(&home.path(), &[], &[], &[&["--json", "security", "audit"], arguments].concat());
        (finished.code, serde_json::from_str::<Value>(&finished.stdout).unwrap())
    };
    let only = ["--only", "home."];
    let (code, report) = audit(&only);
    assert_eq!((code, &report["findings"][0]["id"]), (Some(12), &"home.permissions".into()), "{report:#}");
    let (code, report) = audit(&["--only", "home.", "--fix"]);
    assert_eq!((code, &report["findings"][0]["fixed"]), (Some(0), &true.into()), "{report:#}");
    let (code, report) = audit(&only);
    assert_eq!((code, report["findings"].as_array().unwrap().len()), (Some(0), 0), "{report:#}");
    assert_eq!(config.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_small_model_with_the_web_and_a_weak_sandbox_does_not_start() {
    let home = Home::new();
    let workspace = home.beside("work");
    std::fs::create_dir(&workspace).unwrap();
    let small = config("openai-chat", "http://127.0.0.1:9/v1", &workspace, None).replace("lab/model-1", "lab/tiny-3b");
    home.configure(&small);
    assert_eq!(process::run(&home.path(), &["secret", "set", "lab-key"], KEY).code, Some(0));
    // With this promise broken the sandbox's self-test finds a way to the network.
    let up = || run_inside(&home.path(), &[], &[("FACTOTUM_BREAK", "3")], &["up"]);
    let refused = up();
    assert_eq!(refused.code, Some(3), "{refused:?}");
    assert!(["tiny-3b", "[web]", "sandbox"].iter().all(|part| refused.stderr.contains(part)), "{refused:?}");
}
