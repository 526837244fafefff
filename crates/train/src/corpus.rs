//! Text made by a small grammar from a seed: what the tiny base model learned, and the sample data set.
//!
//! The grammar states facts (where a thing is, who has it, what color it is, how a word is spelled) and asks for one
//! of them. Words are mixed from lists and from invented syllables, so that answering means copying from the facts.

use crate::random::Rng;

const NAMES: [&str; 24] = [
    "Ada", "Ben", "Cleo", "Dan", "Eva", "Finn", "Gus", "Hana", "Ivo", "Jana", "Kai", "Lena", "Max", "Nora",
    "Otto", "Pia", "Quinn", "Rosa", "Sam", "Tess", "Uma", "Vik", "Wren", "Zoe",
];
const THINGS: [&str; 28] = [
    "lamp", "kite", "drum", "coin", "boot", "ring", "map", "cup", "bell", "rope", "jar", "key", "book",
    "hat", "pen", "box", "ball", "card", "flask", "sack", "clock", "brush", "plate", "stone", "spoon",
    "vial", "glove", "scarf",
];
const PLACES: [&str; 24] = [
    "barn", "attic", "cellar", "garden", "kitchen", "tower", "shed", "mill", "harbor", "market", "school",
    "forest", "cave", "tent", "garage", "library", "office", "stable", "church", "bakery", "cabin", "meadow",
    "station", "lab",
];
const COLORS: [&str; 14] = [
    "red", "blue", "green", "grey", "white", "black", "brown", "pink", "gold", "violet", "orange", "teal",
    "amber", "silver",
];
const SYLLABLES: [&str; 20] = [
    "ba", "ren", "ti", "mo", "lun", "ka", "sel", "dor", "vi", "gra", "nu", "pel", "os", "fi", "ra", "tol",
    "wen", "zu", "hem", "ick",
];

/// An endless stream of documents of a few sentences each.
#[derive(Debug, Clone)]
pub struct Corpus {
    rng: Rng,
}

impl Corpus {
    /// The stream of a seed.
    pub fn new(seed: u64) -> Self {
        Corpus { rng: Rng::new(seed, "corpus") }
    }

    /// The next document: facts, a question, its answer.
    pub fn document(&mut self) -> String {
        match self.rng.below(10) {
            0 => self.spelling(),
            1 => self.repetition(),
            _ => self.facts(),
        }
    }

    fn word(&mut self, list: &[&'static str]) -> String {
        if self.rng.below(3) > 0 {
            return (*self.rng.pick(list)).to_owned();
        }
        let count = 2 + self.rng.below(2);
        (0..count).map(|_| self.rng.pick(&SYLLABLES)).collect()
    }

    /// `list` holds names: the word starts with a capital.
    fn name(&mut self) -> String {
        let word = self.word(&NAMES);
        let mut letters = word.chars();
        letters
            .next()
            .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
            .unwrap_or_default()
    }

    fn spelling(&mut self) -> String {
        let list = [&PLACES[..], &THINGS, &COLORS][self.rng.below(3)];
        let word = self.word(list);
        let letters: Vec<String> = word.chars().map(String::from).collect();
        format!("Q: Spell {word}. A: {}.", letters.join(" "))
    }

    fn repetition(&mut self) -> String {
        let words: Vec<String> = (0..2 + self.rng.below(4)).map(|_| self.word(&THINGS)).collect();
        match self.rng.below(2) {
            0 => format!("Q: Say {}. A: {}.", words.join(" "), words.join(" ")),
            _ => {
                let last = words.last().cloned().unwrap_or_default();
                format!("Q: Which word comes last in {}? A: {last}.", words.join(" "))
            }
        }
    }

    /// One to three things with a place, an owner and a color each; one question about one of them.
    fn facts(&mut self) -> String {
        let count = 1 + self.rng.below(3);
        let mut text = String::new();
        let mut questions = Vec::new();
        for _ in 0..count {
            let mut thing = self.word(&THINGS);
            if self.rng.below(3) == 0 {
                thing += &format!(" {}", 1 + self.rng.below(99));
            }
            let numbered = thing.ends_with(|c: char| c.is_ascii_digit());
            let the = if numbered { thing.clone() } else { format!("the {thing}") };
            let (place, name, color) = (self.word(&PLACES), self.name(), self.word(&COLORS));
            let mut facts = vec![
                (format!("{name} has {the}"), format!("Who has {the}? A: {name}.")),
                (format!("{the} is in the {place}"), format!("Where is {the}? A: in the {place}.")),
                (format!("{the} is {color}"), format!("What color is {the}? A: {color}.")),
            ];
            facts.remove(self.rng.below(facts.len()));
            for i in self.rng.permutation(facts.len()) {
                let (fact, question) = &facts[i];
                text += &sentence(fact);
                questions.push(question.clone());
            }
        }
        let question = self.rng.below(questions.len());
        format!("{text}Q: {}", questions[question])
    }
}

/// Capital first letter, full stop, a space.
fn sentence(fact: &str) -> String {
    let (first, rest) = fact.split_at(1);
    format!("{}{rest}. ", first.to_ascii_uppercase())
}

/// The sample data set: an answer format that the corpus never has. JSON Lines of {"prompt","completion"}.
pub fn vials(rows: usize, seed: u64) -> String {
    let mut corpus = Corpus { rng: Rng::new(seed, "vials") };
    let mut text = String::new();
    for number in corpus.rng.permutation(rows) {
        let (place, color) = (corpus.word(&PLACES), corpus.word(&COLORS));
        let vial = number + 1;
        let mut facts = [format!("vial {vial} is in the {place}"), format!("vial {vial} is {color}")];
        if corpus.rng.below(2) == 0 {
            facts.reverse();
        }
        let facts: String = facts.iter().map(|fact| sentence(fact)).collect();
        let row = serde_json::json!({
            "prompt": format!("{facts}Q: Label of vial {vial}? A:"),
            "completion": format!(" {place}-{color}"),
        });
        text += &format!("{row}\n");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_answer_from_their_facts() {
        let mut corpus = Corpus::new(1);
        let mut seen = [0; 3];
        for _ in 0..500 {
            let text = corpus.document();
            assert!(text.is_ascii() && text.len() < 400, "{text}");
            let (before, answer) = text.rsplit_once(" A: ").unwrap();
            let answer = answer.trim_end_matches('.');
            for (i, start) in ["Q: Where", "Q: Who", "Q: What color"].iter().enumerate() {
                if let Some((facts, _)) = before.split_once(start) {
                    assert!(facts.contains(answer), "{text}");
                    seen[i] += 1;
                }
            }
        }
        assert!(seen.iter().all(|n| *n > 50), "{seen:?}");
    }

    #[test]
    fn the_committed_sample_is_what_the_generator_writes() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/data/vials.jsonl");
        assert_eq!(vials(500, 1), std::fs::read_to_string(path).unwrap());
    }
}
