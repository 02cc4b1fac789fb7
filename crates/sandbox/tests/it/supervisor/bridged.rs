//! Programs that are spoken to over HTTP: the real bridge through a real sandbox, recorded like lines.

use std::collections::BTreeMap;

use sandbox::{Program, Transport, What};
use serde_json::{Value, json};

use super::job::Job;
use crate::{
    inside,
    support::{Outcome, grant},
};

inside! {
    as_root {
        a_server_inside_is_spoken_to_in_records
    }
    as_somebody {
        a_server_inside_is_spoken_to_in_records
    }
}

const SERVER: &str = "
import http.server, json, time
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        for n in range(3):
            self.wfile.write(('data: {\"n\": %d}\\n\\n' % n).encode())
            self.wfile.flush()
            time.sleep(0.05)
    def do_POST(self):
        body = self.rfile.read(int(self.headers['content-length']))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps({'heard': json.loads(body)}).encode())
    def log_message(self, *all):
        pass
time.sleep(0.4)
print('it listens', flush=True)
http.server.ThreadingHTTPServer(('127.0.0.1', 4096), Handler).serve_forever()
";

async fn a_server_inside_is_spoken_to_in_records() -> Outcome {
    if !std::path::Path::new("/usr/bin/python3").exists() {
        eprintln!("skipped: there is no Python");
        return Ok(());
    }
    let job = Job::new().await?;
    let argv = ["/usr/bin/python3", "-c", SERVER].map(str::to_owned).to_vec();
    let program =
        Program { argv, env: BTreeMap::new(), transport: Transport::Http { port: 4096 }, ..Program::default() };
    job.supervised.run(&grant()?, program, Value::Null).await?;
    // Before it listens.
    job.write(&json!({ "id": "1", "method": "POST", "path": "/x", "body": { "a": 1 } }).to_string()).await?;
    job.write(&json!({ "id": "2", "method": "GET", "path": "/e", "stream": true }).to_string()).await?;
    let is_closed = |what: &What| matches!(what, What::Out { line } if line.contains("closed"));
    let records = job.until(is_closed).await?;
    let heard = |what: &What| match what {
        What::Out { line } => serde_json::from_str::<Value>(line).ok(),
        _ => None,
    };
    let of = |id: &str| -> Vec<Value> { records.iter().filter_map(heard).filter(|line| line["id"] == id).collect() };
    assert_eq!(of("1"), [json!({ "id": "1", "status": 200, "body": { "heard": { "a": 1 } } })]);
    let events: Vec<Value> = (0..3).map(|n| json!({ "id": "2", "event": { "n": n } })).collect();
    let expected = [vec![json!({ "id": "2", "status": 200 })], events].concat();
    assert_eq!(of("2").get(..4), Some(expected.as_slice()));
    // What the program prints is a remark, not something that it says.
    assert!(records.contains(&What::Err { line: "it listens".to_owned() }), "{records:?}");
    job.supervised.end().await;
    Ok(())
}
