//! What of a workspace commands cannot replace.

use std::{fs, path::Path};

use sandbox::{Fixed, SandboxConfig, SandboxSpec, Workspace};

use crate::{
    inside,
    support::{Outcome, Place, name, use_own_program},
};

inside! {
    as_root {
        what_is_fixed_stays_and_the_rest_is_written
    }
    as_somebody {
        what_is_fixed_stays_and_the_rest_is_written
    }
}

fn write(at: &Path, text: &str) -> std::io::Result<()> {
    fs::create_dir_all(at.parent().unwrap_or(at))?;
    fs::write(at, text)
}

/// Each of these must fail.
const TRIES: [&str; 14] = [
    "echo x > .git/config",
    "echo x > .git/config.lock && mv -f .git/config.lock .git/config",
    "rm -f .git/config",
    "echo x > .git/hooks/pre-commit",
    "rm -rf .git/hooks",
    "mv .git/hooks .git/other",
    "mv .git elsewhere",
    "ln -f /etc/hostname .git/config",
    "chmod 777 .git/hooks",
    "umount .git/config",
    "mount --bind /tmp .git/hooks",
    "echo x > tests/new",
    "mv tests elsewhere",
    "git config core.hooksPath /workspace",
];

async fn what_is_fixed_stays_and_the_rest_is_written() -> Outcome {
    use_own_program();
    let outer = tempfile::tempdir()?;
    let work = outer.path().join("work");
    for file in [".git/config", ".git/hooks/sample", ".git/HEAD", "tests/a", "src/b", "outside/c"] {
        write(&work.join(file), "before")?;
    }
    std::os::unix::fs::symlink("outside", work.join("link"))?;
    let workspace = Workspace::open(name()?, &work)?;
    let mut spec = SandboxSpec::new(workspace, &SandboxConfig::default())?;
    let read_only = [".git/config", ".git/hooks", ".git/missing", "tests", "link", "link/c", "src/b/c"];
    spec.fixed = read_only.into_iter().chain(["tests"]).filter_map(Fixed::read_only).collect();
    spec.fixed.extend(Fixed::in_place(".git"));
    let it = Place::of(outer, spec).await?;
    for attempt in TRIES {
        let said = it
            .good(&format!("cd /workspace; if {{ {attempt}; }} 2>/dev/null; then echo done; else echo failed; fi"))
            .await?;
        assert_eq!(said, "failed\n", "{attempt}");
    }
    let rest = "cd /workspace && echo x > .git/HEAD && echo x > .git/index && mv .git/index .git/new && mkdir .git/refs && \
                echo x > src/b && echo x > link/c && rm link && echo fine";
    assert_eq!(it.good(rest).await?, "fine\n");
    for (file, text) in
        [(".git/config", "before"), (".git/hooks/sample", "before"), ("tests/a", "before"), (".git/HEAD", "x\n")]
    {
        assert_eq!(fs::read_to_string(work.join(file))?, text, "{file}");
    }
    assert_eq!(fs::read_dir(work.join(".git/hooks"))?.count(), 1);
    Ok(())
}
