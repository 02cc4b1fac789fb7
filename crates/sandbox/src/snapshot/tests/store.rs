//! What lies in the store of snapshots, and what becomes of it.

use super::*;

#[test]
fn a_damaged_store_is_told_and_does_no_harm() {
    let fixture = Fixture::new();
    fixture.write("a", "content");
    let id = fixture.take();
    fixture.write("a", "changed");
    fixture.write("b", "new");
    let home = fixture.outer.path().join("home/snapshots");
    let object = picture(&home.join("objects")).into_iter().find(|(_, (mode, _))| mode & 0o40000 == 0).expect("one");
    fs::write(&object.0, "CONTENT").expect("it is ours");
    let restored = fixture.restore(&id);
    assert_eq!(restored.problems.len(), 1);
    assert_eq!(fs::read(fixture.path("a")).expect("it is there"), b"changed", "a wrong content is worse than none");
    fs::remove_file(&object.0).expect("it is ours");
    fixture.write("b", "new");
    let missing = fixture.snapshots.restore(&undoing(), &fixture.workspace, &id);
    assert!(matches!(missing, Err(SnapshotError::Damaged { .. })), "{missing:?}");
    assert!(fixture.path("b").exists(), "nothing may be touched when a content is missing");
    let manifest = picture(&home.join("manifests")).into_iter().find(|(path, _)| path.is_file()).expect("one");
    let half = &manifest.1.1[..manifest.1.1.len() - 20];
    fs::write(&manifest.0, half).expect("it is ours");
    let torn = fixture.snapshots.restore(&undoing(), &fixture.workspace, &id);
    assert!(matches!(torn, Err(SnapshotError::Damaged { .. })), "{torn:?}");
    // A new snapshot is taken from scratch and mends the missing content.
    fixture.write("a", "content");
    let fresh = fixture.take();
    assert_ne!(fresh, id);
    fixture.write("a", "changed");
    assert_eq!(fixture.restore(&fresh).problems, Vec::<String>::new());
    assert_eq!(fs::read(fixture.path("a")).expect("it is there"), b"content");
}

#[test]
fn ids_lead_to_no_other_file() {
    let fixture = Fixture::new();
    fixture.write("a", "x");
    fixture.take();
    for id in ["", "work", "work@", "work@../../x", "other@00000000000001-0000", "work@0000000000000/-0000"] {
        let loaded = fixture.snapshots.restore(&undoing(), &fixture.workspace, id);
        assert!(matches!(loaded, Err(SnapshotError::Unknown { .. })), "{id}: {loaded:?}");
    }
    let other = decide_own(Act::Undo, WorkspaceName::new("other").expect("it is a plain name"));
    let refused = fixture.snapshots.take(&other, &fixture.workspace);
    assert!(matches!(refused, Err(SnapshotError::Workspace(FileError::NotGranted(_)))));
    let id = fixture.take();
    let read_only = fixture.snapshots.restore(&taking(), &fixture.workspace, &id);
    assert!(matches!(read_only, Err(SnapshotError::Workspace(FileError::NotGranted(_)))));
}

#[test]
fn pruning_keeps_the_latest_and_what_they_need() {
    let fixture = Fixture::new();
    fixture.write("constant", "constant");
    let ids: Vec<String> = (0..5)
        .map(|round| {
            fixture.write("changing", format!("round {round}"));
            fixture.take()
        })
        .collect();
    assert_eq!(fixture.objects(), 6);
    fs::write(fixture.outer.path().join("home/snapshots/objects/.factotum-left.tmp"), "left").expect("it is ours");
    let pruned = fixture.snapshots.prune(2).expect("it can be pruned");
    assert_eq!((pruned.snapshots, pruned.objects, pruned.bytes), (3, 3, 21));
    assert_eq!(fixture.snapshots.list(&name()).expect("it can be listed"), ids[3..]);
    assert_eq!(fixture.objects(), 3);
    fixture.restore(&ids[3]);
    assert_eq!(fs::read(fixture.path("changing")).expect("it is there"), b"round 3");
    fixture.snapshots.prune(0).expect("it can be pruned");
    assert_eq!(fixture.snapshots.list(&name()).expect("it can be listed").len(), 1, "the last is always kept");
}

#[test]
fn snapshots_are_pruned_as_they_are_taken() {
    let fixture = Fixture::with(SnapshotConfig { keep: 2, ..Default::default() });
    for round in 0..30 {
        fixture.write("a", format!("{round}"));
        fixture.take();
    }
    let left = fixture.snapshots.list(&name()).expect("it can be listed").len();
    assert!((2..=13).contains(&left), "{left}");
}

#[test]
fn the_store_is_closed_to_others() {
    let fixture = Fixture::new();
    fixture.write("a", "x");
    fixture.take();
    for (path, (mode, _)) in picture(&fixture.outer.path().join("home/snapshots")) {
        assert_eq!(mode & 0o077, 0, "{}", path.display());
    }
}

#[test]
fn two_processes_do_not_work_at_once() {
    let fixture = Fixture::new();
    fixture.write("a", "x");
    let lock = fixture.snapshots.lock().expect("nobody holds it");
    std::thread::scope(|scope| {
        let taken = scope.spawn(|| fixture.take());
        std::thread::sleep(Duration::from_millis(100));
        assert!(!taken.is_finished(), "it must wait");
        drop(lock);
        assert!(taken.join().is_ok());
    });
}

#[test]
fn a_stamp_from_within_the_last_tick_proves_nothing() {
    let started = 1_000_000_000_000_i64;
    let manifest = |changed: i64| {
        let seen = Seen { size: 1, modified: 0, changed, inode: 1 };
        let file = Saved::File { mode: 0o644, owner: (0, 0), hash: "00".to_owned(), seen };
        Manifest {
            workspace: "work".to_owned(),
            started,
            exclude: Vec::new(),
            entries: BTreeMap::from([(PathBuf::from("a"), file)]),
        }
    };
    let proves = |changed: i64| take::known(&manifest(changed), Path::new("a")).is_some();
    assert!(proves(started - 3_000_000_000), "long unchanged");
    assert!(!proves(started - 1_000_000_000), "perhaps changed again since");
    assert!(!proves(started + 1), "from a clock that jumped back");
}

#[test]
fn a_manifest_survives_its_own_format() {
    let seen = Seen { size: 1, modified: -5, changed: i64::MAX, inode: u64::MAX };
    let path = |bytes: &[u8]| PathBuf::from(OsStr::from_bytes(bytes));
    let entries = BTreeMap::from([
        (PathBuf::new(), Saved::Directory { mode: 0o755, owner: (1, 2) }),
        (path(b"100%\xff\xfe/\"\n"), Saved::File { mode: 0o600, owner: (0, 0), hash: "ab".to_owned(), seen }),
        (path("ä".as_bytes()), Saved::Link { target: path(b"../\xc3") }),
        (path(b"pipe"), Saved::Special),
    ]);
    let manifest = Manifest { workspace: "work".to_owned(), started: 7, exclude: vec!["x".to_owned()], entries };
    let bytes = manifest.encode();
    assert_eq!(Manifest::decode(&bytes), Ok(manifest));
    let text = String::from_utf8(bytes).expect("it is JSON");
    for (from, to) in [("\"version\":1", "\"version\":2"), ("pipe", "../pipe"), ("pipe", "/pipe"), ("%ff", "%f")] {
        assert!(text.contains(from), "{from}");
        assert!(Manifest::decode(text.replacen(from, to, 1).as_bytes()).is_err(), "{from} -> {to}");
    }
    assert!(Manifest::decode(b"").is_err());
}
