//! Who may speak to the agent. Everybody else gets silence: no answer, no model call, no sign that anybody is there.

use types::Invariant;

/// Who sent something and how, as a channel's authenticated transport tells it. Display names are no identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sender {
    /// The messenger's numeric id of the account, as decimal text.
    pub user: String,
    /// True in a chat with that account alone; false in groups and channels.
    pub chat_is_private: bool,
    /// Sent by, or by way of, another program.
    pub is_bot: bool,
    /// Somebody else's words, passed on.
    pub is_forward: bool,
    /// A change to an earlier message.
    pub is_edit: bool,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The owner speaks: may ask, approve and stop.
    Owner,
    /// Somebody whom the owner allowed: may ask, but not approve.
    Allowed,
    /// Nothing happens.
    Silence,
}

/// Judges a sender by the owner's list. The first entry is the owner; ids are compared as a whole.
pub fn admit(sender: &Sender, allow: &[String]) -> Admission {
    if Invariant::SilenceForStrangers.is_broken() {
        return if allow.first() == Some(&sender.user) { Admission::Owner } else { Admission::Allowed };
    }
    if !sender.chat_is_private || sender.is_bot || sender.is_forward || sender.is_edit {
        return Admission::Silence;
    }
    match allow.iter().position(|user| !user.is_empty() && *user == sender.user) {
        Some(0) => Admission::Owner,
        Some(_) => Admission::Allowed,
        None => Admission::Silence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(user: &str, change: fn(&mut Sender), expected: Admission) {
        let mut sender =
            Sender { user: user.to_owned(), chat_is_private: true, is_bot: false, is_forward: false, is_edit: false };
        change(&mut sender);
        assert_eq!(admit(&sender, &["42".to_owned(), "7".to_owned(), String::new()]), expected, "{sender:?}");
    }

    #[test]
    fn only_those_on_the_list_are_heard_and_only_in_private() {
        check("42", |_| {}, Admission::Owner);
        check("7", |_| {}, Admission::Allowed);
        for stranger in ["4", "421", "042", "-42", " 42", ""] {
            check(stranger, |_| {}, Admission::Silence);
        }
        check("42", |sender| sender.chat_is_private = false, Admission::Silence);
        check("42", |sender| sender.is_bot = true, Admission::Silence);
        check("42", |sender| sender.is_forward = true, Admission::Silence);
        check("42", |sender| sender.is_edit = true, Admission::Silence);
    }

    #[test]
    fn an_empty_list_admits_nobody() {
        let sender =
            Sender { user: "42".to_owned(), chat_is_private: true, is_bot: false, is_forward: false, is_edit: false };
        assert_eq!(admit(&sender, &[]), Admission::Silence);
    }
}
