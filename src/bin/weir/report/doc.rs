//! A report as headings, sentences, tables and charts, independent of its output format.

/// The parts of a report, in order.
pub struct Document {
    pub title: String,
    pub lead: Vec<String>,
    pub sections: Vec<Section>,
}

pub struct Section {
    pub title: String,
    pub blocks: Vec<Block>,
}

pub enum Block {
    Text(String),
    /// A text that a reader must not miss.
    Note(String),
    /// A table of names and values.
    Pairs(String, Vec<(String, String)>),
    Table(Table),
    /// Code to paste, with a description.
    Code(String, String),
    Chart(Chart),
}

pub struct Table {
    pub caption: String,
    /// Column heads; true: a column of figures, aligned to the right.
    pub heads: Vec<(&'static str, bool)>,
    pub rows: Vec<Vec<String>>,
    /// True if it is folded under a heading that opens.
    pub folded: bool,
}

/// Colours of series, by meaning.
#[derive(Clone, Copy)]
pub enum Tone {
    Allow,
    Tag,
    Throttle,
    Block,
}

impl Tone {
    pub fn class(self) -> &'static str {
        match self {
            Tone::Allow => "allow",
            Tone::Tag => "tag",
            Tone::Throttle => "throttle",
            Tone::Block => "block",
        }
    }
}

pub struct Chart {
    pub title: String,
    /// What the chart shows, in words, for readers who do not see it.
    pub says: String,
    pub kind: Kind,
}

pub enum Kind {
    /// Stacked bars: names of the series, and for each bar its name and a value for each series.
    Stacked { series: Vec<(&'static str, Tone)>, bars: Vec<(String, Vec<u64>)>, unit: &'static str },
    /// Lines over time (seconds), by name.
    Lines { series: Vec<(String, Vec<(u64, u64)>)>, unit: &'static str },
    /// Horizontal bars to the left of zero: name, value, unit.
    Behind { rows: Vec<(String, i64)>, unit: &'static str },
}

impl Section {
    pub fn new(title: impl Into<String>) -> Section {
        Section { title: title.into(), blocks: Vec::new() }
    }
    pub fn text(&mut self, text: impl Into<String>) -> &mut Section {
        self.blocks.push(Block::Text(text.into()));
        self
    }
    pub fn texts(&mut self, all: &[String]) {
        self.blocks.extend(all.iter().cloned().map(Block::Text));
    }
    pub fn note(&mut self, text: impl Into<String>) -> &mut Section {
        self.blocks.push(Block::Note(text.into()));
        self
    }
    pub fn table(&mut self, caption: &str, heads: &[(&'static str, bool)], rows: Vec<Vec<String>>) {
        self.push(caption, heads, rows, false);
    }
    pub fn folded(&mut self, caption: &str, heads: &[(&'static str, bool)], rows: Vec<Vec<String>>) {
        self.push(caption, heads, rows, true);
    }
    fn push(&mut self, caption: &str, heads: &[(&'static str, bool)], rows: Vec<Vec<String>>, folded: bool) {
        self.blocks.push(Block::Table(Table {
            caption: caption.into(),
            heads: heads.to_vec(),
            rows,
            folded,
        }));
    }
}
