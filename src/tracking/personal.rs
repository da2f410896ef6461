//! Personal data in the one form in which networks compare them, and addresses made less personal.
//!
//! Networks match hashes, so one wrong space makes a person unknown. E-mail addresses are trimmed and
//! put in lower case, no more: Google alone drops the dots of Gmail. Telephone numbers become E.164.
//! What a site has hashed already passes as it is. What can't be read is left out: a hash of something
//! else matches nobody, or somebody else. Whether any of this may be sent is not decided here.

mod phone;

use std::{
    fmt::{self, Write as _},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use sha2::{Digest, Sha256};

use super::amount::is_invisible;

pub use phone::phone;

/// An e-mail address or telephone number, or its hash where the site gave no more.
#[derive(Clone, PartialEq, Eq)]
pub enum Personal {
    /// In the form that is hashed.
    Clear(String),
    /// SHA-256 in lower-case hex, as the site gave it.
    Hashed(String),
}

/// A text that is a hash already, by its length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Hash {
    /// 64 hex digits, in lower case.
    Sha256(String),
    /// 32 (MD5) or 40 (SHA-1), of which no SHA-256 can be made.
    Other,
}

impl Personal {
    /// What is sent in the clear, if it is known.
    #[must_use]
    pub fn clear(&self) -> Option<&str> {
        match self {
            Self::Clear(text) => Some(text),
            Self::Hashed(_) => None,
        }
    }

    /// SHA-256 in lower-case hex.
    #[must_use]
    pub fn sha256(&self) -> String {
        match self {
            Self::Clear(text) => sha256_hex(text.as_bytes()),
            Self::Hashed(hash) => hash.clone(),
        }
    }

    /// The form that is known: clear if possible, else hashed.
    #[must_use]
    pub fn into_text(self) -> String {
        match self {
            Self::Clear(text) | Self::Hashed(text) => text,
        }
    }
}

/// Personal values stand in no log, not even by accident.
impl fmt::Debug for Personal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Clear(_) => "Clear(…)",
            Self::Hashed(_) => "Hashed(…)",
        })
    }
}

impl Hash {
    /// Recognises hex digests; nothing for other texts.
    #[must_use]
    pub fn of(text: &str) -> Option<Self> {
        let text = trim(text);
        if !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        match text.len() {
            64 => Some(Self::Sha256(text.to_ascii_lowercase())),
            32 | 40 => Some(Self::Other),
            _ => None,
        }
    }
}

/// A field as it is kept: addresses and numbers as networks ask for them, everything else as it is.
///
/// `None` when it is not what its name says.
#[must_use]
pub fn normal(field: &str, text: String) -> Option<String> {
    match field {
        "email" => email(&text).map(Personal::into_text),
        "phone" => phone(&text, None).map(Personal::into_text),
        _ => Some(text),
    }
}

/// An e-mail address, trimmed and in lower case; nothing for what doesn't look like one.
///
/// Rokt asks for this form, plain or hashed (docs.rokt.com, Event API, 2026-11), as Google and Meta do.
#[must_use]
pub fn email(text: &str) -> Option<Personal> {
    match Hash::of(text) {
        Some(Hash::Sha256(hash)) => return Some(Personal::Hashed(hash)),
        Some(Hash::Other) => return None,
        None => {}
    }
    let text = trim(text);
    let (local, domain) = text.split_once('@')?;
    // RFC 5321, section 4.5.3.1. Quoted local parts exist in standards only; a `*` masks an address.
    let is_address = text.len() <= 254
        && (1..=64).contains(&local.len())
        && !local.contains(|character: char| !is_plain(character) || "\"(),:;<>@[\\]*".contains(character))
        && !(local.starts_with('.') || local.ends_with('.') || local.contains(".."))
        && is_domain(domain);
    is_address.then(|| Personal::Clear(text.to_lowercase()))
}

/// An address of a visitor as it may be kept: IPv4 to 24 bits, IPv6 to 48.
///
/// So did Google Analytics with `anonymize_ip`: the last octet, or the last 80 bits, are set to zero
/// (support.google.com/analytics/answer/2763052). IPv4 written as IPv6 (RFC 4291, section 2.5.5.2) is
/// IPv4.
#[must_use]
pub fn truncate(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => Ipv4Addr::from_bits(v4.to_bits() & (u32::MAX << 8)).into(),
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & (u128::MAX << 80)).into(),
    }
}

/// SHA-256 in lower-case hex.
#[must_use]
pub fn sha256_hex(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::with_capacity(64), |mut hex, byte| {
        // Writing to a string cannot fail.
        let _infallible = write!(hex, "{byte:02x}");
        hex
    })
}

/// At least two labels (RFC 1035, section 2.3.4), the last not all digits.
fn is_domain(domain: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|character| character.is_alphanumeric() || character == '-' || !character.is_ascii())
            && label.chars().all(is_plain)
    };
    domain.split('.').all(is_label)
        && domain.rsplit_once('.').is_some_and(|(_, last)| !last.bytes().all(|byte| byte.is_ascii_digit()))
}

fn is_plain(character: char) -> bool {
    !character.is_whitespace() && !character.is_control() && !is_invisible(character)
}

fn trim(text: &str) -> &str {
    text.trim_matches(|character: char| !is_plain(character))
}

#[cfg(test)]
mod tests;
