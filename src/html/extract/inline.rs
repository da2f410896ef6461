//! The scripts that stand in a page.

/// The scripts of a page, one after the other.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    kept: Vec<(Language, String)>,
    length: usize,
    /// Whether the one that passes now is kept.
    is_open: bool,
    /// Whether there was more of them than is kept.
    pub(super) is_cut: bool,
}

/// What a script is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Language {
    /// Structured data.
    JsonLd,
    /// A script that browsers execute, now or once a visitor consents.
    JavaScript,
}

impl Scripts {
    /// A script begins; without a language it is not kept.
    pub(super) fn open(&mut self, language: Option<Language>) {
        self.is_open = language.is_some();
        self.kept.extend(language.map(|language| (language, String::new())));
    }

    /// Adds a piece of the script that passes now.
    pub(super) fn push(&mut self, piece: &str) {
        let Some((_, script)) = self.kept.last_mut().filter(|_| self.is_open) else { return };
        if self.length + piece.len() > MAX_SCRIPTS {
            // Half a script is none.
            self.is_cut = true;
            self.is_open = false;
            self.length -= script.len();
            self.kept.pop();
            return;
        }
        self.length += piece.len();
        script.push_str(piece);
    }

    /// Those with structured data.
    pub(super) fn json_ld(&self) -> Vec<&str> {
        self.of(Language::JsonLd)
    }

    /// Those that may fill the data layer.
    pub(super) fn data_layer(&self) -> Vec<&str> {
        self.of(Language::JavaScript)
    }

    fn of(&self, language: Language) -> Vec<&str> {
        self.kept.iter().filter(|(it, _)| *it == language).map(|(_, script)| script.as_str()).collect()
    }
}

/// The most bytes of all scripts together.
const MAX_SCRIPTS: usize = 1 << 20;
