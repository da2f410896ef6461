//! Which hits are meant.

use clap::{Args, builder::PossibleValuesParser};

use crate::{
    config::units,
    operator::ago,
    store::{clock, story::HitFilter},
    tracking::{conversion::Outcome, timestamp::Timestamp},
};

#[derive(Debug, Default, Args)]
pub(super) struct Selection {
    /// Only those since this time (UTC): `2026-11-01`, `2026-11-01T12:00:00Z`, or so long ago: `30d`, `6h`
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Only those before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// Only those of this site
    #[arg(long)]
    site: Option<String>,
    /// Only those for this network
    #[arg(long)]
    network: Option<String>,
    /// Only those of this conversion
    #[arg(long)]
    conversion: Option<String>,
    /// Only those with this outcome
    #[arg(long, value_parser = PossibleValuesParser::new(Outcome::ALL.map(Outcome::as_str)))]
    outcome: Option<String>,
    /// At most so many, the newest
    #[arg(long)]
    limit: Option<usize>,
}

impl Selection {
    pub(super) fn filter(&self) -> HitFilter {
        HitFilter {
            site: self.site.clone(),
            network: self.network.clone(),
            conversion: self.conversion.clone(),
            outcome: self.outcome.clone(),
            since: self.since,
            until: self.until,
            limit: self.limit,
        }
    }
}

fn time(text: &str) -> Result<Timestamp, String> {
    let time = Timestamp::parse(text).or_else(|| units::duration(text).ok().map(|age| ago(clock::now(), age)));
    time.ok_or_else(|| "write 2026-11-01, 2026-11-01T12:00:00Z (UTC), or how long ago: 30d, 6h".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_a_day_a_moment_or_an_age() {
        assert_eq!(time("2026-11-01").unwrap().rfc3339(), "2026-11-01T00:00:00.000Z");
        let day = std::time::Duration::from_hours(24);
        let age = clock::now().since(time("2d").unwrap());
        assert!(age >= 2 * day && age < 3 * day, "{age:?}");
        for wrong in ["", "2", "yesterday", "2026-02-30", "-2d"] {
            assert!(time(wrong).is_err(), "{wrong}");
        }
    }
}
