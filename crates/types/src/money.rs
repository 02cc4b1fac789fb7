//! Tokens and what they cost.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An amount of money in millionths of a US dollar.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct MicroUsd(pub u64);

impl MicroUsd {
    /// An amount given in dollars, rounded up to the next millionth; negative and not-a-number count as zero.
    pub fn from_dollars(dollars: f64) -> Self {
        // A cast from f64 saturates, so this cannot overflow; it maps NaN and negatives to 0.
        Self((dollars * 1e6).ceil() as u64)
    }

    /// The sum, saturating.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }

    /// The difference, not below zero.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }
}

impl fmt::Display for MicroUsd {
    /// Dollars with four decimals: `$0.0123`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rounded = self.0.saturating_add(50) / 100;
        write!(f, "${}.{:04}", rounded / 10_000, rounded % 10_000)
    }
}

/// Tokens that a provider counted, in disjoint classes except for `reasoning`, which is a part of `output`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Input tokens that neither came from nor went into a cache.
    pub input: u64,
    /// Input tokens read from the provider's cache.
    pub cache_read: u64,
    /// Input tokens written to the provider's cache.
    pub cache_write: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// The part of `output` that was reasoning.
    pub reasoning: u64,
}

impl Usage {
    /// All input tokens: the size of the context.
    pub fn context(&self) -> u64 {
        self.input.saturating_add(self.cache_read).saturating_add(self.cache_write)
    }

    /// The sum of both, class by class.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            input: self.input.saturating_add(other.input),
            cache_read: self.cache_read.saturating_add(other.cache_read),
            cache_write: self.cache_write.saturating_add(other.cache_write),
            output: self.output.saturating_add(other.output),
            reasoning: self.reasoning.saturating_add(other.reasoning),
        }
    }
}

/// What a model costs, in US dollars per million tokens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// Uncached input.
    pub input: f64,
    /// Output, reasoning included.
    pub output: f64,
    /// Input read from the cache; the price of `input` when absent.
    #[serde(default)]
    pub cache_read: Option<f64>,
    /// Input written to the cache; the price of `input` when absent.
    #[serde(default)]
    pub cache_write: Option<f64>,
}

impl Prices {
    /// What `usage` costs, rounded up.
    pub fn cost(&self, usage: &Usage) -> MicroUsd {
        // Dollars per million tokens are millionths of a dollar per token.
        let micro = usage.input as f64 * self.input
            + usage.output as f64 * self.output
            + usage.cache_read as f64 * self.cache_read.unwrap_or(self.input)
            + usage.cache_write as f64 * self.cache_write.unwrap_or(self.input);
        MicroUsd(micro.ceil() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cost_counts_each_class_once() {
        let prices = Prices { input: 3.0, output: 15.0, cache_read: Some(0.3), cache_write: Some(3.75) };
        let usage = Usage { input: 100, cache_read: 1000, cache_write: 200, output: 10, reasoning: 4 };
        assert_eq!(prices.cost(&usage), MicroUsd(300 + 300 + 750 + 150));
    }

    #[test]
    fn money_is_shown_in_dollars() {
        assert_eq!(MicroUsd(12_345).to_string(), "$0.0123");
        assert_eq!(MicroUsd(12_350_050).to_string(), "$12.3501");
        assert_eq!(MicroUsd::from_dollars(5.0), MicroUsd(5_000_000));
        assert_eq!(MicroUsd::from_dollars(f64::NAN), MicroUsd(0));
    }
}
