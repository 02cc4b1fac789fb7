//! End-to-end tests: the real binary, the real sandbox, real HTTP to doubles of the model vendor and of Telegram.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "tests fail by panicking, and start processes")]
#![expect(clippy::print_stderr, reason = "tests say why they are skipped")]

mod approvals;
mod audit;
mod bad_input;
mod coder_claude;
mod coder_codex;
mod coder_opencode;
mod coders;
mod crash;
mod crash_approval;
mod crash_job;
mod disasters;
mod full_disk;
mod job_killed;
mod job_land;
mod job_others;
mod job_posted;
mod job_push;
mod job_real;
mod job_recipes;
mod job_review;
mod job_tree;
mod job_walls;
mod main_job;
mod malicious_repository;
mod network;
mod night;
mod ordinary_user;
mod panes;
mod practice;
mod scraper;
mod secrets;
mod security_audit;
mod shares;
mod shells;
mod silence;
mod stopping;
mod takeover;
mod telegram;
