//! The dated revisions of the protocol and the two eras they fall into.

use serde::{Deserialize, Serialize};

/// A dated revision of the protocol, oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Revision {
    /// 2024-11-05: the first one.
    #[serde(rename = "2024-11-05")]
    V2024_11_05,
    /// 2025-03-26: Streamable HTTP, batches.
    #[serde(rename = "2025-03-26")]
    V2025_03_26,
    /// 2025-06-18: structured content, the version header.
    #[serde(rename = "2025-06-18")]
    V2025_06_18,
    /// 2025-11-25: icons, experimental tasks.
    #[serde(rename = "2025-11-25")]
    V2025_11_25,
    /// 2026-07-28: stateless requests.
    #[serde(rename = "2026-07-28")]
    V2026_07_28,
}

/// The way in which a revision establishes the capabilities of the peers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Era {
    /// Once, by an `initialize` handshake.
    Legacy,
    /// With every request, in its `_meta`.
    Modern,
}

impl Era {
    /// `legacy` or `modern`.
    pub fn as_str(self) -> &'static str {
        match self {
            Era::Legacy => "legacy",
            Era::Modern => "modern",
        }
    }
}

impl Revision {
    /// Every revision, oldest first.
    pub const ALL: [Revision; 5] = [
        Revision::V2024_11_05,
        Revision::V2025_03_26,
        Revision::V2025_06_18,
        Revision::V2025_11_25,
        Revision::V2026_07_28,
    ];
    /// The newest revision of the modern era.
    pub const LATEST: Revision = Revision::V2026_07_28;
    /// The newest revision of the legacy era, which a server offers to a client that requests an unknown one
    /// (lifecycle, "Version Negotiation").
    pub const LATEST_LEGACY: Revision = Revision::V2025_11_25;

    /// Returns true if messages may come in batches (2025-03-26, "Batching"; removed by the next one).
    pub fn has_batches(self) -> bool {
        self == Revision::V2025_03_26
    }

    /// Returns true if an event stream begins with an empty event that only carries an id (2025-11-25,
    /// "Sending Messages to the Server"). Clients of older revisions try to read its data.
    pub fn primes_streams(self) -> bool {
        self == Revision::V2025_11_25
    }

    /// The date in its wire form.
    pub fn as_str(self) -> &'static str {
        match self {
            Revision::V2024_11_05 => "2024-11-05",
            Revision::V2025_03_26 => "2025-03-26",
            Revision::V2025_06_18 => "2025-06-18",
            Revision::V2025_11_25 => "2025-11-25",
            Revision::V2026_07_28 => "2026-07-28",
        }
    }

    /// The revision of that date, if there is one.
    pub fn parse(text: &str) -> Option<Revision> {
        Revision::ALL.into_iter().find(|revision| revision.as_str() == text)
    }

    /// The era it belongs to.
    pub fn era(self) -> Era {
        if self >= Revision::V2026_07_28 { Era::Modern } else { Era::Legacy }
    }

    /// The revisions of an era, newest first.
    pub fn of_era(era: Era) -> impl Iterator<Item = Revision> {
        Revision::ALL.into_iter().rev().filter(move |revision| revision.era() == era)
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
