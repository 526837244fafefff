// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

/// What `DataPolicy` asks of `Custody`. Custodian sets need no call: see lib/Sets.
interface ICustody {
    /// True where the appraisal policy exists and was not revoked.
    function isAppraisalPolicyLive(bytes32 appraisalPolicy) external view returns (bool);

    /// Who signs a provider's quotes and which account its fees go to; zeros where unknown.
    function providerTerms(bytes32 providerId) external view returns (address signer, bytes32 payee);

    /// Counts a job that this provider took and did not end.
    function strike(bytes32 providerId) external;
}
