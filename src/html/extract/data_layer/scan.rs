//! One script: which calls fill the data layer, and what variables hold by then.

use std::{collections::BTreeMap, rc::Rc};

use serde_json::Value;

use super::{DataLayer, GTAG, NAME};
use crate::html::extract::{
    literal::{self, Budget, Read},
    script::{Lexer, Token},
};

/// Objects that variables hold.
pub(super) type Variables<'a> = BTreeMap<&'a str, Rc<Value>>;

/// One script on its way to entries.
pub(super) struct Scan<'a, 'b> {
    lexer: Lexer<'a>,
    /// The names of `a.b["c"]` as long as nothing else follows.
    chain: Vec<&'a str>,
    index: Index<'a>,
    groups: Vec<Group>,
    /// What the last token was, as far as it matters whether parentheses behind it call something.
    is_behind_callee: bool,
    is_behind_parenthesis: bool,
    is_behind_dot: bool,
    data_layer: &'b mut DataLayer,
    budget: &'b mut Budget,
    variables: &'b mut Variables<'a>,
}

/// How much was seen of `["name"]`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Index<'a> {
    Nowhere,
    Open,
    Named(&'a str),
}

/// An open parenthesis.
#[derive(Clone, Copy, Debug, Default)]
struct Group {
    is_call: bool,
    /// It begins with the data layer, as in `(window.dataLayer = window.dataLayer || [])`.
    is_data_layer: bool,
    /// The first names in it still go on.
    is_first: bool,
}

impl<'a, 'b> Scan<'a, 'b> {
    /// Starts a script.
    pub(super) fn new(
        script: &'a str,
        data_layer: &'b mut DataLayer,
        budget: &'b mut Budget,
        variables: &'b mut Variables<'a>,
    ) -> Self {
        Self {
            lexer: Lexer::new(script),
            chain: Vec::new(),
            index: Index::Nowhere,
            groups: Vec::new(),
            is_behind_callee: false,
            is_behind_parenthesis: false,
            is_behind_dot: false,
            data_layer,
            budget,
            variables,
        }
    }

    /// Reads it to its end.
    pub(super) fn run(mut self) {
        while let Some(token) = self.lexer.next() {
            self.take(token);
            self.is_behind_callee = match token {
                Token::Name(name) => !KEYWORDS.contains(&name),
                Token::Sign(sign) => matches!(sign, b')' | b']'),
                Token::Text(_) => true,
                Token::Number(_) | Token::Spread | Token::TemplateOpens | Token::TemplateCloses | Token::Other => false,
            };
            self.is_behind_parenthesis = token == Token::Sign(b'(');
            self.is_behind_dot = token == Token::Sign(b'.');
        }
    }

    fn take(&mut self, token: Token<'a>) {
        match (token, self.index) {
            (Token::Text(name), Index::Open) => {
                self.index = Index::Named(name);
                return;
            }
            (Token::Sign(b']'), Index::Named(name)) => {
                self.index = Index::Nowhere;
                self.name(name);
                return;
            }
            _ => self.index = Index::Nowhere,
        }
        match token {
            Token::Name(name) => {
                if !self.is_behind_dot {
                    self.chain.clear();
                    let is_first = self.is_behind_parenthesis;
                    if let Some(group) = self.groups.last_mut() {
                        group.is_first = is_first;
                    }
                    self.name(name);
                } else if !self.chain.is_empty() {
                    self.name(name);
                }
            }
            Token::Sign(b'.') => {}
            Token::Sign(b'[') if !self.chain.is_empty() => self.index = Index::Open,
            Token::Sign(b'(') => {
                self.call();
                self.groups.push(Group { is_call: self.is_behind_callee, ..Group::default() });
                self.chain.clear();
            }
            Token::Sign(b')') => {
                let group = self.groups.pop().unwrap_or_default();
                self.chain.clear();
                if group.is_data_layer && !group.is_call {
                    self.chain.push(NAME);
                }
            }
            Token::Sign(b'=') => {
                self.assign();
                self.chain.clear();
            }
            Token::Sign(_)
            | Token::Text(_)
            | Token::Number(_)
            | Token::Spread
            | Token::TemplateOpens
            | Token::TemplateCloses
            | Token::Other => self.chain.clear(),
        }
    }

    /// Adds a name to the chain.
    fn name(&mut self, name: &'a str) {
        if self.chain.len() == MAX_CHAIN {
            self.chain.remove(0);
        }
        self.chain.push(name);
        if let Some(group) = self.groups.last_mut().filter(|group| group.is_first) {
            group.is_data_layer = name == NAME;
        }
    }

    /// Reads the arguments of a call that fills the data layer.
    fn call(&mut self) {
        match self.chain.as_slice() {
            [.., NAME, "push"] => {
                for argument in literal::arguments(&self.lexer, self.budget) {
                    if let Some(object) = self.object(argument) {
                        self.data_layer.push(None, object);
                    }
                }
            }
            [GTAG] | [_, GTAG] => {
                let mut arguments = literal::arguments(&self.lexer, self.budget).into_iter();
                let command = arguments.next();
                let (Some(Read::Literal(Value::String(command))), Some(name)) = (command, arguments.next()) else {
                    return;
                };
                if command != "event" {
                    return;
                }
                let event = match name {
                    Read::Literal(name @ Value::String(_)) => Some(name),
                    Read::Literal(_) | Read::Variable(_) | Read::Unknown | Read::Cut => None,
                };
                let object = arguments.next().and_then(|argument| self.object(argument));
                self.data_layer.push(event, object.unwrap_or_default());
            }
            _ => {}
        }
    }

    fn object(&self, argument: Read<'a>) -> Option<Rc<Value>> {
        match argument {
            Read::Literal(object @ Value::Object(_)) => Some(Rc::new(object)),
            Read::Variable(name) => self.variables.get(name).map(Rc::clone),
            Read::Literal(_) | Read::Unknown | Read::Cut => None,
        }
    }

    /// Reads what is assigned to the names before the sign.
    fn assign(&mut self) {
        let chain = match self.chain.as_slice() {
            [root, rest @ ..] if !rest.is_empty() && GLOBAL.contains(root) => rest,
            chain => chain,
        };
        let (Some(root), Some(last)) = (chain.first().copied(), chain.last().copied()) else { return };
        if chain.len() > 1 && last != NAME {
            let names = chain.get(1..).unwrap_or_default().to_vec();
            self.forget_member(root, &names);
            return;
        }
        match literal::assigned(&self.lexer, self.budget) {
            Read::Literal(Value::Array(elements)) if last == NAME => {
                for object in elements.into_iter().filter(Value::is_object) {
                    self.data_layer.push(None, Rc::new(object));
                }
            }
            Read::Literal(object @ Value::Object(_))
                if self.variables.len() < MAX_VARIABLES || self.variables.contains_key(root) =>
            {
                self.variables.insert(root, Rc::new(object));
            }
            Read::Literal(_) | Read::Variable(_) | Read::Unknown | Read::Cut => {
                self.variables.remove(root);
            }
        }
    }

    /// Something in an object changes, perhaps: that member is unknown from now on.
    fn forget_member(&mut self, root: &'a str, names: &[&str]) {
        let Some(object) = self.variables.get_mut(root) else { return };
        let is_forgotten = Rc::get_mut(object).is_some_and(|object| forget(object, names));
        if !is_forgotten {
            // It was pushed before, and what was pushed must stay as it was.
            self.variables.remove(root);
        }
    }
}

fn forget(object: &mut Value, names: &[&str]) -> bool {
    let Some((last, before)) = names.split_last() else { return false };
    let inner = before.iter().try_fold(object, |value, name| value.get_mut(name));
    if let Some(Value::Object(members)) = inner {
        members.swap_remove(*last);
    }
    true
}

/// Names of the object that holds all global variables.
const GLOBAL: [&str; 5] = ["window", "self", "globalThis", "top", "parent"];
/// Names behind which parentheses group.
const KEYWORDS: [&str; 11] =
    ["return", "typeof", "void", "delete", "new", "throw", "case", "do", "else", "in", "yield"];
const MAX_VARIABLES: usize = 256;
/// The longest `a.b.c` that is told from its end.
const MAX_CHAIN: usize = 16;
