//! Reading, writing, editing, listing and finding.

use std::{fs, os::unix::fs::symlink};

use serde_json::json;
use types::{Label, ToolOutput};

use crate::bench::{Bench, workspace_name};

fn ok(output: &ToolOutput) -> &str {
    assert!(!output.is_error, "{}", output.text);
    &output.text
}

fn error(output: &ToolOutput) -> &str {
    assert!(output.is_error, "{}", output.text);
    &output.text
}

#[tokio::test]
async fn a_file_is_written_read_and_edited() {
    let bench = Bench::new().await;
    let written = bench.call("write", json!({"path": "/workspace/src/a.rs", "content": "one\ntwo\nthree\n"})).await;
    assert_eq!(ok(&written), "created src/a.rs: 3 lines, 14 bytes");
    let read = bench.call("read", json!({"path": "src/a.rs"})).await;
    assert_eq!((ok(&read), read.label), ("one\ntwo\nthree\n", Label::OWNER));
    let part = bench.call("read", json!({"path": "src/a.rs", "from": 2, "lines": 1})).await;
    assert_eq!(ok(&part), "two\n[lines 2 to 2 of 3]");
    let edited = bench.call("edit", json!({"path": "src/a.rs", "old": "two", "new": "2"})).await;
    assert_eq!(ok(&edited), "replaced once in src/a.rs at line 2");
    let all = bench.call("edit", json!({"path": "src/a.rs", "old": "e\n", "new": "E\n", "all": true})).await;
    assert_eq!(ok(&all), "replaced 2 times in src/a.rs at line 1, 3");
    assert_eq!(bench.text("src/a.rs"), "onE\n2\nthreE\n");
    let missing = bench.call("edit", json!({"path": "src/a.rs", "old": "threF", "new": "x"})).await;
    assert!(error(&missing).contains("the most similar line is 3: `threE`"), "{}", missing.text);
    assert_eq!(bench.text("src/a.rs"), "onE\n2\nthreE\n", "a failed edit changes nothing");
}

#[tokio::test]
async fn what_cannot_be_read_is_explained() {
    let bench = Bench::new().await;
    fs::write(bench.path("binary"), b"a\0b").expect("it is ours");
    fs::write(bench.path("odd"), b"a\xffb").expect("it is ours");
    fs::create_dir(bench.path("folder")).expect("it is ours");
    symlink("/etc/hostname", bench.path("link")).expect("links can be made");
    let cases = [
        ("nothing", "does not exist"),
        ("binary", "is binary (3 bytes)"),
        ("folder", "is a directory"),
        ("link", "leads out of the workspace"),
        ("../x", "leads out of the workspace"),
    ];
    for (path, why) in cases {
        let output = bench.call("read", json!({"path": path})).await;
        assert!(error(&output).contains(why), "{path}: {}", output.text);
    }
    let odd = bench.call("read", json!({"path": "odd"})).await;
    assert!(ok(&odd).starts_with("a\u{fffd}b\n[bytes that are not UTF-8"), "{}", odd.text);
    let through = bench.call("write", json!({"path": "link", "content": "x"})).await;
    assert!(error(&through).contains("leads out of the workspace"), "{}", through.text);
}

#[tokio::test]
async fn directories_are_listed_and_searched() {
    let bench = Bench::new().await;
    bench.write("src/main.rs", "fn main() {}\n");
    bench.write("src/deep/er/x.rs", "fn x() {}\n");
    bench.write("README", "main\n");
    bench.write(".git/HEAD", "fn git\n");
    let listed = bench.call("list", json!({})).await;
    assert_eq!(ok(&listed), ".git/ …\nREADME 5\nsrc/\nsrc/deep/ …\nsrc/main.rs 13\n");
    let part = bench.call("list", json!({"path": "src/deep", "depth": 1})).await;
    assert_eq!(ok(&part), "src/deep/er/ …\n");
    let found = bench.call("grep", json!({"pattern": r"^fn \w+"})).await;
    assert_eq!(ok(&found), "src/deep/er/x.rs:1:fn x() {}\nsrc/main.rs:1:fn main() {}\n");
    let some = bench.call("grep", json!({"pattern": "main", "path": "src", "glob": "*.rs"})).await;
    assert_eq!(ok(&some), "src/main.rs:1:fn main() {}\n");
    let none = bench.call("grep", json!({"pattern": "zebra"})).await;
    assert_eq!(ok(&none), "[no match in 3 files]");
    assert!(error(&bench.call("list", json!({"path": "nothing"})).await).contains("does not exist"));
}

#[tokio::test]
async fn the_workspace_takes_on_the_label_of_what_is_written_to_it() {
    let mut bench = Bench::new().await;
    bench.context.label = Label::UNKNOWN;
    ok(&bench.call("write", json!({"path": "a", "content": "x"})).await);
    assert_eq!(bench.store.workspace_label(&workspace_name()).expect("it can be read"), Label::UNKNOWN);
    bench.context.label = Label::CLEAN;
    let read = bench.call("read", json!({"path": "a"})).await;
    assert_eq!(read.label, Label::UNKNOWN, "what comes out of it is as foreign as what went in");
}

#[tokio::test]
async fn looking_leaves_the_label_of_the_workspace_alone() {
    let mut bench = Bench::new().await;
    bench.write("a", "x");
    bench.context.label = Label::UNKNOWN;
    ok(&bench.call("read", json!({"path": "a"})).await);
    assert_eq!(bench.store.workspace_label(&workspace_name()).expect("it can be read"), Label::OWNER);
}
