//! `throughline preview`: a link by which one's own browser is shown what is decided about its visits.

use std::{path::Path, time::Duration};

use clap::Args;
use url::Url;

use super::{Exit, bypass::length, complain, run, say, with_config};
use crate::{
    config::Environment,
    operator::{PreviewLink, PreviewWish, site_address},
    tracking::{preview::Conversions, visitor::Seal},
};

/// Options of `preview`.
#[derive(Debug, Args)]
pub struct Options {
    /// The site; may be left out if there is one alone
    site: Option<String>,
    /// Hold conversions: they are decided and shown, and nothing is sent
    #[arg(long)]
    hold: bool,
    /// How long, a day at most
    #[arg(long = "for", value_name = "TIME", value_parser = length, default_value = "1h")]
    length: Duration,
    /// Where visitors reach the site, as in `https://shop.example`, if not as configured
    #[arg(long, value_name = "URL", value_parser = site_address)]
    address: Option<Url>,
}

pub(super) fn execute(file: &Path, options: Options) -> Exit {
    with_config(file, Environment::Process, |config| {
        let secrets = run::secret::known(&config.server)
            .map_err(|error| format!("the site's secret is not known: {error}; `throughline run` makes one"))?;
        let seal = Seal::new(secrets.iter().map(String::as_str)).map_err(|error| error.to_string())?;
        let conversions = if options.hold { Conversions::Held } else { Conversions::Sent };
        let (site, length, address) = (options.site.as_deref(), options.length, options.address);
        let wish = PreviewWish { site, conversions, length, address };
        let PreviewLink { preview, begin, end } = PreviewLink::new(config, &seal, wish)?;
        say(&begin);
        let held = match conversions {
            Conversions::Sent => "conversions are sent as ever",
            Conversions::Held => "conversions are held: nothing is sent, and no pixels that count are shown",
        };
        complain(&format!("preview {} until {}: {held}", preview.id, preview.until.rfc3339()));
        complain("open it in a browser; each answer then says what was decided in X-Throughline-Preview");
        complain(&format!("to end it sooner: {end}"));
        Ok(Exit::Success)
    })
}
