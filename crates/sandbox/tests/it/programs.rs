//! Real programs that must work inside. One that is not installed is skipped.

use crate::{
    inside,
    support::{Outcome, Place},
};

inside! {
    as_root {
        git_works
        loopback_and_terminals_work
    }
    as_somebody {
        git_works
        compilers_and_interpreters_work
    }
}

impl Place {
    /// Runs a script if a program is installed inside.
    async fn with_program(&self, program: &str, script: &str) -> Result<Option<String>, Box<dyn std::error::Error>> {
        if self.good(&format!("command -v {program}")).await.is_err() {
            eprintln!("skipped: there is no {program}");
            return Ok(None);
        }
        self.good(script).await.map(Some)
    }
}

async fn git_works() -> Outcome {
    let it = Place::new().await?;
    let script = "git init -q . && echo a > a && git add a && git commit -q -m first && git mv a b && git commit -q -am second \
                  && git gc -q && git log --format=%s && git status --short";
    if let Some(text) = it.with_program("git", script).await? {
        assert_eq!(text, "second\nfirst\n");
    }
    Ok(())
}

async fn compilers_and_interpreters_work() -> Outcome {
    let it = Place::new().await?;
    let c = "printf '#include <stdio.h>\\nint main(void) { puts(\"from C\"); }' > t.c && cc -o t t.c && ./t";
    if let Some(text) = it.with_program("cc", c).await? {
        assert_eq!(text, "from C\n");
    }
    let node = "node -e 'const s = require(\"http\").createServer((q, r) => r.end(\"ok\")).listen(0, () => \
                fetch(\"http://127.0.0.1:\" + s.address().port).then(r => r.text()).then(t => { console.log(t, \
                Object.keys(require(\"os\").networkInterfaces()).join()); s.close() }))'";
    if let Some(text) = it.with_program("node", node).await? {
        assert_eq!(text, "ok lo\n");
    }
    let python =
        "/usr/bin/python3 -c 'import multiprocessing as m\nwith m.Pool(2) as p: print(sum(p.map(abs, [-1, -2])))'";
    if let Some(text) = it.with_program("/usr/bin/python3", python).await? {
        assert_eq!(text, "3\n");
    }
    Ok(())
}

async fn loopback_and_terminals_work() -> Outcome {
    let it = Place::new().await?;
    let tmux = "tmux -f /dev/null new-session -d -s t 'echo from a terminal > out; sleep 0.2' && sleep 0.2 && cat out";
    if let Some(text) = it.with_program("tmux", tmux).await? {
        assert_eq!(text, "from a terminal\n");
    }
    if let Some(text) =
        it.with_program("script", "script -qec 'test -t 0 && echo a terminal' /dev/null </dev/null").await?
    {
        assert!(text.contains("a terminal"), "{text}");
    }
    assert_eq!(
        it.good("echo x | cat /dev/stdin; ls /dev/fd/ | head -1; cat < /dev/null; echo x > /dev/stderr").await?,
        "x\n0\nx\n"
    );
    Ok(())
}
