//! The IAB's Transparency and Consent Framework, version 2: TC strings in cookies.
//!
//! The format is that of "Transparency and Consent String with Global Vendor & CMP List Formats" (IAB
//! Tech Lab, TCF v2.3). Only what decides is read. A list of vendors may be written as ranges, of which
//! a few bytes name all 65,535 vendors; they are walked, never expanded, so that no string costs more
//! than its length.

use http::HeaderMap;

use super::{Reading, jar};

mod bits;
#[cfg(test)]
mod tests;

use bits::Bits;

/// Where a TC string is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tcf {
    /// Names of cookies; all that are there must agree.
    pub cookies: Vec<String>,
}

impl Default for Tcf {
    fn default() -> Self {
        Self { cookies: ["euconsent-v2", "eupubconsent-v2"].map(ToOwned::to_owned).to_vec() }
    }
}

impl Tcf {
    /// Whether these purposes, and this vendor, are agreed to.
    pub(super) fn read(&self, headers: &HeaderMap, purposes: &[u8], vendor: Option<u16>) -> Reading {
        let judge = |text: &str| Reading::of(grants(text, purposes, vendor).unwrap_or(false));
        self.cookies.iter().map(|name| jar::read(headers, name, judge)).max().into()
    }

    /// The string itself, if it is well-formed and no cookie holds another.
    pub(super) fn string(&self, headers: &HeaderMap) -> Option<String> {
        let mut found = self.cookies.iter().flat_map(|name| jar::values(headers, name));
        let first = found.next()??;
        let is_alone = found.all(|other| other.as_deref() == Some(&*first));
        (is_alone && grants(&first, &[], None).is_some()).then(|| first.into_owned())
    }
}

/// Whether a TC string has all of these; `None` where it is none that counts.
fn grants(text: &str, purposes: &[u8], vendor: Option<u16>) -> Option<bool> {
    if text.len() > jar::MAX_VALUE {
        return None;
    }
    let mut segments = text.split('.');
    let consents = Core::read(Bits::new(segments.next()?)?, purposes, vendor)?;
    let mut is_disclosed = true;
    for segment in segments {
        let mut bits = Bits::new(segment)?;
        // Vendors that the visitor was not told of cannot have consent (TCF v2.3).
        if bits.take(3)? == DISCLOSED_VENDORS {
            is_disclosed &= is_listed(&mut bits, vendor)?;
        }
    }
    let is_asked = |purpose: &u8| consents.has_purpose(*purpose);
    let is_vendor_in = vendor.is_none() || (consents.vendor && is_disclosed && !consents.restricted);
    Some(purposes.iter().all(is_asked) && is_vendor_in)
}

/// What the first segment says.
struct Core {
    /// One bit each, the first purpose the highest of 24.
    purposes: u32,
    /// Whether the vendor has consent.
    vendor: bool,
    /// Whether the publisher forbids what the vendor wants consent for.
    restricted: bool,
}

impl Core {
    /// Reads all fields to the last, so that a string which was cut counts for nothing.
    fn read(mut bits: Bits<'_>, purposes: &[u8], vendor: Option<u16>) -> Option<Self> {
        if bits.take(6)? != VERSION {
            return None;
        }
        bits.skip(132)?;
        // A string for all sites of the web at once; there is no such consent any more.
        if bits.take(1)? == 0 {
            return None;
        }
        bits.skip(13)?;
        let consents = bits.take(24)?;
        // Legitimate interests, the treatment of purpose 1, the publisher's country.
        bits.skip(24 + 1 + 12)?;
        let has_consent = is_listed(&mut bits, vendor)?;
        is_listed(&mut bits, None)?;
        let mut restricted = false;
        for _ in 0..bits.take(12)? {
            let purpose = bits.take(6)?;
            let kind = bits.take(2)?;
            let concerns_vendor = is_in_ranges(&mut bits, vendor)?;
            let is_wanted = purposes.iter().any(|wanted| u32::from(*wanted) == purpose);
            restricted |= concerns_vendor && is_wanted && kind != REQUIRES_CONSENT;
        }
        Some(Self { purposes: consents, vendor: has_consent, restricted })
    }

    const fn has_purpose(&self, purpose: u8) -> bool {
        matches!(purpose, 1..=24) && self.purposes >> (24 - purpose) & 1 == 1
    }
}

/// Reads a list of vendors: a bit for each, or ranges.
fn is_listed(bits: &mut Bits<'_>, vendor: Option<u16>) -> Option<bool> {
    let last = bits.take(16)?;
    if bits.take(1)? == 1 {
        return is_in_ranges(bits, vendor);
    }
    let before = vendor.map(u32::from).filter(|vendor| (1..=last).contains(vendor)).map(|vendor| vendor - 1);
    let Some(before) = before else {
        bits.skip(last)?;
        return Some(false);
    };
    bits.skip(before)?;
    let is_set = bits.take(1)? == 1;
    bits.skip(last - before - 1)?;
    Some(is_set)
}

/// Reads ranges of vendors; each takes at least 17 bits, so there are no more than the string is long.
fn is_in_ranges(bits: &mut Bits<'_>, vendor: Option<u16>) -> Option<bool> {
    let mut is_found = false;
    for _ in 0..bits.take(12)? {
        let is_range = bits.take(1)? == 1;
        let first = bits.take(16)?;
        let last = if is_range { bits.take(16)? } else { first };
        if first == 0 || last < first {
            return None;
        }
        is_found |= vendor.is_some_and(|vendor| (first..=last).contains(&u32::from(vendor)));
    }
    Some(is_found)
}

const VERSION: u32 = 2;
/// The type of a segment.
const DISCLOSED_VENDORS: u32 = 1;
/// The one kind of a publisher's restriction that leaves consent as it is.
const REQUIRES_CONSENT: u32 = 1;
