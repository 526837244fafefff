//! Which contracts the tables follow. They hold everything these contracts said since the first block
//! and nothing that another one said: a contract that joins later brings its past along.

use licen_core::primitives::Address;
use sqlx::sqlite::SqliteConnection;

use crate::error::StoreError;
use crate::journal;
use crate::row;
use crate::store::Store;

const CUSTODY: &str = "custody";
const DATA_POLICY: &str = "dataPolicy";

row::row! {
    /// A contract that is followed.
    pub(crate) ScopeRow in "scope" {
        contract: Address;
        role: String,
        start_block: u64,
    }
}

/// The contracts that the tables follow, and since when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    custody: Address,
    data_policies: Vec<Address>,
    start_block: u64,
}

/// What [`Store::follow`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// The tables are empty: following begins.
    Fresh,
    /// The tables follow exactly these contracts.
    Same,
    /// The tables followed other contracts, or from another block on. They are empty now, so that
    /// following begins at the first block again.
    Emptied {
        /// What they followed; `None` where that was not recorded.
        before: Option<Scope>,
    },
}

impl Scope {
    /// `Custody`, every `DataPolicy` over it in any order, and the first block that can hold an event
    /// of any of them.
    #[must_use]
    pub fn new(custody: Address, data_policies: &[Address], start_block: u64) -> Self {
        let mut data_policies = data_policies.to_vec();
        data_policies.sort_unstable();
        data_policies.dedup();
        Self { custody, data_policies, start_block }
    }

    /// `Custody`.
    #[must_use]
    pub fn custody(&self) -> Address {
        self.custody
    }

    /// Every `DataPolicy`, ascending.
    #[must_use]
    pub fn data_policies(&self) -> &[Address] {
        &self.data_policies
    }

    fn rows(&self) -> Vec<ScopeRow> {
        let row = |contract: &Address, role: &str| ScopeRow {
            contract: *contract,
            role: role.into(),
            start_block: self.start_block,
        };
        let policies = self.data_policies.iter().map(|contract| row(contract, DATA_POLICY));
        policies.chain([row(&self.custody, CUSTODY)]).collect()
    }

    fn of_rows(rows: &[ScopeRow]) -> Option<Self> {
        let of = |role: &str| rows.iter().filter(|r| r.role == role).map(|r| r.contract).collect::<Vec<_>>();
        let (custody, start_block) = (*of(CUSTODY).first()?, rows.first()?.start_block);
        Some(Self::new(custody, &of(DATA_POLICY), start_block))
    }
}

impl std::fmt::Display for Scope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "custody {} from block {} with contracts {:?}",
            self.custody, self.start_block, self.data_policies
        )
    }
}

impl Store {
    /// The contracts that the tables follow; `None` before [`Self::follow`].
    ///
    /// # Errors
    /// The database.
    pub async fn scope(&self) -> Result<Option<Scope>, StoreError> {
        stored(&mut *self.read().await?).await
    }

    /// Makes the tables follow exactly these contracts. Where they follow others, every table that
    /// follows the chain is emptied in the same transaction; what roles decided (work, transactions,
    /// records) stays.
    ///
    /// # Errors
    /// [`StoreError::OtherChain`] where they belong to another `Custody`, the database.
    pub async fn follow(&self, scope: &Scope) -> Result<Followed, StoreError> {
        let mut tx = self.begin().await?;
        let before = stored(&mut tx).await?;
        if let Some(before) = &before {
            if before == scope {
                return Ok(Followed::Same);
            }
            if before.custody != scope.custody {
                let (stored, given) = (before.to_string(), scope.to_string());
                return Err(StoreError::OtherChain { stored, given });
            }
        }
        let begun = crate::batch::cursor(&mut tx).await?.is_some();
        journal::clear(&mut tx).await?;
        self.boundary()?;
        row::run(&mut tx, "DELETE FROM scope", &[]).await?;
        for row in scope.rows() {
            row::put(&mut tx, &row).await?;
        }
        self.boundary()?;
        tx.commit().await?;
        Ok(if begun { Followed::Emptied { before } } else { Followed::Fresh })
    }
}

async fn stored(conn: &mut SqliteConnection) -> Result<Option<Scope>, StoreError> {
    let rows = row::list::<ScopeRow>(conn, "ORDER BY contract", &[]).await?;
    Ok(Scope::of_rows(&rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::{Batch, Change};
    use crate::store::tests_support::dump;
    use crate::tables::{BlockRow, DatasetRow};
    use crate::work::NewWork;
    use licen_core::primitives::{B256, Bytes, U256};

    fn at(n: u8) -> Address {
        Address::repeat_byte(n)
    }

    fn scope(data_policies: &[u8], start_block: u64) -> Scope {
        let data_policies: Vec<Address> = data_policies.iter().map(|n| at(*n)).collect();
        Scope::new(at(0xcc), &data_policies, start_block)
    }

    fn step() -> Batch {
        let dataset = DatasetRow {
            contract: at(1),
            dataset_uid: B256::repeat_byte(1),
            dataset_root: B256::ZERO,
            owner: at(9),
            manifest_hash: B256::ZERO,
            policy_hash: B256::ZERO,
            policy_version: 1,
            royalty_per_epoch: U256::ZERO,
            token: Address::ZERO,
            max_epochs_per_run: 1,
            required_level: 1,
            policy_expiry: 0,
            paused: false,
            registered_at: 1,
            registered_block: 5,
            registered_tx: B256::ZERO,
            updated_at: 1,
        };
        let block = BlockRow { number: 5, hash: B256::ZERO, parent_hash: B256::ZERO, timestamp: 1 };
        Batch {
            blocks: vec![block],
            changes: vec![(5, Change::Dataset(Box::new(dataset)))],
            work: vec![NewWork { job_id: B256::ZERO, phase: "p".into(), data: Bytes::new() }],
            ..Batch::default()
        }
    }

    #[tokio::test]
    async fn other_contracts_empty_what_follows_the_chain_and_nothing_else() {
        let store = Store::in_memory().await.unwrap();
        assert_eq!(store.scope().await.unwrap(), None);
        assert_eq!(store.follow(&scope(&[1], 5)).await.unwrap(), Followed::Fresh);
        let empty = dump(&store).await;
        store.apply(&step()).await.unwrap();
        let full = dump(&store).await;
        assert_eq!(store.follow(&scope(&[1], 5)).await.unwrap(), Followed::Same);
        assert_eq!(dump(&store).await, full);
        for (now, before) in [
            (scope(&[2, 1], 5), scope(&[1], 5)),
            (scope(&[1], 5), scope(&[1, 2], 5)),
            (scope(&[1], 4), scope(&[1], 5)),
        ] {
            let found = store.follow(&now).await.unwrap();
            assert_eq!(found, Followed::Emptied { before: Some(before) });
            assert_eq!(store.scope().await.unwrap(), Some(now.clone()));
            assert_eq!(store.follow(&now).await.unwrap(), Followed::Same, "{now}");
            assert_eq!(store.cursor().await.unwrap(), None);
            assert_eq!(store.dataset(at(1), B256::repeat_byte(1)).await.unwrap(), None);
            assert_eq!(store.window().await.unwrap(), []);
            let left = dump(&store).await.into_iter().filter(|row| !row.starts_with("scope"));
            let new = left.filter(|row| !empty.contains(row)).collect::<Vec<_>>();
            assert!(new.len() == 1 && new[0].starts_with("work"), "{new:?}");
            store.apply(&step()).await.unwrap();
        }
        let order = Scope::new(at(0xcc), &[at(2), at(1), at(2)], 4);
        assert_eq!(order, Scope::new(at(0xcc), &[at(1), at(2)], 4));
    }

    #[tokio::test]
    async fn another_custody_is_another_world() {
        let store = Store::in_memory().await.unwrap();
        store.follow(&scope(&[1], 5)).await.unwrap();
        store.apply(&step()).await.unwrap();
        let full = dump(&store).await;
        let refused = store.follow(&Scope::new(at(0xcd), &[at(1)], 5)).await;
        assert!(matches!(refused, Err(StoreError::OtherChain { .. })), "{refused:?}");
        assert_eq!(dump(&store).await, full);
    }

    #[tokio::test]
    async fn a_power_cut_while_emptying_leaves_all_or_nothing() {
        let store = Store::in_memory().await.unwrap();
        store.follow(&scope(&[1], 5)).await.unwrap();
        store.apply(&step()).await.unwrap();
        let full = dump(&store).await;
        for boundary in 0..2 {
            store.fuse.set(boundary);
            assert!(store.follow(&scope(&[1, 2], 5)).await.is_err());
            store.fuse.set(i64::MAX);
            assert_eq!(dump(&store).await, full, "power cut at boundary {boundary}");
        }
        // Whoever recorded nothing may have followed anything.
        let store = Store::in_memory().await.unwrap();
        store.apply(&step()).await.unwrap();
        assert_eq!(store.follow(&scope(&[1], 5)).await.unwrap(), Followed::Emptied { before: None });
    }
}
