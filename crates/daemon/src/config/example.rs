//! The example that `factotum config example` prints. A test parses it, so that it stays true.

/// A commented configuration that shows every table.
pub const EXAMPLE: &str = r#"# Secrets never stand in this file: it holds their names. Store one with `factotum secret set NAME`.

[agent]
model = "lab/model-1"            # provider/model
# workspace = "billing"          # of new sessions; the first by name when absent
# context_tokens = 200000        # the most that a conversation may grow to; a smaller model gets what it holds
# max_output_tokens = 8192       # of one answer
# thinking_tokens = 4096         # the reasoning budget of one answer
# reader_bits = 64               # how much of foreign text the readers of a session may tell it; 0: no readers
# approval_timeout_s = 600       # an approval that nobody answers in this time counts as denied

[providers.lab]
api = "anthropic"                # anthropic | openai-chat
base_url = "https://api.anthropic.com"
key = "lab-key"                  # the name of a secret
# USD per million tokens. Without prices, costs are not counted.
prices = { "model-1" = { input = 3.0, output = 15.0, cache_read = 0.3, cache_write = 3.75 } }
# [providers.lab.models."model-1"]  # what you know better than the built-in table
# context_tokens = 200000
# max_output_tokens = 64000

# [providers.deepseek]           # with a vendor of the built-in table, only the key is needed
# vendor = "deepseek"            # anthropic, openai, google, deepseek, qwen, mistral, openrouter, ollama and more
# key = "deepseek-key"

[channels.telegram.home]
token = "telegram-token"         # the name of a secret
allow = [123456789]              # numeric user ids; the first is the owner. Everybody else gets silence.

[workspaces.billing]
path = "/srv/code/billing"       # the only directory that commands of this workspace may write

[workspaces.billing.egress]      # what its commands may reach; nothing without this
presets = ["rust", "github"]     # rust, node, python, debian, github, and model vendors such as anthropic
# secrets = ["github-token"]     # secrets of the vault that its requests may carry, where each is bound to
# [[workspaces.billing.egress.rules]]
# host = "api.example.com"       # or "*.example.com", or an address
# methods = ["GET", "POST"]      # GET and HEAD when absent
# paths = ["/v1/**"]
# [[workspaces.billing.egress.rules]]
# host = "192.168.1.10"          # a host of your own network
# ports = [8123]
# private = true
# plain_http = true

[coders.claude]                  # a coding agent for jobs: claude, codex, opencode, forge, or any other by its `kind`
# version = "2.1.329"            # of those that `factotum coder install` has installed; the newest when absent
# secret = "anthropic-key"       # the name of a secret, bound to the vendor's host
# auth = "api-key"               # api-key | bearer | subscription
# model = "claude-sonnet-4-5"
# [coders.gemini]
# kind = "acp"                   # any program that speaks the Agent Client Protocol
# command = ["gemini", "--acp"]
# vendor = "google"
# secret = "google-key"

[jobs]                           # long work of coding agents
# at_once = 2                    # more wait
# keep_days = 14                 # then the files of jobs that are over are removed
# coder = "factotum"             # for jobs that name none; factotum is our own loop
# author = "Factotum <factotum@localhost>"

[shells]                         # your own terminals: `factotum shell`
# at_once = 8
# idle_minutes = 480             # then one in which nothing is typed or shown is closed; never when absent

[budget]
task_usd = 5.0
day_usd = 20.0
# month_usd = 200.0
steps = 100                      # model calls of one task
# tokens = 2000000               # of one task
# wall_s = 14400                 # seconds of one task

[sandbox]
# memory_mb = 2048
# pids = 512
# read_only = ["/opt/toolchain"] # more directories that commands may read

[network]
# public_addresses = ["198.51.100.7"]  # of this machine, as seen from outside, where a router translates

[web]                            # the tool `fetch`
# hosts = ["*"]                  # every public host, or a list
# deny = ["ads.example.com"]

[api]
# listen = "127.0.0.1:7717"      # loopback only

[tools]
# exec = "ask"                   # policy | ask | deny

[snapshots]
# keep = 20                      # saved states of each workspace, for `factotum undo`
# exclude = ["target", "node_modules", ".venv", "__pycache__"]

[alarms]                         # a task that is out of the ordinary is paused until you answer
# multiple = 5.0                 # so many times the median of the last 20 tasks or hours; 0 switches that off
# task_usd = 2.5                 # or more than this, whatever was usual
# hour_usd = 10.0
# unanswered_h = 12.0            # without an answer the task is stopped
# silent_h = 168.0               # when you have not written for so long, nothing runs without you
# unattended_usd = 20.0          # nor when it has cost this since

[audit]
# rotate_mb = 64                 # a file of the log of this size is put aside, and the log goes on in another
# require_shipping = false       # no shipping, no exec
# max_lag_s = 60                 # how far shipping may be behind
# [audit.ship.disk]              # off this machine: a directory that rsync takes or that is mounted,
# kind = "directory"
# path = "/mnt/log-host/factotum"
# [audit.ship.syslog]            # a syslog server (RFC 5424, TLS),
# kind = "syslog"
# host = "logs.example.org"
# [audit.ship.web]               # or a web server that takes NDJSON
# kind = "https"
# url = "https://logs.example.org/ingest"
# secret = "log-token"           # the name of a secret
"#;
