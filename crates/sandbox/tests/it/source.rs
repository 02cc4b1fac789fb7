//! A directory that commands only read, at `/source`.

use std::{fs, path::Path};

use sandbox::{SandboxConfig, SandboxError, SandboxSpec, Workspace};

use crate::{
    inside,
    support::{Outcome, Place, name, use_own_program},
};

inside! {
    as_root {
        a_source_is_read_and_never_written
    }
    as_somebody {
        a_source_is_read_and_never_written
        a_source_and_a_workspace_lie_apart
    }
}

fn spec(outer: &Path, workspace: &str, source: &str) -> Result<SandboxSpec, Box<dyn std::error::Error>> {
    use_own_program();
    for directory in [workspace, source] {
        fs::create_dir_all(outer.join(directory))?;
    }
    let mut spec = SandboxSpec::new(Workspace::open(name()?, &outer.join(workspace))?, &SandboxConfig::default())?;
    spec.source = Some(Workspace::open(name()?, &outer.join(source))?);
    Ok(spec)
}

async fn a_source_is_read_and_never_written() -> Outcome {
    let outer = tempfile::tempdir()?;
    let spec = spec(outer.path(), "work", "origin")?;
    let file = outer.path().join("origin/private");
    fs::write(&file, "words")?;
    // What only its owner may read can be read inside: commands are shown as the owner.
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    let it = Place::of(tempfile::tempdir()?, spec).await?;
    assert_eq!(it.good("cat /source/private; stat -c %u /source/private").await?, "words1000\n");
    let tries = "echo x > /source/new; echo x >> /source/private; rm -f /source/private; mkdir /source/d; chmod 777 \
                 /source/private; mv /source/private /workspace/; ln /source/private /workspace/l; cat /source/private";
    assert!(it.good(&format!("{{ {tries}; }} 2>/dev/null")).await?.ends_with("words"));
    assert_eq!(fs::read_dir(outer.path().join("origin"))?.count(), 1);
    assert_eq!(fs::read_to_string(&file)?, "words");
    Ok(())
}

async fn a_source_and_a_workspace_lie_apart() -> Outcome {
    let outer = tempfile::tempdir()?;
    for (workspace, source) in [("work", "work"), ("work/inner", "work"), ("work", "work/inner")] {
        let refused = Place::of(tempfile::tempdir()?, spec(outer.path(), workspace, source)?).await;
        assert!(matches!(refused, Err(SandboxError::Workspace { .. })), "{workspace} {source}");
    }
    Ok(())
}
