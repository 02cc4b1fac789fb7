//! Edges between crates. They point down only: what stands below must not know what stands above. The table is that of
//! ARCHITECTURE.md; a new edge needs a decision record. Heavy libraries have one home each.

use super::run::Findings;
use crate::metadata::{Metadata, Package};

/// Which of our crates each of them may use.
const EDGES: &[(&str, &[&str])] = &[
    ("factotum-types", &[]),
    ("factotum-policy", &["types"]),
    ("factotum-store", &["types"]),
    ("factotum-egress", &["types", "policy"]),
    ("factotum-sandbox", &["types", "policy"]),
    ("factotum-providers", &["types", "egress"]),
    ("factotum-channels", &["types", "egress"]),
    ("factotum-coders", &["types", "policy", "sandbox"]),
    ("factotum-tools", &["types", "policy", "store", "egress", "sandbox"]),
    ("factotum-agent", &["types", "policy", "store"]),
    (
        "factotum-daemon",
        &["types", "policy", "store", "egress", "sandbox", "providers", "channels", "coders", "tools", "agent"],
    ),
    ("factotum", &["types", "daemon"]),
    ("factotum-testkit", &[]),
    ("xtask", &[]),
];

/// Packages that test the whole: they may use everything.
const ABOVE_ALL: [&str; 3] = ["factotum-tests", "factotum-agentdojo", "factotum-bench"];
/// What tests may use besides.
const FOR_TESTS: &str = "testkit";

/// Libraries that only one crate may use: each is an effect that has one door.
const HOMES: &[(&str, &[&str])] = &[
    ("rusqlite", &["factotum-store"]),
    ("reqwest", &["factotum-egress"]),
    ("rustls", &["factotum-egress"]),
    ("landlock", &["factotum-sandbox"]),
    ("seccompiler", &["factotum-sandbox"]),
    ("axum", &["factotum-daemon", "factotum-testkit"]),
    ("clap", &["factotum"]),
];

/// Checks all our packages.
pub fn check(metadata: &Metadata, findings: &mut Findings) {
    for package in metadata.ours() {
        if ABOVE_ALL.contains(&package.name.as_str()) {
            continue;
        }
        match EDGES.iter().find(|(name, _)| *name == package.name) {
            Some((_, allowed)) => check_package(package, allowed, findings),
            None => {
                findings.error(format!("{} has no place in the table of edges (xtask, ARCHITECTURE.md)", package.name))
            }
        }
    }
}

fn check_package(package: &Package, allowed: &[&str], findings: &mut Findings) {
    for dependency in &package.dependencies {
        let is_test = dependency.kind.as_deref() == Some("dev");
        if let Some(ours) = our_name(&dependency.name) {
            let may = allowed.contains(&ours) || (is_test && ours == FOR_TESTS);
            // A crate may name itself as a dev-dependency to turn a feature on for its tests.
            if !may && dependency.name != package.name {
                findings.error(format!("{} must not depend on {}", package.name, dependency.name));
            }
        }
        let home = HOMES.iter().find(|(library, _)| *library == dependency.name);
        if let Some((library, homes)) = home
            && !is_test
            && !homes.contains(&package.name.as_str())
        {
            findings.error(format!("{} must not depend on {library}; its home is {}", package.name, homes.join(", ")));
        }
    }
}

/// The folder of one of our packages.
fn our_name(package: &str) -> Option<&str> {
    if package == "factotum" { Some("cli") } else { package.strip_prefix("factotum-") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Dependency;

    fn errors(name: &str, dependency: &str, kind: Option<&str>) -> usize {
        let dependencies = vec![Dependency { name: dependency.to_owned(), kind: kind.map(str::to_owned) }];
        let (id, version) = (name.to_owned(), "1.0.0".to_owned());
        let package = Package { id: id.clone(), name: id.clone(), version, license: None, dependencies };
        let mut findings = Findings::default();
        check(&Metadata { packages: vec![package], workspace_members: vec![id] }, &mut findings);
        findings.errors().len()
    }

    #[test]
    fn edges_point_down() {
        assert_eq!(errors("factotum-store", "factotum-types", None), 0);
        assert_eq!(errors("factotum-types", "factotum-store", None), 1);
        assert_eq!(errors("factotum-agent", "factotum-providers", None), 1);
        assert_eq!(errors("factotum", "factotum-store", None), 1);
        assert_eq!(errors("factotum-agent", "factotum-testkit", None), 1);
        assert_eq!(errors("factotum-agent", "factotum-testkit", Some("dev")), 0);
        assert_eq!(errors("factotum-tests", "factotum-store", None), 0);
        assert_eq!(errors("factotum-new", "serde", None), 1);
    }

    #[test]
    fn heavy_libraries_have_one_home() {
        assert_eq!(errors("factotum-store", "rusqlite", None), 0);
        assert_eq!(errors("factotum-daemon", "rusqlite", None), 1);
        assert_eq!(errors("factotum-daemon", "rusqlite", Some("dev")), 0);
    }

    #[test]
    fn nobody_stands_above_what_it_is_used_by() {
        let position = |name: &str| EDGES.iter().position(|(known, _)| our_name(known) == Some(name));
        for (name, allowed) in EDGES {
            for below in *allowed {
                assert!(position(below) < EDGES.iter().position(|(known, _)| known == name), "{name} -> {below}");
            }
        }
    }
}
