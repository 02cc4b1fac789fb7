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

/// Tokens that a provider counted, in disjoint classes except for `reasoning`, which is a part of `output`, and
/// `cache_write_1h`, which is a part of `cache_write`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Usage {
    /// Input tokens that neither came from nor went into a cache.
    pub input: u64,
    /// Input tokens read from the provider's cache.
    pub cache_read: u64,
    /// Input tokens written to the provider's cache.
    pub cache_write: u64,
    /// The part of `cache_write` that the provider keeps for an hour. Kept with a reply, not in sums.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub cache_write_1h: u64,
    /// Output tokens, reasoning included.
    pub output: u64,
    /// The part of `output` that was reasoning.
    pub reasoning: u64,
}

fn is_zero(count: &u64) -> bool {
    *count == 0
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
            cache_write_1h: self.cache_write_1h.saturating_add(other.cache_write_1h),
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
    /// Input written to the cache for an hour; the price of `cache_write` when absent.
    #[serde(default)]
    pub cache_write_1h: Option<f64>,
    /// Reasoning, where the vendor charges it apart; the price of `output` when absent.
    #[serde(default)]
    pub reasoning: Option<f64>,
    /// What every token of a request costs whose input is long, where that is another price.
    #[serde(default)]
    pub above: Option<LongPrices>,
}

/// What a model costs when a request's input is longer than so many tokens, in US dollars per million tokens. It counts for the
/// whole request, its output included.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LongPrices {
    /// The length of the input, caches included, from which on these prices count: one token more than this.
    pub tokens: u64,
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
    /// Input written to the cache for an hour; the price of `cache_write` when absent.
    #[serde(default)]
    pub cache_write_1h: Option<f64>,
}

impl Prices {
    /// The same price for all input and one for all output.
    pub const fn new(input: f64, output: f64) -> Self {
        Self { input, output, cache_read: None, cache_write: None, cache_write_1h: None, reasoning: None, above: None }
    }

    /// What `usage` of one request costs, rounded up. Every token counts once.
    pub fn cost(&self, usage: &Usage) -> MicroUsd {
        let prices = self.at(usage.context());
        let hour = usage.cache_write_1h.min(usage.cache_write);
        let reasoning = if prices.reasoning.is_some() { usage.reasoning.min(usage.output) } else { 0 };
        let written = prices.cache_write.unwrap_or(prices.input);
        // Dollars per million tokens are millionths of a dollar per token.
        let micro = usage.input as f64 * prices.input
            + (usage.output - reasoning) as f64 * prices.output
            + reasoning as f64 * prices.reasoning.unwrap_or(prices.output)
            + usage.cache_read as f64 * prices.cache_read.unwrap_or(prices.input)
            + (usage.cache_write - hour) as f64 * written
            + hour as f64 * prices.cache_write_1h.unwrap_or(written);
        MicroUsd(micro.ceil() as u64)
    }

    /// The most that a token of a request's input and one of its answer can cost, for an input of about so many tokens: nothing of
    /// it comes from the cache, and a length that is merely estimated may turn out a quarter longer.
    pub fn most(&self, tokens: u64) -> (f64, f64) {
        let prices = self.at(tokens.saturating_add(tokens / 4));
        let written = [prices.cache_write, prices.cache_write_1h].into_iter().flatten();
        (written.fold(prices.input, f64::max), prices.reasoning.map_or(prices.output, |price| price.max(prices.output)))
    }

    /// Whether every price is an amount of money: one below zero would count as nothing, and money limits would not hold.
    pub fn are_amounts(&self) -> bool {
        let Self { input, output, cache_read, cache_write, cache_write_1h, reasoning, above } = *self;
        let own = [Some(input), Some(output), cache_read, cache_write, cache_write_1h, reasoning];
        let long = above
            .map(|long| [Some(long.input), Some(long.output), long.cache_read, long.cache_write, long.cache_write_1h]);
        own.into_iter().chain(long.into_iter().flatten()).flatten().all(|price| price.is_finite() && price >= 0.0)
    }

    /// The prices of a request with so many tokens of input.
    fn at(&self, tokens: u64) -> Self {
        match self.above {
            Some(LongPrices { tokens: limit, input, output, cache_read, cache_write, cache_write_1h })
                if tokens > limit =>
            {
                Self { input, output, cache_read, cache_write, cache_write_1h, reasoning: None, above: None }
            }
            Some(_) | None => *self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PRICES: Prices = Prices { cache_read: Some(0.3), cache_write: Some(3.75), ..Prices::new(3.0, 15.0) };
    const USAGE: Usage =
        Usage { input: 100, cache_read: 1000, cache_write: 200, cache_write_1h: 0, output: 10, reasoning: 4 };

    #[test]
    fn cost_counts_each_class_once() {
        assert_eq!(PRICES.cost(&USAGE), MicroUsd(300 + 300 + 750 + 150));
        let apart = Prices { cache_write_1h: Some(6.0), reasoning: Some(20.0), ..PRICES };
        let usage = Usage { cache_write_1h: 50, ..USAGE };
        assert_eq!(apart.cost(&usage), MicroUsd(300 + 300 + 563 + 300 + 90 + 80), "150 at 3.75 is 562.5");
        assert_eq!(
            PRICES.cost(&usage),
            PRICES.cost(&USAGE),
            "without a price of its own, an hour costs what writing costs"
        );
        let absurd = Usage { cache_write_1h: 999, reasoning: 999, ..USAGE };
        assert_eq!(apart.cost(&absurd), MicroUsd(300 + 300 + 1200 + 200), "a part is never more than the whole");
    }

    #[test]
    fn a_long_input_makes_the_whole_request_dearer() {
        let long = LongPrices {
            tokens: 1300,
            input: 6.0,
            output: 22.5,
            cache_read: Some(0.6),
            cache_write: None,
            cache_write_1h: None,
        };
        let prices = Prices { above: Some(long), ..PRICES };
        assert_eq!(prices.cost(&USAGE), PRICES.cost(&USAGE), "1300 tokens are not above 1300");
        let usage = Usage { input: 101, ..USAGE };
        assert_eq!(prices.cost(&usage), MicroUsd(606 + 600 + 1200 + 225));
    }

    #[test]
    fn what_is_set_aside_is_never_less_than_the_cost() {
        let long = LongPrices {
            tokens: 1000,
            input: 6.0,
            output: 22.5,
            cache_read: None,
            cache_write: None,
            cache_write_1h: None,
        };
        let prices = Prices { above: Some(long), cache_write_1h: Some(7.0), reasoning: Some(30.0), ..PRICES };
        assert_eq!(prices.most(700), (7.0, 30.0));
        assert_eq!(prices.most(801), (6.0, 22.5), "it may turn out longer than 1000");
        assert_eq!(Prices::new(1.0, 2.0).most(u64::MAX), (1.0, 2.0));
    }

    #[test]
    fn prices_are_amounts_of_money() {
        assert!(PRICES.are_amounts() && Prices::new(0.0, 0.0).are_amounts());
        for wrong in [
            Prices { reasoning: Some(-1.0), ..PRICES },
            Prices { cache_write_1h: Some(f64::NAN), ..PRICES },
            Prices::new(f64::INFINITY, 1.0),
        ] {
            assert!(!wrong.are_amounts(), "{wrong:?}");
        }
    }

    #[test]
    fn money_is_shown_in_dollars() {
        assert_eq!(MicroUsd(12_345).to_string(), "$0.0123");
        assert_eq!(MicroUsd(12_350_050).to_string(), "$12.3501");
        assert_eq!(MicroUsd::from_dollars(5.0), MicroUsd(5_000_000));
        assert_eq!(MicroUsd::from_dollars(f64::NAN), MicroUsd(0));
    }
}
