//! `throughline conversions list` and `export`: a line for each hit and network.
//!
//! Both show the same; a list is for people and short unless told otherwise, an export is whole and never
//! in memory at once.

use std::{
    collections::BTreeSet,
    io::{self, BufWriter, ErrorKind, Write},
    ops::ControlFlow,
};

use clap::{Args, ValueEnum};

use super::{
    Refusal,
    selection::Selection,
    sheet::{self, COLUMNS},
};
use crate::{
    cli::{
        Exit,
        listing::{Column, LISTED, line, plain, say_if_more},
    },
    guide,
    store::{
        office::Office,
        story::{HitFilter, HitRecord},
    },
    tracking::conversion::Outcome,
};

/// Options of `conversions list`.
#[derive(Debug, Args)]
pub(super) struct List {
    #[command(flatten)]
    selection: Selection,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
}

/// Options of `conversions export`.
#[derive(Debug, Args)]
pub(super) struct Export {
    #[command(flatten)]
    selection: Selection,
    /// How it is written
    #[arg(long, value_enum, default_value_t = Format::Csv)]
    format: Format,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Format {
    /// For people
    Table,
    /// RFC 4180, for spreadsheets
    Csv,
    /// One object a line
    Json,
}

pub(super) fn list(office: &Office, list: &List) -> Result<Exit, Refusal> {
    let filter = list.selection.filter();
    let limit = filter.limit.unwrap_or(LISTED);
    let written = write(office, &HitFilter { limit: Some(limit), ..filter.clone() }, list.format)?;
    if list.format == Format::Table {
        say_if_more(filter.limit, written);
    }
    Ok(Exit::Success)
}

pub(super) fn export(office: &Office, export: &Export) -> Result<Exit, Refusal> {
    write(office, &export.selection.filter(), export.format).map(|_| Exit::Success)
}

/// Writes all that match and says how many they were.
fn write(office: &Office, filter: &HitFilter, format: Format) -> Result<usize, Refusal> {
    let out = BufWriter::new(io::stdout().lock());
    let mut written = 0;
    let mut failure = None;
    let mut counted = |ended: io::Result<()>| match ended {
        Ok(()) => {
            written += 1;
            ControlFlow::Continue(())
        }
        Err(error) => {
            failure = Some(error);
            ControlFlow::Break(())
        }
    };
    let read = match format {
        Format::Table => {
            let mut table = Table::new(out);
            let read = office.each_hit(filter, &mut |hit| counted(table.line(&hit)));
            read.map(|()| table.end())
        }
        Format::Csv => {
            let mut sheet = csv::WriterBuilder::new().terminator(csv::Terminator::CRLF).from_writer(out);
            let head = sheet.write_record(COLUMNS).map_err(io::Error::from);
            let read = office
                .each_hit(filter, &mut |hit| counted(sheet.write_record(sheet::row(&hit)).map_err(io::Error::from)));
            read.map(|()| head.and_then(|()| sheet.flush()))
        }
        Format::Json => {
            let mut out = out;
            let read = office.each_hit(filter, &mut |hit| counted(writeln!(out, "{}", sheet::object(&hit))));
            read.map(|()| out.flush())
        }
    };
    let ended = read.map_err(|error| error.to_string())?;
    match failure.map_or(ended, Err) {
        // A reader who has seen enough closes the pipe; nothing is left to be said to them.
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(format!("it can't be written: {error}")),
        Ok(()) | Err(_) => Ok(written),
    }
}

/// Lines for people, and below them what the outcomes mean.
struct Table<W: Write> {
    out: W,
    outcomes: BTreeSet<String>,
    is_empty: bool,
}

impl<W: Write> Table<W> {
    const fn new(out: W) -> Self {
        Self { out, outcomes: BTreeSet::new(), is_empty: true }
    }

    fn line(&mut self, hit: &HitRecord) -> io::Result<()> {
        if self.is_empty {
            self.is_empty = false;
            self.cells(["TIME", "SITE", "CONVERSION", "NETWORK", "ORDER", "VALUE", "OUTCOME", "VERDICT"], None)?;
        }
        if hit.outcome != Outcome::Queued.as_str() {
            self.outcomes.insert(hit.outcome.clone());
        }
        let value = match (&hit.value, &hit.currency) {
            (Some(value), Some(currency)) => format!("{value} {currency}"),
            (value, _) => value.clone().unwrap_or_default(),
        };
        let cells = [
            &hit.time.rfc3339(),
            &hit.site,
            &hit.conversion,
            &hit.network,
            hit.order_id.as_deref().unwrap_or("-"),
            &value,
            &hit.outcome,
            hit.verdict.as_deref().unwrap_or("-"),
        ];
        self.cells(cells, hit.reason.as_deref())
    }

    fn cells(&mut self, cells: [&str; 8], reason: Option<&str>) -> io::Result<()> {
        let reason = reason.map(|reason| format!(" ({})", plain(reason))).unwrap_or_default();
        writeln!(self.out, "{}{reason}", line(COLUMNS_OF_PEOPLE, cells))
    }

    fn end(mut self) -> io::Result<()> {
        if self.is_empty {
            writeln!(self.out, "nothing here")?;
        } else if !self.outcomes.is_empty() {
            writeln!(self.out)?;
        }
        for outcome in &self.outcomes {
            if let Some(meaning) = guide::outcome(outcome) {
                writeln!(self.out, "{outcome}: {}. To do: {}", meaning.means, meaning.remedy)?;
            }
        }
        self.out.flush()
    }
}

/// Of a table, unlike those of an export, which programs read.
const COLUMNS_OF_PEOPLE: [Column; 8] = [
    Column::Text(24),
    Column::Text(12),
    Column::Text(12),
    Column::Text(12),
    Column::Text(16),
    Column::Number(12),
    Column::Text(12),
    Column::Text(0),
];
