//! The pieces that the schema is put together from: what a value may look like, and what is said of it.
//!
//! A shape is a JSON Schema in the making. Nothing in it knows what a key of ours is for.

use std::ops::RangeInclusive;

use serde_json::{Map, Value, json};

/// What may stand somewhere.
#[derive(Clone, Debug)]
pub(super) struct Shape(Map<String, Value>);

/// A key of a map.
#[derive(Clone, Debug)]
pub(super) struct Key {
    name: String,
    about: &'static str,
    shape: Shape,
    is_needed: bool,
}

impl Shape {
    /// A definition by its name.
    pub(super) fn of(name: &str) -> Self {
        Self::new("$ref", format!("#/$defs/{name}"))
    }

    /// Whatever.
    pub(super) fn anything() -> Self {
        Self(Map::new())
    }

    pub(super) fn any(shapes: impl IntoIterator<Item = Self>) -> Self {
        Self::new("anyOf", shapes.into_iter().map(Self::into_value).collect::<Vec<_>>())
    }

    /// Text, or what YAML takes for a number or a switch though it is text: `0012`, `yes`.
    pub(super) fn scalar() -> Self {
        Self::new("type", json!(["string", "number", "boolean"]))
    }

    /// Text of this form, or a variable.
    pub(super) fn pattern(pattern: &str) -> Self {
        Self::new("type", "string").and("pattern", format!("^(?:{pattern}|{VARIABLE})$"))
    }

    pub(super) fn number(bounds: RangeInclusive<u32>) -> Self {
        let variable =
            Self::new("type", json!(["integer", "string"])).and("pattern", format!("^(?:[0-9]+|{VARIABLE})$"));
        variable.and("minimum", *bounds.start()).and("maximum", *bounds.end())
    }

    /// One of the words that a decoder takes.
    pub(super) fn choice<T>(choices: &[(&str, T)]) -> Self {
        Self::words(choices.iter().map(|(word, _)| *word))
    }

    /// One of these words.
    pub(super) fn words<'a>(words: impl IntoIterator<Item = &'a str>) -> Self {
        let mut all = Vec::new();
        for word in words {
            all.push(Value::from(word));
            // As YAML understands it without quotes.
            all.extend(Some(typed(word)).filter(|typed| !typed.is_string()));
        }
        Self::any([Self::new("enum", all), Self::of("variable")])
    }

    /// A path as it is asked of a visitor or a server.
    pub(super) fn path() -> Self {
        Self::pattern("/.*")
    }

    pub(super) fn list(items: Self) -> Self {
        Self::new("type", "array").and("items", items.into_value())
    }

    pub(super) fn one_or_many(item: Self) -> Self {
        Self::any([item.clone(), Self::list(item)])
    }

    /// A map with these keys and no others.
    pub(super) fn map(keys: impl IntoIterator<Item = Key>) -> Self {
        Self::map_with(keys, Value::Bool(false))
    }

    /// A map with these keys, and any others with these values.
    pub(super) fn map_and(keys: impl IntoIterator<Item = Key>, rest: Self) -> Self {
        Self::map_with(keys, rest.or_nothing().into_value())
    }

    fn map_with(keys: impl IntoIterator<Item = Key>, rest: Value) -> Self {
        let (mut properties, mut needed) = (Map::new(), Vec::new());
        for key in keys {
            let shape = if key.is_needed {
                needed.push(Value::from(key.name.as_str()));
                key.shape
            } else {
                key.shape.or_nothing()
            };
            let described = if key.about.is_empty() { shape } else { shape.and("description", key.about) };
            properties.insert(key.name, described.into_value());
        }
        let map = Self::new("type", "object").and("properties", properties).and("additionalProperties", rest);
        if needed.is_empty() { map } else { map.and("required", needed) }
    }

    /// A map with any keys.
    pub(super) fn map_of(values: Self) -> Self {
        Self::map_and([], values)
    }

    /// What holds when the key is absent, as it is written.
    pub(super) fn or(self, default: &str) -> Self {
        self.and("default", typed(default))
    }

    pub(super) fn example(self, example: Value) -> Self {
        self.and("examples", vec![example])
    }

    pub(super) fn and(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.insert(key.to_owned(), value.into());
        self
    }

    pub(super) fn into_value(self) -> Value {
        Value::Object(self.0)
    }

    /// The same, or null: a key without a value counts as absent, and removes what stands below it.
    fn or_nothing(mut self) -> Self {
        const NOTHING: &str = "null";
        if self.0.is_empty() {
            return self;
        }
        if let Some(Value::Array(shapes)) = self.0.get_mut("anyOf") {
            shapes.push(json!({ "type": NOTHING }));
            return self;
        }
        match self.0.get_mut("type") {
            Some(Value::Array(types)) => types.push(NOTHING.into()),
            Some(kind) => *kind = json!([kind.clone(), NOTHING]),
            None => {
                let said: Vec<(String, Value)> =
                    ["default", "examples"].into_iter().filter_map(|key| self.0.remove_entry(key)).collect();
                self = Self::any([self, Self::new("type", NOTHING)]);
                self.0.extend(said);
            }
        }
        self
    }

    fn new(key: &str, value: impl Into<Value>) -> Self {
        Self(Map::from_iter([(key.to_owned(), value.into())]))
    }
}

/// A key that may be absent.
pub(super) fn key(name: &str, about: &'static str, shape: Shape) -> Key {
    Key { name: name.to_owned(), about, shape, is_needed: false }
}

/// A key that must be there.
pub(super) fn needed(name: &str, about: &'static str, shape: Shape) -> Key {
    Key { is_needed: true, ..key(name, about, shape) }
}

/// A text as YAML understands it without quotes.
pub(super) fn typed(text: &str) -> Value {
    match text {
        "" | "~" | "null" => Value::Null,
        "true" => true.into(),
        "false" => false.into(),
        "[]" => json!([]),
        _ => text.parse::<i64>().map_or_else(|_| text.into(), Value::from),
    }
}

/// Shapes that many others refer to.
pub(super) fn definitions() -> [(&'static str, Shape); 10] {
    let variable = Shape::new("type", "string").and("pattern", format!("^{VARIABLE}$"));
    let file = Shape::map([needed("file", "The file that holds it, relative to this one.", Shape::scalar())]);
    [
        ("variable", variable.clone().and("description", "Taken from the environment: ${NAME}.")),
        ("text", Shape::scalar()),
        ("duration", Shape::pattern("[0-9]+ *(?:ms|s|m|h|d)").example("30s".into())),
        ("size", Shape::pattern("[0-9]+ *(?:[KkMmGg][Ii]?)?[Bb]").example("64KiB".into())),
        ("switch", Shape::words(["true", "false", "on", "off", "yes", "no"])),
        ("file", Shape::scalar().and("description", "The path of a file, relative to the folder of this one.")),
        (
            "secret",
            Shape::any([variable, file.clone()]).and("description", "Not in clear text: ${NAME} or { file: PATH }."),
        ),
        ("text_or_file", Shape::any([Shape::scalar(), file])),
        ("status", Shape::one_or_many(Shape::any([Shape::number(100..=599), Shape::pattern("[1-5](?:xx|[0-9]{2})")]))),
        ("address", Shape::pattern(".+:[0-9]+").example("0.0.0.0:443".into())),
    ]
}

/// `${NAME}`
const VARIABLE: &str = r"\$\{[A-Za-z_][A-Za-z0-9_]*\}";
