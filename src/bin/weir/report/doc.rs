//! A report as headings, sentences, tables and charts, apart from how it is written down.

/// What is said, in order.
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
    /// Of more weight than a text: what a reader must not miss.
    Note(String),
    /// Name and value.
    Pairs(String, Vec<(String, String)>),
    Table(Table),
    /// To be pasted, with what it is.
    Code(String, String),
    Chart(Chart),
}

pub struct Table {
    pub caption: String,
    /// Heads; figures stand to the right.
    pub heads: Vec<(&'static str, bool)>,
    pub rows: Vec<Vec<String>>,
    /// Behind a heading that opens.
    pub folded: bool,
}

/// Colours of series, by what they stand for.
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
    /// What it shows, in words, for who does not see it.
    pub says: String,
    pub kind: Kind,
}

pub enum Kind {
    /// Bars one upon the other: names of series, and for each bar its name and a value a series.
    Stacked { series: Vec<(&'static str, Tone)>, bars: Vec<(String, Vec<u64>)>, unit: &'static str },
    /// Lines over time (seconds): a name each.
    Lines { series: Vec<(String, Vec<(u64, u64)>)>, unit: &'static str },
    /// Horizontal bars to the left of zero: name, value, what it is.
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
