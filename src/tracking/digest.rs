//! Checksums that networks ask for, and how they are written.
//!
//! What is checked, and where the result goes, is decided by templates and by the rules of a postback.
//! Nothing is normalised here: a checksum is of exactly the bytes it is given.

use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};
use sha1::Sha1;
use sha2::{Sha256, Sha512};

/// How a checksum is made.
///
/// MD5 and SHA-1 are broken for what they were made for; networks ask for them all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// MD5 (RFC 1321).
    Md5,
    /// SHA-1 (FIPS 180-4).
    Sha1,
    /// SHA-256 (FIPS 180-4).
    Sha256,
    /// SHA-512 (FIPS 180-4).
    Sha512,
}

/// How the bytes of a checksum are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Writing {
    /// Hexadecimal digits, lower case.
    #[default]
    Hex,
    /// Hexadecimal digits, upper case.
    UpperHex,
    /// Base64 with padding (RFC 4648, section 4).
    Base64,
    /// Base64 for addresses, without padding (RFC 4648, section 5).
    Base64Url,
}

impl Algorithm {
    /// The checksum of these bytes.
    #[must_use]
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => Md5::digest(bytes).to_vec(),
            Self::Sha1 => Sha1::digest(bytes).to_vec(),
            Self::Sha256 => Sha256::digest(bytes).to_vec(),
            Self::Sha512 => Sha512::digest(bytes).to_vec(),
        }
    }

    /// The checksum of these bytes that only who knows the key can make: HMAC (RFC 2104).
    #[must_use]
    pub fn hmac(self, key: &[u8], bytes: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => authenticated::<Hmac<Md5>>(key, bytes),
            Self::Sha1 => authenticated::<Hmac<Sha1>>(key, bytes),
            Self::Sha256 => authenticated::<Hmac<Sha256>>(key, bytes),
            Self::Sha512 => authenticated::<Hmac<Sha512>>(key, bytes),
        }
    }
}

impl Writing {
    /// The bytes as text.
    #[must_use]
    pub fn text(self, bytes: &[u8]) -> String {
        match self {
            Self::Hex => hex(bytes, b"0123456789abcdef"),
            Self::UpperHex => hex(bytes, b"0123456789ABCDEF"),
            Self::Base64 => STANDARD.encode(bytes),
            Self::Base64Url => URL_SAFE_NO_PAD.encode(bytes),
        }
    }
}

fn authenticated<M: Mac + KeyInit>(key: &[u8], bytes: &[u8]) -> Vec<u8> {
    // HMAC takes keys of any length.
    M::new_from_slice(key).map(|mac| mac.chain_update(bytes).finalize().into_bytes().to_vec()).unwrap_or_default()
}

fn hex(bytes: &[u8], digits: &[u8; 16]) -> String {
    let digit = |nibble: u8| digits.get(usize::from(nibble)).map_or('0', |digit| char::from(*digit));
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: &[u8]) -> String {
        Writing::Hex.text(bytes)
    }

    #[test]
    fn checksums_are_those_of_the_standards() {
        for (algorithm, expected) in [
            (Algorithm::Md5, "900150983cd24fb0d6963f7d28e17f72"),
            (Algorithm::Sha1, "a9993e364706816aba3e25717850c26c9cd0d89d"),
            (Algorithm::Sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ] {
            assert_eq!(hex(&algorithm.digest(b"abc")), expected);
        }
        assert!(hex(&Algorithm::Sha512.digest(b"abc")).starts_with("ddaf35a193617abacc417349ae204131"));
    }

    #[test]
    fn keyed_checksums_are_those_of_the_standards() {
        // RFC 2202 and RFC 4231, test case 2; a key longer than a block is test case 6.
        let (key, text) = (b"Jefe".as_slice(), b"what do ya want for nothing?".as_slice());
        for (algorithm, expected) in [
            (Algorithm::Md5, "750c783e6ab0b503eaa86e310a5db738"),
            (Algorithm::Sha1, "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79"),
            (Algorithm::Sha256, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
        ] {
            assert_eq!(hex(&algorithm.hmac(key, text)), expected);
        }
        let long =
            hex(&Algorithm::Sha256.hmac(&[0xaa; 131], b"Test Using Larger Than Block-Size Key - Hash Key First"));
        assert_eq!(long, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    }

    #[test]
    fn bytes_are_written_as_asked() {
        let bytes = [0xfb, 0xff, 0x0a, 0x00];
        let all = [Writing::Hex, Writing::UpperHex, Writing::Base64, Writing::Base64Url].map(|it| it.text(&bytes));
        assert_eq!(all, ["fbff0a00", "FBFF0A00", "+/8KAA==", "-_8KAA"]);
    }
}
