//! The tokens of a script, as far as one must know them to find data in it.
//!
//! What is a string, a comment, a template or a regular expression is told apart as in ECMA-262; whether
//! a slash divides is judged by what stands before it. A string ends with its line, if not before, so
//! that a wrong guess does no harm beyond.

use std::str::Chars;

mod token;

pub(super) use token::Token;

/// A script that is read token by token.
pub(super) struct Lexer<'a> {
    script: &'a str,
    at: usize,
    /// Whether a slash here begins a regular expression.
    expects_operand: bool,
    /// Before this place no regular expression ends.
    no_regex_before: usize,
    is_line_start: bool,
    braces: usize,
    /// For each open expression in a template, how many braces are open around it.
    templates: Vec<usize>,
    /// For each open parenthesis, whether a condition stands in it.
    conditions: Vec<bool>,
    last_name: &'a str,
}

impl<'a> Lexer<'a> {
    /// Starts a script.
    pub(super) const fn new(script: &'a str) -> Self {
        Self {
            script,
            at: 0,
            expects_operand: true,
            no_regex_before: 0,
            is_line_start: true,
            braces: 0,
            templates: Vec::new(),
            conditions: Vec::new(),
            last_name: "",
        }
    }

    /// One that looks ahead from here, where an operand stands.
    pub(super) fn ahead(&self) -> Self {
        Self { at: self.at, no_regex_before: self.no_regex_before, is_line_start: false, ..Self::new(self.script) }
    }

    /// Where the next token may begin.
    pub(super) const fn at(&self) -> usize {
        self.at
    }

    /// Cuts off the next token.
    pub(super) fn next(&mut self) -> Option<Token<'a>> {
        self.skip_blanks();
        let start = self.at;
        let byte = self.byte(0)?;
        let token = match byte {
            b'"' | b'\'' => self.quoted(byte),
            b'`' => self.template(false),
            b'0'..=b'9' => self.number(),
            b'.' if self.byte(1).is_some_and(|next| next.is_ascii_digit()) => self.number(),
            b'/' if self.expects_operand && self.skip_regex() => Token::Other,
            _ if is_name(char::from(byte)) || !byte.is_ascii() => self.name(),
            _ => self.sign(byte),
        };
        let last_name = if let Token::Name(name) = token { name } else { "" };
        self.expects_operand = match token {
            Token::Name(name) => OPERATORS.contains(&name),
            Token::Text(_) | Token::Number(_) | Token::TemplateCloses | Token::Sign(b']') => false,
            Token::Sign(b'(') => {
                self.conditions.push(CONDITIONAL.contains(&self.last_name));
                true
            }
            Token::Sign(b')') => self.conditions.pop().unwrap_or_default(),
            Token::Sign(_) | Token::Spread | Token::TemplateOpens => true,
            Token::Other => byte != b'/' && !matches!(byte, b'"' | b'\''),
        };
        self.last_name = last_name;
        self.is_line_start = false;
        // Whatever happens, a token is at least one byte long.
        self.at = self.at.max(start + 1);
        Some(token)
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.script.as_bytes().get(self.at + ahead).copied()
    }

    fn rest(&self) -> &'a [u8] {
        self.script.as_bytes().get(self.at..).unwrap_or_default()
    }

    fn letters(&self) -> Chars<'a> {
        self.script.get(self.at..).unwrap_or_default().chars()
    }

    fn skip_blanks(&mut self) {
        loop {
            let rest = self.rest();
            match rest {
                [b'\n' | b'\r', ..] => {
                    self.is_line_start = true;
                    self.at += 1;
                }
                [b' ' | b'\t' | 0x0b | 0x0c, ..] => self.at += 1,
                [byte, ..] if !byte.is_ascii() => {
                    let Some(blank) = self.letters().next().filter(|letter| !is_name(*letter)) else { return };
                    self.at += blank.len_utf8();
                }
                [b'/', b'*', comment @ ..] => {
                    let end = memchr::memmem::find(comment, b"*/").map_or(rest.len(), |at| at + 4);
                    self.at += end;
                }
                // Comments as in HTML are comments in scripts too (ECMA-262, annex B.1.1).
                [b'/', b'/', ..] | [b'<', b'!', b'-', b'-', ..] => self.skip_line(),
                [b'-', b'-', b'>', ..] if self.is_line_start => self.skip_line(),
                _ => return,
            }
        }
    }

    fn skip_line(&mut self) {
        let rest = self.rest();
        self.at += memchr::memchr2(b'\n', b'\r', rest).unwrap_or(rest.len());
    }

    fn quoted(&mut self, quote: u8) -> Token<'a> {
        let start = self.at + 1;
        let mut end = start;
        let bytes = self.script.as_bytes();
        loop {
            match bytes.get(end) {
                Some(b'\\') => end += if bytes.get(end + 1..end + 3) == Some(b"\r\n") { 3 } else { 2 },
                Some(byte) if *byte == quote => break,
                Some(b'\n' | b'\r') | None => {
                    self.at = end.min(bytes.len());
                    return Token::Other;
                }
                Some(_) => end += 1,
            }
        }
        self.at = end + 1;
        self.script.get(start..end).map_or(Token::Other, Token::Text)
    }

    /// Reads on in a template, from its backtick or from behind an expression in it.
    fn template(&mut self, is_continued: bool) -> Token<'a> {
        let start = self.at + 1;
        let mut end = start;
        let bytes = self.script.as_bytes();
        loop {
            match bytes.get(end..).unwrap_or_default() {
                [] => {
                    self.at = bytes.len();
                    return Token::Other;
                }
                [b'\\', ..] => end += 2,
                [b'`', ..] => {
                    self.at = end + 1;
                    let text = self.script.get(start..end).map_or(Token::Other, Token::Text);
                    return if is_continued { Token::TemplateCloses } else { text };
                }
                [b'$', b'{', ..] => {
                    self.at = end + 2;
                    self.templates.push(self.braces);
                    return if is_continued { Token::Other } else { Token::TemplateOpens };
                }
                _ => end += 1,
            }
        }
    }

    fn number(&mut self) -> Token<'a> {
        let start = self.at;
        let is_radix = self.byte(0) == Some(b'0') && self.byte(1).is_some_and(|byte| byte.is_ascii_alphabetic());
        while let Some(byte) = self.byte(0) {
            let is_exponent = !is_radix && matches!(byte, b'e' | b'E');
            if is_exponent && matches!(self.byte(1), Some(b'+' | b'-')) {
                self.at += 2;
            } else if is_name(char::from(byte)) && byte.is_ascii() || byte == b'.' {
                self.at += 1;
            } else {
                break;
            }
        }
        self.script.get(start..self.at).map_or(Token::Other, Token::Number)
    }

    fn name(&mut self) -> Token<'a> {
        let start = self.at;
        self.at += self.letters().take_while(|letter| is_name(*letter)).map(char::len_utf8).sum::<usize>();
        self.script.get(start..self.at).map_or(Token::Other, Token::Name)
    }

    fn sign(&mut self, byte: u8) -> Token<'a> {
        match (byte, self.byte(1)) {
            (b'.', Some(b'.')) if self.byte(2) == Some(b'.') => {
                self.at += 3;
                return Token::Spread;
            }
            (b'?', Some(b'.')) if !self.byte(2).is_some_and(|byte| byte.is_ascii_digit()) => {
                self.at += 2;
                return Token::Sign(b'.');
            }
            (b'=', Some(b'>')) => {
                self.at += 2;
                return Token::Other;
            }
            (b'=' | b'!' | b'<' | b'>' | b'+' | b'-' | b'*' | b'/' | b'%' | b'&' | b'|' | b'^' | b'?', Some(b'=')) => {
                let rest = self.rest();
                self.at += rest.iter().skip(1).position(|byte| *byte != b'=').map_or(rest.len(), |at| at + 1);
                return Token::Other;
            }
            (b'{', _) => self.braces += 1,
            (b'}', _) if self.templates.last() == Some(&self.braces) => {
                self.templates.pop();
                return self.template(true);
            }
            (b'}', _) => self.braces = self.braces.saturating_sub(1),
            _ => {}
        }
        self.at += 1;
        Token::Sign(byte)
    }

    /// Skips a regular expression, unless none ends on this line.
    fn skip_regex(&mut self) -> bool {
        if self.at < self.no_regex_before {
            return false;
        }
        let bytes = self.script.as_bytes();
        let (mut end, mut is_class) = (self.at + 1, false);
        loop {
            match bytes.get(end) {
                Some(b'\\') => end += 1,
                Some(b'[') => is_class = true,
                Some(b']') => is_class = false,
                Some(b'/') if !is_class => {
                    self.at = end + 1;
                    return true;
                }
                Some(b'\n' | b'\r') | None => {
                    self.no_regex_before = end;
                    return false;
                }
                Some(_) => {}
            }
            end += 1;
        }
    }
}

/// Whether a letter may stand in a name; what blanks there are beyond ASCII may not.
fn is_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric()
        || matches!(letter, '_' | '$' | '\\')
        || !(letter.is_ascii() || letter.is_whitespace() || letter == '\u{feff}')
}

/// Names behind which an operand stands.
const OPERATORS: [&str; 15] = [
    "return",
    "typeof",
    "instanceof",
    "in",
    "of",
    "new",
    "delete",
    "void",
    "throw",
    "case",
    "do",
    "else",
    "yield",
    "await",
    "default",
];
/// Names whose parentheses a statement follows.
const CONDITIONAL: [&str; 4] = ["if", "while", "for", "with"];

#[cfg(test)]
mod tests;
