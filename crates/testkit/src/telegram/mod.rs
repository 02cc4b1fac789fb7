//! A double of the Telegram Bot API over real HTTP, with its real limits, errors and long polling.
