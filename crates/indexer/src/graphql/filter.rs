//! `where` and `order_by`, named as Hasura names them, turned into questions to the store.

use std::str::FromStr;

use async_graphql::{Enum, Error, InputObject};
use licen_core::job::{JobState, Reason};
use licen_core::primitives::{Address, B256, U256};
use licen_core::unit::Unit;
use licen_store::{Op, Select, Value, Where};

/// Most rows of one list.
pub(crate) const MAX_LIMIT: u32 = 1_000;
/// Rows where nothing else is asked.
pub(crate) const DEFAULT_LIMIT: u32 = 100;

/// How a string, hash, address, amount or state is compared.
#[derive(Debug, Clone, Default, InputObject)]
#[graphql(name = "String_comparison_exp")]
pub(crate) struct TextExp {
    #[graphql(name = "_eq")]
    eq: Option<String>,
    #[graphql(name = "_neq")]
    neq: Option<String>,
    #[graphql(name = "_in")]
    one_of: Option<Vec<String>>,
    #[graphql(name = "_gt")]
    gt: Option<String>,
    #[graphql(name = "_gte")]
    gte: Option<String>,
    #[graphql(name = "_lt")]
    lt: Option<String>,
    #[graphql(name = "_lte")]
    lte: Option<String>,
    #[graphql(name = "_is_null")]
    is_null: Option<bool>,
}

/// How a number is compared.
#[derive(Debug, Clone, Default, InputObject)]
#[graphql(name = "Int_comparison_exp")]
pub(crate) struct IntExp {
    #[graphql(name = "_eq")]
    eq: Option<u64>,
    #[graphql(name = "_neq")]
    neq: Option<u64>,
    #[graphql(name = "_in")]
    one_of: Option<Vec<u64>>,
    #[graphql(name = "_gt")]
    gt: Option<u64>,
    #[graphql(name = "_gte")]
    gte: Option<u64>,
    #[graphql(name = "_lt")]
    lt: Option<u64>,
    #[graphql(name = "_lte")]
    lte: Option<u64>,
    #[graphql(name = "_is_null")]
    is_null: Option<bool>,
}

/// How a yes or no is compared.
#[derive(Debug, Clone, Default, InputObject)]
#[graphql(name = "Boolean_comparison_exp")]
pub(crate) struct BoolExp {
    #[graphql(name = "_eq")]
    pub(crate) eq: Option<bool>,
}

/// Which way a list is sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(name = "order_by", rename_items = "snake_case")]
pub(crate) enum Direction {
    Asc,
    Desc,
}

/// What a text of the API is in its column.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Kind {
    Hash,
    Account,
    Amount,
    Text,
    State,
    FailReason,
    Unit,
}

fn value(kind: Kind, field: &str, text: &str) -> Result<Value, Error> {
    let bad = |what: &str| Error::new(format!("{field}: {text:?} is not {what}"));
    Ok(match kind {
        Kind::Hash => B256::from_str(text).map_err(|_| bad("0x and 64 hex digits"))?.into(),
        Kind::Account => Address::from_str(text).map_err(|_| bad("an address"))?.into(),
        Kind::Amount => U256::from_str_radix(text, 10).map_err(|_| bad("a decimal number"))?.into(),
        Kind::Text => text.to_string().into(),
        Kind::State => {
            let state = (1..=u8::MAX).map_while(JobState::from_chain).find(|s| s.name() == text);
            (state.ok_or_else(|| bad("a state of a job"))? as u8).into()
        }
        Kind::Unit => {
            let unit = (1..=u8::MAX).map_while(Unit::from_chain).find(|u| u.name() == text);
            (unit.ok_or_else(|| bad("a unit"))? as u8).into()
        }
        Kind::FailReason => {
            let reason = Reason::ALL.into_iter().find(|r| r.name() == text);
            (reason.ok_or_else(|| bad("a reason code"))? as u8).into()
        }
    })
}

/// A comparison with one value.
type MakeOp = fn(Value) -> Op;

/// One field's comparison, as conditions on its column.
pub(crate) trait Compare {
    fn conditions(&self, field: &str, column: &str, kind: Kind, out: &mut Vec<Where>) -> Result<(), Error>;
}

impl Compare for TextExp {
    fn conditions(&self, field: &str, column: &str, kind: Kind, out: &mut Vec<Where>) -> Result<(), Error> {
        let mut push = |op| out.push(Where::Is(column.into(), op));
        let parse = |text: &String| value(kind, field, text);
        let singles: [(&Option<String>, MakeOp); 6] = [
            (&self.eq, Op::Eq),
            (&self.neq, Op::Neq),
            (&self.gt, Op::Gt),
            (&self.gte, Op::Gte),
            (&self.lt, Op::Lt),
            (&self.lte, Op::Lte),
        ];
        for (text, op) in singles {
            if let Some(text) = text {
                push(op(parse(text)?));
            }
        }
        if let Some(texts) = &self.one_of {
            push(Op::In(texts.iter().map(parse).collect::<Result<_, _>>()?));
        }
        if let Some(is_null) = self.is_null {
            push(Op::IsNull(is_null));
        }
        Ok(())
    }
}

impl Compare for IntExp {
    fn conditions(&self, _: &str, column: &str, _: Kind, out: &mut Vec<Where>) -> Result<(), Error> {
        let mut push = |op| out.push(Where::Is(column.into(), op));
        let singles: [(Option<u64>, MakeOp); 6] = [
            (self.eq, Op::Eq),
            (self.neq, Op::Neq),
            (self.gt, Op::Gt),
            (self.gte, Op::Gte),
            (self.lt, Op::Lt),
            (self.lte, Op::Lte),
        ];
        for (number, op) in singles {
            if let Some(number) = number {
                push(op(number.into()));
            }
        }
        if let Some(numbers) = &self.one_of {
            push(Op::In(numbers.iter().map(|n| (*n).into()).collect()));
        }
        if let Some(is_null) = self.is_null {
            push(Op::IsNull(is_null));
        }
        Ok(())
    }
}

impl Compare for BoolExp {
    fn conditions(&self, _: &str, column: &str, _: Kind, out: &mut Vec<Where>) -> Result<(), Error> {
        if let Some(yes) = self.eq {
            out.push(Where::Is(column.into(), Op::Eq(yes.into())));
        }
        Ok(())
    }
}

/// A `where` argument.
pub(crate) trait Filter {
    fn condition(&self, chain_time: u64) -> Result<Where, Error>;
}

/// An element of `order_by`.
pub(crate) trait Order {
    fn columns(&self, out: &mut Vec<(String, bool)>);
}

/// Declares the `where` and `order_by` inputs of one entity.
macro_rules! inputs {
    (
        $filter:ident as $filter_name:literal, $order:ident as $order_name:literal,
        $({ $($extra:ident : $extra_ty:ty => $extra_fn:expr),* })?
        $($field:ident : $ty:ty => $column:literal, $kind:ident;)+
    ) => {
        /// Conditions; all that are given have to hold.
        #[derive(Debug, Clone, Default, async_graphql::InputObject)]
        #[graphql(name = $filter_name)]
        pub(crate) struct $filter {
            #[graphql(name = "_and")]
            all: Option<Vec<$filter>>,
            #[graphql(name = "_or")]
            any: Option<Vec<$filter>>,
            #[graphql(name = "_not")]
            not: Option<Box<$filter>>,
            $($($extra: Option<$extra_ty>,)*)?
            $($field: Option<$ty>,)+
        }

        impl $crate::graphql::filter::Filter for $filter {
            fn condition(&self, chain_time: u64) -> Result<licen_store::Where, async_graphql::Error> {
                use $crate::graphql::filter::{Compare as _, Kind};
                let nested = |list: &[$filter]| -> Result<Vec<_>, async_graphql::Error> {
                    list.iter().map(|f| f.condition(chain_time)).collect()
                };
                let mut out = Vec::new();
                if let Some(list) = &self.all {
                    out.push(licen_store::Where::And(nested(list)?));
                }
                if let Some(list) = &self.any {
                    out.push(licen_store::Where::Or(nested(list)?));
                }
                if let Some(inner) = &self.not {
                    out.push(licen_store::Where::Not(Box::new(inner.condition(chain_time)?)));
                }
                $($(if let Some(exp) = &self.$extra {
                    let build: fn(&$extra_ty, u64) -> Option<licen_store::Where> = $extra_fn;
                    out.extend(build(exp, chain_time));
                })*)?
                $(if let Some(exp) = &self.$field {
                    exp.conditions(stringify!($field), $column, Kind::$kind, &mut out)?;
                })+
                Ok(licen_store::Where::And(out))
            }
        }

        /// Which way each field is sorted.
        #[derive(Debug, Clone, Default, async_graphql::InputObject)]
        #[graphql(name = $order_name)]
        pub(crate) struct $order {
            $($field: Option<$crate::graphql::filter::Direction>,)+
        }

        impl $crate::graphql::filter::Order for $order {
            fn columns(&self, out: &mut Vec<(String, bool)>) {
                $(if let Some(direction) = self.$field {
                    out.push(($column.to_string(), direction == $crate::graphql::filter::Direction::Desc));
                })+
            }
        }
    };
}
pub(crate) use inputs;

/// The arguments of a list, as a question to the store. `within` is what the place of the field in
/// the query already demands.
pub(crate) fn select<F: Filter, O: Order>(
    within: Option<Where>,
    filter: Option<&F>,
    order: Option<&Vec<O>>,
    limit: Option<u32>,
    offset: Option<u32>,
    chain_time: u64,
) -> Result<Select, Error> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if limit > MAX_LIMIT {
        return Err(Error::new(format!("limit {limit} is above {MAX_LIMIT}; use offset for the next page")));
    }
    let mut all: Vec<Where> = within.into_iter().collect();
    if let Some(filter) = filter {
        all.push(filter.condition(chain_time)?);
    }
    let mut columns = Vec::new();
    for element in order.into_iter().flatten() {
        element.columns(&mut columns);
    }
    Ok(Select { filter: Where::And(all), order: columns, limit, offset: offset.unwrap_or(0) })
}
