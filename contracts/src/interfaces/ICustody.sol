// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

/// What `DataPolicy` asks of `Custody`.
interface ICustody {
    /// Everything a step needs about one set, in one call: its threshold, its size, the signers of
    /// the members named in `members` (bit i = member i) in ascending order, and whether the
    /// appraisal policy is live now (false where `appraisalPolicy` is 0: not asked).
    function quorum(bytes32 setId, uint32 setVersion, uint256 members, bytes32 appraisalPolicy)
        external
        view
        returns (uint256 t, uint256 n, bool appraisalLive, address[] memory signers);

    /// Who signs a provider's quotes and which account its fees go to; zeros where unknown.
    function providerTerms(bytes32 providerId) external view returns (address signer, bytes32 payee);

    /// Counts a job that this provider took and did not end.
    function strike(bytes32 providerId) external;
}
