//! `factotum totp`: the second factor.

use daemon::{client::Client, offline};
use qrcodegen::{QrCode, QrCodeEcc};
use types::{Code, Command};

use super::complete::{ask_code, complete};
use crate::{
    args::Context,
    error::{Stop, internal, user},
    input::Input,
    runtime,
};

/// Sets up a second factor: codes of an authenticator app (TOTP). With it, what persists, destroys, or widens what the
/// agent may do needs a code with your answer.
#[derive(Debug, clap::Args)]
pub struct Totp {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// Make a secret, show it for the app to scan, and check one code
    Setup,
    /// Do without it from here on
    Off {
        /// A code of the app; asked for at a terminal
        #[arg(long, value_name = "CODE")]
        code: Option<String>,
        /// The app is lost: needs no code, and that no daemon runs
        #[arg(long, conflicts_with = "code")]
        lost: bool,
    },
}

impl Totp {
    /// Sets it up or switches it off.
    pub fn run(self, context: &Context) -> Result<(), Stop> {
        match self.what {
            What::Setup => {
                if !Input::is_terminal() {
                    let hint = "run it in a terminal: it shows a secret and asks for a code";
                    return Err(user("nobody sits at this terminal", hint).into());
                }
                runtime::ask(async { set_up(context, &context.client().await?).await })
            }
            What::Off { lost: true, .. } => runtime::ask(async {
                offline::second_factor_lost(&context.home).await?;
                context.output.text("the second factor is off: approvals need no code")
            }),
            What::Off { code, lost: false } => runtime::ask(async {
                let client = context.client().await?;
                let code = match code {
                    Some(code) => Code::new(code),
                    None => ask_code()?,
                };
                let reply = client.command(&Command::RemoveTotp { code }).await?;
                super::tell(context.output, &reply)
            }),
        }
    }
}

async fn set_up(context: &Context, client: &Client) -> Result<(), Stop> {
    let no_secret = |error| internal(format!("no secret can be made: {error}"));
    let secret = daemon::totp_secret().map_err(no_secret)?;
    let uri = format!("otpauth://totp/Factotum?secret={secret}&issuer=Factotum&algorithm=SHA1&digits=6&period=30");
    let code = QrCode::encode_text(&uri, QrCodeEcc::Low).map_err(|error| internal(format!("no QR code: {error}")))?;
    context.output.note(&drawn(&code));
    context.output.note(&format!("Scan this with your authenticator app, or type its secret in:\n  {secret}\n  {uri}"));
    context.output.note("It is shown this once. Whoever has it can make your codes: clear the screen afterwards.");
    let command = Command::SetUpTotp { secret: Code::new(secret), code: ask_code()?, present: None };
    let reply = complete(context, client, command).await?;
    super::tell(context.output, &reply)
}

/// A QR code in half blocks, two rows to a line, with the quiet zone of four modules that readers need. Dark modules are
/// left empty, which is right on dark terminals; readers accept both.
fn drawn(code: &QrCode) -> String {
    const QUIET: i32 = 4;
    let end = code.size() + QUIET;
    let is_light = |x: i32, y: i32| !code.get_module(x, y);
    let mut lines = String::new();
    for y in (-QUIET..end).step_by(2) {
        for x in -QUIET..end {
            lines.push(match (is_light(x, y), is_light(x, y + 1)) {
                (true, true) => '█',
                (true, false) => '▀',
                (false, true) => '▄',
                (false, false) => ' ',
            });
        }
        lines.push('\n');
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_drawn_whole_with_its_quiet_zone() {
        let code = QrCode::encode_text("otpauth://totp/x?secret=AAAA", QrCodeEcc::Low).expect("it fits");
        let text = drawn(&code);
        let lines: Vec<&str> = text.lines().collect();
        let width = usize::try_from(code.size()).expect("it is positive") + 8;
        assert_eq!(lines.len(), width.div_ceil(2));
        assert!(lines.iter().all(|line| line.chars().count() == width));
        assert!(lines[0].chars().all(|character| character == '█'), "the quiet zone");
        // The finder pattern at the left edge of the first row of modules: seven dark ones in a row.
        assert!(lines[2].chars().skip(4).take(7).all(|character| character == ' ' || character == '▄'), "{}", lines[2]);
    }
}
