//! Doubles of hosts of repositories: the parts of GitHub's and of Gitea's REST interfaces that are about pull requests and their
//! comments, with their ways of logging in, their statuses, their words of refusal and their limits. They know nothing of ours.
//! Start with [`ForgeDouble`].

mod gitea;
mod github;
mod state;

pub use state::{Comment, ForgeDouble, Kind, Pull, Settings};
