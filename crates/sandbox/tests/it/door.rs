//! The door: what commands are told of the proxy, and that their programs go there.

use std::{
    collections::BTreeMap,
    fs,
    os::fd::OwnedFd,
    sync::{Arc, Mutex},
    time::Duration,
};

use sandbox::{Command, Door, ExitStatus, Pool, ProxyTrust, Sandbox, SandboxConfig, SandboxError, Workspace};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;
use types::SessionId;

use crate::{
    inside,
    support::{Outcome, grant, name, use_own_program},
};

inside! {
    as_root {
        commands_believe_the_proxy_and_nobody_else
        programs_go_to_the_proxy
    }
    as_somebody {
        commands_believe_the_proxy_and_nobody_else
        programs_go_to_the_proxy
        a_door_that_cannot_be_made_refuses_the_sandbox
        the_host_s_roots_come_along_only_where_they_are_wanted
    }
}

const CERTIFICATE: &str = include_str!("door.pem");

/// A proxy that refuses everything and remembers the first line of every request.
#[derive(Clone, Default)]
struct Double {
    lines: Arc<Mutex<Vec<String>>>,
    stopped: Arc<Mutex<bool>>,
}

impl Double {
    async fn serve(self, socket: OwnedFd, ending: CancellationToken) {
        let listener = std::net::TcpListener::from(socket);
        listener.set_nonblocking(true).expect("a socket");
        let listener = TcpListener::from_std(listener).expect("a listening socket");
        let mut all = JoinSet::new();
        loop {
            tokio::select! {
                () = ending.cancelled() => break,
                Ok((stream, _)) = listener.accept() => {
                    all.spawn(self.clone().refuse(stream));
                }
            }
        }
        *self.stopped.lock().expect("not poisoned") = true;
    }

    async fn refuse(self, mut stream: TcpStream) {
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut piece = [0; 1024];
            match stream.read(&mut piece).await {
                Ok(1..) => head.extend(piece.iter().take_while(|byte| **byte != 0)),
                Ok(0) | Err(_) => return,
            }
        }
        let line = String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned();
        self.lines.lock().expect("not poisoned").push(line);
        let answer = "HTTP/1.1 403 Forbidden\r\ncontent-length: 8\r\nconnection: close\r\n\r\nrefused\n";
        _ = stream.write_all(answer.as_bytes()).await;
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.lines.lock().expect("not poisoned"))
    }
}

struct Place {
    pool: Pool,
    sandbox: Arc<Sandbox>,
    _outer: tempfile::TempDir,
}

impl Place {
    async fn new(double: &Double, system_roots: bool) -> Result<Self, Box<dyn std::error::Error>> {
        use_own_program();
        let outer = tempfile::tempdir()?;
        let [path, home] = ["workspace", "home"].map(|name| outer.path().join(name));
        fs::create_dir(&path)?;
        fs::create_dir(&home)?;
        let env = BTreeMap::from([("HTTPS_PROXY".to_owned(), "http://198.51.100.1:1".to_owned())]);
        let pool = Pool::new(SandboxConfig { env, ..SandboxConfig::default() }, &home);
        let double = double.clone();
        pool.use_doors(Arc::new(move |_, _, _| {
            let double = double.clone();
            Ok(Door {
                trust: ProxyTrust { ca_pem: CERTIFICATE.to_owned(), system_roots },
                env: BTreeMap::from([
                    ("GITHUB_TOKEN".to_owned(), "placeholder".to_owned()),
                    ("HTTPS_PROXY".to_owned(), "http://127.0.0.1:3128".to_owned()),
                ]),
                serve: Box::new(move |socket, ending| Box::pin(double.serve(socket, ending))),
            })
        }));
        let sandbox = pool.get(SessionId(1), &Workspace::open(name()?, &path)?).await?;
        Ok(Self { pool, sandbox, _outer: outer })
    }

    async fn sh(&self, script: &str) -> Result<String, Box<dyn std::error::Error>> {
        let (sender, mut chunks) = mpsc::channel(16);
        let collect = async {
            let mut all = Vec::new();
            while let Some(chunk) = chunks.recv().await {
                all.extend(chunk);
            }
            String::from_utf8_lossy(&all).into_owned()
        };
        let (grant, never) = (grant()?, CancellationToken::new());
        let command = Command::new(script, Duration::from_secs(60));
        let (exit, text) = tokio::join!(self.sandbox.exec(&grant, command, sender, &never), collect);
        if exit?.status == ExitStatus::Code(0) { Ok(text) } else { Err(text.into()) }
    }
}

async fn commands_believe_the_proxy_and_nobody_else() -> Outcome {
    let double = Double::default();
    let it = Place::new(&double, false).await?;
    for bundle in ["/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem", "/etc/pki/tls/certs/ca-bundle.crt"] {
        assert_eq!(it.sh(&format!("cat {bundle}")).await?, CERTIFICATE, "{bundle}");
    }
    let files =
        it.sh("grep -rl CERTIFICATE /etc/ssl /etc/pki /etc/ca-certificates /etc/java* 2>/dev/null; true").await?;
    assert_eq!(files, "/etc/ssl/certs/ca-certificates.crt\n");
    // A placeholder wins over the owner's own variable, and that over ours.
    assert_eq!(
        it.sh("echo $GITHUB_TOKEN $HTTPS_PROXY $no_proxy").await?,
        "placeholder http://127.0.0.1:3128 localhost,127.0.0.1,::1\n"
    );
    assert_eq!(
        it.sh("echo ${SSL_CERT_DIR-unset}; echo x 2>/dev/null >> /etc/ssl/cert.pem || echo closed").await?,
        "unset\nclosed\n"
    );
    assert!(it.sandbox.proxy_listener().is_none(), "the socket has two owners");
    it.pool.stop_all().await;
    assert!(*double.stopped.lock().expect("not poisoned"), "the door outlived its sandbox");
    Ok(())
}

async fn programs_go_to_the_proxy() -> Outcome {
    let double = Double::default();
    let it = Place::new(&double, false).await?;
    let node = |code: &str| format!("node -e '{code}.catch(error => console.log(String(error.cause || error)))'");
    let cases = [
        ("curl", "curl -s http://example.test/x || true".to_owned(), "GET http://example.test/x HTTP/1.1"),
        ("curl", "curl -s https://example.test/x || true".to_owned(), "CONNECT example.test:443 HTTP/1.1"),
        ("git", "env -i git ls-remote https://example.test/x.git || true".to_owned(), "CONNECT example.test:443 HTTP/1.1"),
        ("python3", "/usr/bin/python3 -c 'import urllib.request as u; u.urlopen(\"https://example.test/\")' || true".to_owned(), "CONNECT example.test:443 HTTP/1."),
        ("node", node("fetch(\"https://example.test/\")"), "CONNECT example.test:443 HTTP/1.1"),
        ("node", node("fetch(\"http://example.test/x?y=1\").then(r => r.text())"), "GET http://example.test/x?y=1 HTTP/1.1"),
        ("node", "node -e 'require(\"https\").get(\"https://example.test:8443/\").on(\"error\", () => {})'".to_owned(), "CONNECT example.test:8443 HTTP/1.1"),
        ("node", "node --input-type=module -e 'import http from \"http\"; http.get(\"http://example.test/z\", r => r.resume())'".to_owned(), "GET http://example.test/z HTTP/1.1"),
    ];
    for (program, script, line) in cases {
        if it.sh(&format!("command -v {program}")).await.is_err() {
            eprintln!("skipped: there is no {program}");
            continue;
        }
        let said = it.sh(&script).await?;
        let lines = double.take();
        assert!(lines.iter().any(|seen| seen.starts_with(line)), "{script}: {lines:?}; {said}");
    }
    let own = "node -e 'const s = require(\"http\").createServer((q, r) => r.end(\"mine\")).listen(0, async () => { \
               console.log(await (await fetch(\"http://127.0.0.1:\" + s.address().port)).text()); \
               require(\"http\").get({port: s.address().port}, r => { r.pipe(process.stdout); s.close(); s.closeAllConnections && r.on(\"end\", () => s.closeAllConnections()) }) })'";
    if it.sh("command -v node").await.is_ok() {
        assert_eq!(it.sh(own).await?, "mine\nmine");
        assert_eq!(double.take(), Vec::<String>::new());
    }
    it.pool.stop_all().await;
    Ok(())
}

async fn a_door_that_cannot_be_made_refuses_the_sandbox() -> Outcome {
    use_own_program();
    let outer = tempfile::tempdir()?;
    let pool = Pool::new(SandboxConfig::default(), outer.path());
    pool.use_doors(Arc::new(|_, _, _| Err("the vault cannot be read".to_owned())));
    let path = tempfile::tempdir()?;
    let refused = pool.get(SessionId(1), &Workspace::open(name()?, path.path())?).await;
    assert!(matches!(&refused, Err(SandboxError::Build { why, .. }) if why.contains("vault")), "{refused:?}");
    pool.stop_all().await;
    Ok(())
}

async fn the_host_s_roots_come_along_only_where_they_are_wanted() -> Outcome {
    let it = Place::new(&Double::default(), true).await?;
    let count = it.sh("grep -c BEGIN /etc/ssl/certs/ca-certificates.crt").await?;
    let host = fs::read_to_string("/etc/ssl/certs/ca-certificates.crt").unwrap_or_default().matches("BEGIN").count();
    assert_eq!(count.trim(), (host + 1).to_string());
    it.pool.stop_all().await;
    Ok(())
}
