//! What an appraisal policy may ask of a platform. Each choice stands in the document; what it does
//! not say is the strict answer.

use dcap_qvl::TcbStatus;
use dcap_qvl::policy::PckCertFlag;
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;

/// Statuses that Intel calls out of date: they also need a time of grace.
const OUT_OF_DATE: [TcbStatus; 2] = [TcbStatus::OutOfDate, TcbStatus::OutOfDateConfigurationNeeded];

/// Demands on the platform behind a TDX or SGX quote. The default accepts `UpToDate` and none of the
/// flags.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct IntelRules {
    /// Accepted TCB statuses. `Revoked` is refused whatever stands here.
    pub statuses: Vec<TcbStatus>,
    /// Security advisories that must not apply, for example `INTEL-SA-00837`.
    pub denied_advisories: Vec<String>,
    /// Smallest `tcbEvaluationDataNumber` of the collateral: keeps old collateral from being replayed.
    pub min_evaluation_number: u32,
    /// How long an out-of-date TCB, where accepted at all, is tolerated after its TCB date, seconds.
    pub out_of_date_grace: u64,
    /// Oldest collateral, seconds since TCB info, QE identity and revocation lists were issued; 0
    /// leaves it to their own expiry.
    pub max_collateral_age: u64,
    /// Accept simultaneous multithreading: sibling threads share caches, which leaks by timing.
    pub allow_smt: bool,
    /// Accept platforms whose packages can be changed.
    pub allow_dynamic_platform: bool,
    /// Accept platforms whose keys Intel's registration service keeps.
    pub allow_cached_keys: bool,
}

impl Default for IntelRules {
    fn default() -> Self {
        Self {
            statuses: vec![TcbStatus::UpToDate],
            denied_advisories: Vec::new(),
            min_evaluation_number: 0,
            out_of_date_grace: 0,
            max_collateral_age: 0,
            allow_smt: false,
            allow_dynamic_platform: false,
            allow_cached_keys: false,
        }
    }
}

/// What Intel's collateral says about a platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct IntelTcb {
    /// Platform and quoting enclave together.
    pub status: TcbStatus,
    /// Advisories that apply.
    pub advisories: Vec<String>,
    /// The lower `tcbEvaluationDataNumber` of TCB info and QE identity.
    pub evaluation_number: u32,
    /// Unix seconds of the TCB level that the platform meets.
    pub tcb_date: u64,
    /// Unix seconds at which the oldest part of the collateral was issued.
    pub collateral_issued: u64,
    /// Unix seconds after which the collateral is worth nothing.
    pub collateral_expires: u64,
    /// Flag of the platform certificate.
    pub smt: PckCertFlag,
    /// Flag of the platform certificate.
    pub dynamic_platform: PckCertFlag,
    /// Flag of the platform certificate.
    pub cached_keys: PckCertFlag,
}

impl IntelRules {
    pub(crate) fn check(&self, tcb: &IntelTcb, now: u64) -> Result<(), Refusal> {
        if tcb.status == TcbStatus::Revoked || !self.statuses.contains(&tcb.status) {
            return Err(Refusal::TcbStatus(tcb.status));
        }
        if OUT_OF_DATE.contains(&tcb.status) && tcb.tcb_date.saturating_add(self.out_of_date_grace) < now {
            return Err(Refusal::TcbGrace { status: tcb.status, since: tcb.tcb_date });
        }
        let denied = |id: &&String| self.denied_advisories.iter().any(|d| d.eq_ignore_ascii_case(id));
        if let Some(advisory) = tcb.advisories.iter().find(denied) {
            return Err(Refusal::Advisory(advisory.clone()));
        }
        if tcb.evaluation_number < self.min_evaluation_number {
            return Err(Refusal::EvaluationNumber {
                found: tcb.evaluation_number,
                min: self.min_evaluation_number,
            });
        }
        let age = now.saturating_sub(tcb.collateral_issued);
        if self.max_collateral_age != 0 && age > self.max_collateral_age {
            return Err(Refusal::CollateralAge { seconds: age, max: self.max_collateral_age });
        }
        let flags = [
            (tcb.smt, self.allow_smt, "simultaneous multithreading"),
            (tcb.dynamic_platform, self.allow_dynamic_platform, "a dynamic platform"),
            (tcb.cached_keys, self.allow_cached_keys, "cached keys"),
        ];
        match flags.into_iter().find(|(flag, allowed, _)| *flag == PckCertFlag::True && !allowed) {
            Some((_, _, what)) => Err(Refusal::PlatformFlag(what)),
            None => Ok(()),
        }
    }
}

/// Processors whose roots of trust are built in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Product {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004 and 8004.
    Genoa,
    /// EPYC 9005.
    Turin,
}

/// Security version numbers of AMD's firmware.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AmdSvn {
    /// Turin and later only; 0 where there is none.
    pub fmc: u8,
    /// Boot loader of the security processor.
    pub bootloader: u8,
    /// Operating system of the security processor.
    pub tee: u8,
    /// SNP firmware.
    pub snp: u8,
    /// Lowest microcode of all cores.
    pub microcode: u8,
}

impl AmdSvn {
    fn reaches(&self, min: &Self) -> bool {
        self.fmc >= min.fmc
            && self.bootloader >= min.bootloader
            && self.tee >= min.tee
            && self.snp >= min.snp
            && self.microcode >= min.microcode
    }
}

/// Demands on the platform behind an SEV-SNP report. AMD publishes no statuses: what is too old is
/// for the policy to say. The default refuses every product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct AmdRules {
    /// Accepted processors.
    pub products: Vec<Product>,
    /// Oldest report format. Version 2 does not say which processor made it.
    pub min_report_version: u32,
    /// Smallest reported and committed versions.
    pub min_tcb: AmdSvn,
    /// Accept simultaneous multithreading.
    pub allow_smt: bool,
}

impl Default for AmdRules {
    fn default() -> Self {
        Self { products: Vec::new(), min_report_version: 3, min_tcb: AmdSvn::default(), allow_smt: false }
    }
}

/// What a report says about its platform.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AmdTcb {
    /// Of the certificate that signed it.
    pub product: Product,
    /// Format of the report.
    pub report_version: u32,
    /// What the signing key was derived from.
    pub reported: AmdSvn,
    /// What the platform cannot be taken back behind.
    pub committed: AmdSvn,
    /// Whether simultaneous multithreading is on.
    pub smt: bool,
}

impl AmdRules {
    pub(crate) fn check(&self, tcb: &AmdTcb) -> Result<(), Refusal> {
        if !self.products.contains(&tcb.product) {
            return Err(Refusal::Product(tcb.product));
        }
        if tcb.report_version < self.min_report_version {
            return Err(Refusal::ReportVersion { found: tcb.report_version, min: self.min_report_version });
        }
        if !tcb.reported.reaches(&self.min_tcb) || !tcb.committed.reaches(&self.min_tcb) {
            return Err(Refusal::Svn { reported: tcb.reported, committed: tcb.committed });
        }
        if tcb.smt && !self.allow_smt {
            return Err(Refusal::PlatformFlag("simultaneous multithreading"));
        }
        Ok(())
    }
}
