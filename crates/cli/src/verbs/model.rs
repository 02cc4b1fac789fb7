//! `factotum model`: which models there are, which one answers, whether it does, and what it costs.

use daemon::{
    api::views::{ModelCost, ModelView, ModelsView},
    offline,
};
use types::{Command, Failure, MicroUsd, Prices};

use super::workspace::reload;
use crate::{
    args::Context,
    error::{Stop, user},
    runtime, show,
};

/// Lists, chooses and tries models, and says what they have cost.
#[derive(Debug, clap::Args)]
pub struct Model {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// List the models of the configured providers, with what they hold and cost
    List {
        /// Ask the vendors for all that they have
        #[arg(long)]
        all: bool,
        /// Of this provider only
        #[arg(long, value_name = "NAME")]
        provider: Option<String>,
    },
    /// Let a model answer from now on; without a session, it is written to config.toml
    Use {
        /// Which, as `provider/model`; `default` returns a session to the configured one
        model: String,
        /// In this session only: its number or key
        #[arg(long, value_name = "SESSION")]
        session: Option<String>,
    },
    /// Make a small real call, and explain what is wrong if it fails
    Test {
        /// Which, as `provider/model` [default: the one that answers]
        model: Option<String>,
    },
    /// Say what this month has cost, by model
    Cost,
}

impl Model {
    /// Does what was asked.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        match self.what {
            What::Use { model, session: None } => choose(context, &model),
            What::Use { model, session } => {
                let model = (model != "default").then_some(model);
                ask(context, Command::UseModel { session, model })
            }
            What::Test { model } => ask(context, Command::TestModel { model }),
            What::List { all, provider } => runtime::ask(async {
                let client = context.client().await?;
                context.output.fact(&client.models(all, provider.as_deref()).await?, listed)
            }),
            What::Cost => runtime::ask(async {
                let client = context.client().await?;
                context.output.fact(&client.model_costs().await?, |costs| costed(costs))
            }),
        }
    }
}

fn ask(context: &Context, command: Command) -> Result<(), Stop> {
    runtime::ask(async { super::tell(context.output, &context.client().await?.command(&command).await?) })
}

/// Writes the model to config.toml, which is checked as a whole first.
fn choose(context: &Context, model: &str) -> Result<(), Stop> {
    let value = text(model)?;
    let notes = offline::config_set(&context.home, &[("agent.model".to_owned(), value)], Vec::new())?;
    context.output.fact(&model, |model| {
        let notes: Vec<String> = notes.iter().map(|note| format!("\nnote: {note}")).collect();
        format!("{} answers from now on{}", daemon::terminal::neutral(model), notes.concat())
    })?;
    reload(context)
}

/// A name as a TOML string. Without control characters, JSON's form is TOML's as well.
fn text(model: &str) -> Result<String, Failure> {
    if !model.contains('/') || model.chars().any(char::is_control) {
        return Err(user("a model is named as provider/model", "`factotum model list` names those that are known"));
    }
    Ok(serde_json::Value::from(model).to_string())
}

fn listed(view: &ModelsView) -> String {
    let row = |model: &ModelView| {
        let can = [(model.images, "pictures"), (model.documents, "documents"), (model.reasons, "reasoning")];
        let can: Vec<&str> = can.iter().filter(|(can, _)| *can == Some(true)).map(|(_, what)| *what).collect();
        [
            if model.current { "*".to_owned() } else { String::new() },
            model.name.clone(),
            model.context.map_or_else(|| "?".to_owned(), thousands),
            model.output.map_or_else(|| "?".to_owned(), |output| thousands(u64::from(output))),
            model.prices.as_ref().map_or_else(|| "?".to_owned(), dollars),
            model.priced.clone().unwrap_or_else(|| "-".to_owned()),
            can.join(", "),
        ]
    };
    let rows: Vec<[String; 7]> = view.models.iter().map(row).collect();
    let mut text = if rows.is_empty() {
        "no provider is configured; `factotum setup` chooses one".to_owned()
    } else {
        show::table(["", "MODEL", "CONTEXT", "OUTPUT", "USD IN/OUT PER MILLION", "PRICED", "BESIDE TEXT"], &rows)
    };
    for problem in &view.problems {
        text.push_str(&format!("\n{}", daemon::terminal::neutral(problem)));
    }
    text
}

/// A number of tokens: `200k`, `1M`; the number itself where it is neither.
fn thousands(tokens: u64) -> String {
    match tokens {
        1_000_000.. => format!("{:.1}M", tokens as f64 / 1e6).replace(".0M", "M"),
        1_000.. => format!("{}k", tokens / 1_000),
        _ => tokens.to_string(),
    }
}

fn dollars(prices: &Prices) -> String {
    let long = prices.above.map(|long| format!(" ({}/{} above {})", long.input, long.output, thousands(long.tokens)));
    format!("{}/{}{}", prices.input, prices.output, long.unwrap_or_default())
}

fn costed(costs: &[ModelCost]) -> String {
    if costs.is_empty() {
        return "nothing was spent this month".to_owned();
    }
    let share = |part: u64, whole: u64| part.saturating_mul(100).checked_div(whole).unwrap_or(0);
    let row = |cost: &ModelCost| {
        [
            cost.model.clone(),
            MicroUsd(cost.cost_micro_usd).to_string(),
            cost.calls.to_string(),
            thousands(cost.input_tokens),
            format!("{} %", share(cost.cached_tokens, cost.input_tokens)),
            thousands(cost.output_tokens),
        ]
    };
    let rows: Vec<[String; 6]> = costs.iter().map(row).collect();
    let sum = costs.iter().fold(MicroUsd(0), |sum, cost| sum.plus(MicroUsd(cost.cost_micro_usd)));
    format!("{}\nall: {sum}", show::table(["MODEL", "COST", "CALLS", "INPUT", "FROM CACHE", "OUTPUT"], &rows))
}

#[cfg(test)]
mod tests {
    use types::LongPrices;

    use super::*;

    #[test]
    fn numbers_are_short() {
        for (tokens, shown) in
            [(999, "999"), (8_192, "8k"), (200_000, "200k"), (1_000_000, "1M"), (1_048_576, "1M"), (2_500_000, "2.5M")]
        {
            assert_eq!(thousands(tokens), shown);
        }
        let long = LongPrices {
            tokens: 100_000,
            input: 0.5,
            output: 2.5,
            cache_read: None,
            cache_write: None,
            cache_write_1h: None,
        };
        assert_eq!(dollars(&Prices::new(3.0, 15.0)), "3/15");
        assert_eq!(dollars(&Prices { above: Some(long), ..Prices::new(0.1, 0.5) }), "0.1/0.5 (0.5/2.5 above 100k)");
    }

    #[test]
    fn the_model_that_answers_is_marked_and_what_is_unknown_is_no_number() {
        let model = |name: &str, prices: Option<Prices>| ModelView {
            name: name.to_owned(),
            current: prices.is_some(),
            context: prices.map(|_| 200_000),
            output: None,
            images: Some(true),
            documents: None,
            reasons: Some(false),
            prices,
            priced: prices.map(|_| "2026-07-02".to_owned()),
        };
        let models = vec![model("lab/a", Some(Prices::new(3.0, 15.0))), model("lab/b", None)];
        let text = listed(&ModelsView { models, problems: vec!["lab: no".to_owned()] });
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "   MODEL  CONTEXT  OUTPUT  USD IN/OUT PER MILLION  PRICED      BESIDE TEXT",
                "*  lab/a  200k     ?       3/15                    2026-07-02  pictures",
                "   lab/b  ?        ?       ?                       -           pictures",
                "lab: no",
            ]
        );
    }

    #[test]
    fn a_model_is_named_with_its_provider() {
        assert_eq!(text("lab/m\"x").ok().as_deref(), Some("\"lab/m\\\"x\""));
        assert!(text("m").is_err() && text("lab/m\n").is_err());
    }

    #[test]
    fn what_it_cost_is_added_up() {
        let cost = |model: &str, cost_micro_usd: u64| ModelCost {
            model: model.to_owned(),
            calls: 2,
            cost_micro_usd,
            input_tokens: 1_000,
            cached_tokens: 950,
            output_tokens: 20,
        };
        let text = costed(&[cost("lab/a", 1_500_000), cost("lab/b", 500_000)]);
        assert!(text.contains("$1.5000") && text.contains("95 %") && text.ends_with("all: $2.0000"), "{text}");
        assert_eq!(costed(&[]), "nothing was spent this month");
    }
}
