//! Characters: who lives in the market.

use crate::sandbox::people::trade::Kind;

/// Somebody.
#[derive(Debug, Clone, Copy)]
pub(in crate::sandbox) struct Character {
    /// Its folder.
    pub(in crate::sandbox) id: &'static str,
    /// What people call it.
    pub(in crate::sandbox) name: &'static str,
    /// Who that is; stands under every gig.
    pub(in crate::sandbox) about: &'static str,
    /// What it asks for.
    pub(super) asks: &'static [Kind],
    /// What it can do.
    pub(super) does: &'static [Kind],
    /// Whether it also bids on what no program has a name for.
    pub(super) anything: bool,
    /// What it bids below the price asked, in percent.
    pub(super) discount: u64,
    /// Whether its first try at a direct delivery is often a hasty one.
    pub(super) hasty: bool,
    /// Whether some of what it seals does not open.
    pub(in crate::sandbox) cheats: bool,
    /// What it says with a bid.
    pub(super) bids: &'static str,
}

const HONEST: Character = Character {
    id: "",
    name: "",
    about: "",
    asks: &[],
    does: &[],
    anything: false,
    discount: 0,
    hasty: false,
    cheats: false,
    bids: "",
};

/// Everybody, in the order in which they come.
pub(in crate::sandbox) const ROSTER: &[Character] = &[
    Character {
        id: "wim",
        name: "Wim",
        about: "retired archivist, patient with beginners",
        asks: &[Kind::Sort, Kind::Transcribe, Kind::Count, Kind::Summarise],
        does: &[Kind::Summarise],
        anything: true,
        bids: "Wim here. I have time and like to do it properly.",
        ..HONEST
    },
    Character {
        id: "mara",
        name: "Mara",
        about: "data journalist with too many tables",
        asks: &[Kind::Clean, Kind::Convert, Kind::Judge],
        does: &[Kind::Summarise, Kind::Formula],
        bids: "Mara. I write for a living; you will have it in a minute.",
        ..HONEST
    },
    Character {
        id: "rufus",
        name: "Rufus",
        about: "cheap and quick; ask anybody but those who have worked with him",
        asks: &[Kind::Convert],
        does: &[Kind::Clean, Kind::Convert, Kind::Translate, Kind::Summarise, Kind::Formula],
        discount: 12,
        cheats: true,
        bids: "Rufus. Cheapest and fastest, sealed and delivered!",
        ..HONEST
    },
    Character {
        id: "tomas",
        name: "Tomás",
        about: "translator between Spanish, German and English",
        asks: &[Kind::Clean, Kind::Summarise],
        does: &[Kind::Translate, Kind::Convert],
        bids: "Tomás. I translate all day and convert files at night.",
        ..HONEST
    },
    Character {
        id: "ines",
        name: "Inês",
        about: "baker with a small web shop",
        asks: &[Kind::Translate, Kind::Formula, Kind::Judge],
        does: &[Kind::Clean, Kind::Convert],
        anything: true,
        bids: "Inês from the bakery. Between two batches I have an hour.",
        ..HONEST
    },
    Character {
        id: "juno",
        name: "Juno",
        about: "programmer of small machines",
        asks: &[Kind::Translate, Kind::Summarise, Kind::Sort],
        does: &[Kind::Formula, Kind::Clean, Kind::Convert],
        bids: "Juno. I have a script for that, and it has tests.",
        ..HONEST
    },
    Character {
        id: "bram",
        name: "Bram",
        about: "student, always in a hurry",
        asks: &[Kind::Formula, Kind::Translate],
        does: &[Kind::Clean, Kind::Convert, Kind::Summarise, Kind::Translate],
        anything: true,
        discount: 5,
        hasty: true,
        bids: "Bram! Can start now, need it for the rent :)",
        ..HONEST
    },
];
