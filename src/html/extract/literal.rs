//! Values that stand in a script: objects, arrays, strings, numbers, and JSON in a string.
//!
//! Nothing is executed. What is no literal — a function, a variable, a call, a sum — is unknown, and so
//! is then that member alone: it is left out, or `null` among the elements of an array.

use serde_json::{Map, Value};

use super::{
    scalar,
    script::{Lexer, Token},
};

mod budget;
#[cfg(test)]
mod tests;

pub(super) use budget::Budget;

/// What stands where a value is expected.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Read<'a> {
    /// This value.
    Literal(Value),
    /// A variable.
    Variable(&'a str),
    /// An expression that would have to be executed.
    Unknown,
    /// Nothing whole: the script or the budget ends before it does, or there is a mistake in it.
    Cut,
}

/// The arguments of a call whose parenthesis was read last; those that are whole.
pub(super) fn arguments<'a>(lexer: &Lexer<'a>, budget: &mut Budget) -> Vec<Read<'a>> {
    let mut reader = Reader::new(lexer, budget);
    let mut arguments = Vec::new();
    while !reader.budget.is_spent() && arguments.len() < MAX_ARGUMENTS {
        if reader.peek().is_none_or(|token| token == Token::Sign(b')')) {
            break;
        }
        let read = reader.value(0);
        if read == Read::Cut {
            break;
        }
        arguments.push(read);
        if reader.peek() != Some(Token::Sign(b',')) {
            break;
        }
        reader.next();
    }
    reader.finish();
    arguments
}

/// The value that is assigned by the sign that was read last.
pub(super) fn assigned<'a>(lexer: &Lexer<'a>, budget: &mut Budget) -> Read<'a> {
    if budget.is_spent() {
        return Read::Cut;
    }
    let mut reader = Reader::new(lexer, budget);
    let read = reader.operand(0);
    // A new line may end a statement, so that anything may follow but what goes on with the value.
    let read = match reader.peek() {
        Some(Token::Other | Token::Spread | Token::TemplateOpens) => Read::Unknown,
        Some(Token::Sign(sign)) if !b",;)]}".contains(&sign) => Read::Unknown,
        _ => read,
    };
    reader.finish();
    read
}

struct Reader<'a, 'b> {
    lexer: Lexer<'a>,
    /// The next token, once it was looked at.
    peeked: Peeked<'a>,
    start: usize,
    budget: &'b mut Budget,
}

#[derive(Clone, Copy)]
enum Peeked<'a> {
    Not,
    At(Option<Token<'a>>),
}

impl<'a, 'b> Reader<'a, 'b> {
    fn new(lexer: &Lexer<'a>, budget: &'b mut Budget) -> Self {
        Self { lexer: lexer.ahead(), peeked: Peeked::Not, start: lexer.at(), budget }
    }

    fn finish(self) {
        self.budget.spend_bytes(self.lexer.at().saturating_sub(self.start));
    }

    fn peek(&mut self) -> Option<Token<'a>> {
        let token = match self.peeked {
            Peeked::Not => self.lexer.next(),
            Peeked::At(token) => token,
        };
        self.peeked = Peeked::At(token);
        token
    }

    fn next(&mut self) -> Option<Token<'a>> {
        let token = self.peek();
        self.peeked = Peeked::Not;
        token
    }

    fn next_if(&mut self, wanted: Token<'_>) -> bool {
        let is_there = self.peek() == Some(wanted);
        if is_there {
            self.next();
        }
        is_there
    }

    /// Reads an expression up to the comma or bracket behind it.
    fn value(&mut self, depth: usize) -> Read<'a> {
        let read = self.operand(depth);
        match self.peek() {
            _ if read == Read::Cut => read,
            None => Read::Cut,
            Some(token) if ends_expression(token) => read,
            Some(_) => self.skip(0),
        }
    }

    /// Reads the first operand of an expression. What is none is not touched, but for signs before it.
    fn operand(&mut self, depth: usize) -> Read<'a> {
        if !self.budget.allows_values(1) {
            return Read::Cut;
        }
        let Some(token) = self.peek() else { return Read::Cut };
        match token {
            Token::Sign(b'{') => self.object(depth + 1),
            Token::Sign(b'[') => self.array(depth + 1),
            Token::Text(raw) => {
                self.next();
                Read::Literal(Value::String(scalar::text(raw)))
            }
            Token::Number(raw) => {
                self.next();
                scalar::number(raw).map_or(Read::Unknown, |number| Read::Literal(Value::Number(number)))
            }
            Token::Sign(sign @ (b'-' | b'+' | b'!')) => {
                self.next();
                self.signed(sign)
            }
            Token::Name(name) => {
                self.next();
                match name {
                    "true" => Read::Literal(Value::Bool(true)),
                    "false" => Read::Literal(Value::Bool(false)),
                    "null" | "undefined" => Read::Literal(Value::Null),
                    "JSON" => self.json(),
                    _ => Read::Variable(name),
                }
            }
            Token::Sign(_) | Token::Spread | Token::TemplateOpens | Token::TemplateCloses | Token::Other => {
                Read::Unknown
            }
        }
    }

    fn signed(&mut self, sign: u8) -> Read<'a> {
        let Some(Token::Number(raw)) = self.peek() else { return Read::Unknown };
        self.next();
        let value = match sign {
            // As minifiers write `true` and `false`.
            b'!' => match raw {
                "0" => Some(Value::Bool(true)),
                "1" => Some(Value::Bool(false)),
                _ => None,
            },
            b'-' => scalar::number(raw).as_ref().and_then(scalar::negated).map(Value::Number),
            _ => scalar::number(raw).map(Value::Number),
        };
        value.map_or(Read::Unknown, Read::Literal)
    }

    /// Reads what follows `JSON`: `.parse('…')`.
    fn json(&mut self) -> Read<'a> {
        let is_call = self.next_if(Token::Sign(b'.')) && self.next_if(Token::Name("parse"));
        if !(is_call && self.next_if(Token::Sign(b'('))) {
            return Read::Unknown;
        }
        let Some(Token::Text(raw)) = self.peek() else { return self.skip(1) };
        self.next();
        if !self.next_if(Token::Sign(b')')) {
            return self.skip(1);
        }
        // No value is shorter than two letters with what parts it from the next.
        if !self.budget.allows_values(raw.len() / 2) {
            return Read::Cut;
        }
        serde_json::from_str(&scalar::text(raw)).map_or(Read::Unknown, Read::Literal)
    }

    fn object(&mut self, depth: usize) -> Read<'a> {
        self.next();
        if depth > MAX_DEPTH {
            return self.skip(1);
        }
        let mut members = Map::new();
        loop {
            let Some(token) = self.next() else { return Read::Cut };
            let name = match token {
                Token::Sign(b'}') => return Read::Literal(Value::Object(members)),
                Token::Sign(b',') => continue,
                Token::Name(name) => Some(scalar::text(name)),
                Token::Text(raw) => Some(scalar::text(raw)),
                Token::Number(raw) => scalar::number(raw).map(|number| number.to_string()),
                Token::Sign(b'[') => {
                    // Whichever member this is.
                    members.clear();
                    if self.skip(1) == Read::Cut {
                        return Read::Cut;
                    }
                    None
                }
                Token::Spread => {
                    members.clear();
                    None
                }
                // A generator, or a private name.
                Token::Sign(b'*' | b'#') => None,
                // A mistake: no browser runs this script.
                Token::Sign(_) | Token::TemplateOpens | Token::TemplateCloses | Token::Other => return Read::Cut,
            };
            let read = if self.next_if(Token::Sign(b':')) {
                self.value(depth)
            } else if self.peek().is_some_and(ends_expression) {
                Read::Unknown
            } else {
                self.skip(0)
            };
            match (name, read) {
                (_, Read::Cut) => return Read::Cut,
                (Some(name), Read::Literal(value)) => {
                    members.insert(name, value);
                }
                (Some(name), Read::Variable(_) | Read::Unknown) => {
                    members.swap_remove(&name);
                }
                (None, Read::Literal(_) | Read::Variable(_) | Read::Unknown) => {}
            }
            if !matches!(self.peek(), Some(Token::Sign(b',' | b'}'))) {
                return Read::Cut;
            }
        }
    }

    fn array(&mut self, depth: usize) -> Read<'a> {
        self.next();
        if depth > MAX_DEPTH {
            return self.skip(1);
        }
        let mut elements = Vec::new();
        // Behind `...` nobody knows which element is which.
        let mut is_spread = false;
        loop {
            let read = match self.peek() {
                None => return Read::Cut,
                Some(Token::Sign(b']')) => {
                    self.next();
                    return Read::Literal(Value::Array(elements));
                }
                Some(Token::Spread) => {
                    is_spread = true;
                    self.skip(0)
                }
                Some(_) => self.value(depth),
            };
            match read {
                Read::Cut => return Read::Cut,
                _ if is_spread => {}
                Read::Literal(value) => elements.push(value),
                Read::Variable(_) | Read::Unknown => elements.push(Value::Null),
            }
            if !self.next_if(Token::Sign(b',')) && self.peek() != Some(Token::Sign(b']')) {
                return Read::Cut;
            }
        }
    }

    /// Skips the rest of an expression of which so many brackets are open.
    fn skip(&mut self, open: usize) -> Read<'a> {
        let mut open = open;
        while let Some(token) = self.peek() {
            match token {
                Token::Sign(b'(' | b'[' | b'{') | Token::TemplateOpens => open += 1,
                _ if open == 0 && ends_expression(token) => return Read::Unknown,
                Token::Sign(b')' | b']' | b'}') | Token::TemplateCloses => open = open.saturating_sub(1),
                Token::Name(_) | Token::Text(_) | Token::Number(_) | Token::Sign(_) | Token::Spread | Token::Other => {}
            }
            self.next();
        }
        Read::Cut
    }
}

const fn ends_expression(token: Token<'_>) -> bool {
    matches!(token, Token::Sign(b',' | b';' | b')' | b']' | b'}') | Token::TemplateCloses)
}

/// How deep objects and arrays are read into each other.
const MAX_DEPTH: usize = 32;
/// How many arguments of one call are looked at.
const MAX_ARGUMENTS: usize = 64;
