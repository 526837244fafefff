//! The demo's crashes: one role is killed without warning at a named moment and started again. The
//! job must still end, settled or refunded.

use std::str::FromStr;

/// Who is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Storage, index and orchestrator.
    Node,
    /// Every custodian at once.
    Custodian,
    /// The trainer; its keys die with it.
    Compute,
}

/// When.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// The job is escrowed; nobody has judged yet, or somebody is about to.
    Granted,
    /// Training runs.
    Running,
    /// Custodians hold the result and nobody has settled.
    Delivered,
}

/// One crash, written ROLE@MOMENT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Restart {
    /// Who.
    pub role: Role,
    /// When.
    pub moment: Moment,
}

impl Restart {
    /// Only keys lost while they train cost the attempt: custodians call it silent, and the next one starts.
    #[must_use]
    pub fn loses_the_attempt(self) -> bool {
        self == Self { role: Role::Compute, moment: Moment::Running }
    }

    /// The programs of this role, by their names in the world.
    #[must_use]
    pub fn programs(self) -> &'static [&'static str] {
        match self.role {
            Role::Node => &["node"],
            Role::Custodian => &["custodian1", "custodian2", "custodian3"],
            Role::Compute => &["compute"],
        }
    }

    /// What happens, in one line.
    #[must_use]
    pub fn title(self) -> String {
        let who = match self.role {
            Role::Node => "the node",
            Role::Custodian => "every custodian",
            Role::Compute => "compute",
        };
        let when = match self.moment {
            Moment::Granted => "while the job waits to start",
            Moment::Running => "while it trains",
            Moment::Delivered => "after the result is delivered, before anybody settles",
        };
        format!("{who} is killed {when}, and started again")
    }
}

impl FromStr for Restart {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            "expected ROLE@MOMENT: node, custodian or compute at granted, running or delivered".to_string()
        };
        let (role, moment) = text.split_once('@').ok_or_else(wrong)?;
        let role = match role {
            "node" => Role::Node,
            "custodian" => Role::Custodian,
            "compute" => Role::Compute,
            _ => return Err(wrong()),
        };
        let moment = match moment {
            "granted" => Moment::Granted,
            "running" => Moment::Running,
            "delivered" => Moment::Delivered,
            _ => return Err(wrong()),
        };
        Ok(Self { role, moment })
    }
}
