// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { Member, Provider } from "../Types.sol";

/// @title Custodian sets, providers and appraisal policies
/// @notice Anybody writes records, a record is changed by its creator only, and none means anything until
/// an owner's policy or a request names it. An id is keccak256(abi.encode(creator, salt)).
interface ICustody {
    /// @notice A version of a custodian set: t of its members must agree.
    event CustodianSetVersion(
        bytes32 indexed setId, uint32 setVersion, address indexed creator, uint8 t, Member[] members
    );

    /// @notice A provider's record, whole, each time it is written.
    event ProviderSet(bytes32 indexed providerId, Provider provider);

    /// @notice An appraisal policy began with these entries, all live.
    event AppraisalPolicyCreated(bytes32 indexed appraisalPolicy, address indexed creator, bytes32[] entries);

    /// @notice An entry (the root of reference values) is live from `liveAt` on.
    event AppraisalEntryAdded(bytes32 indexed appraisalPolicy, bytes32 indexed entry, uint64 liveAt);

    /// @notice An entry is refused for ever.
    event AppraisalEntryRevoked(bytes32 indexed appraisalPolicy, bytes32 indexed entry);

    /// @notice No job starts under this appraisal policy any more.
    event AppraisalPolicyEnded(bytes32 indexed appraisalPolicy);

    /// @notice A member's word on its audit log: `sequence` records, of which the last hashes to `head`.
    event AuditAnchored(bytes32 indexed setId, address indexed member, uint64 sequence, bytes32 head);

    /// @notice Makes version 1 of a custodian set.
    /// @param t How many members must agree: 1 to their number.
    /// @param members 1 to MAX_MEMBERS, with distinct signers.
    function createSet(bytes32 salt, uint8 t, Member[] calldata members) external returns (bytes32 setId);

    /// @notice Adds the next version of a set, by its creator. Older versions stay as they are.
    function addSetVersion(bytes32 setId, uint8 t, Member[] calldata members)
        external
        returns (uint32 setVersion);

    /// @notice A member states where its audit log stands. Nothing is kept: the event is the statement.
    function anchorAudit(bytes32 setId, uint32 setVersion, uint16 memberIndex, uint64 sequence, bytes32 head)
        external;

    /// @notice Registers a provider of compute.
    /// @param signer Signs the provider's quotes.
    /// @param payee The account that its fees go to.
    /// @param platformIds The platforms it says it runs.
    function registerProvider(
        bytes32 salt,
        address signer,
        bytes32 payee,
        bytes32 jurisdiction,
        bytes32[] calldata platformIds
    ) external returns (bytes32 providerId);

    /// @notice Replaces a provider's record, by its creator. Opened jobs keep the payee of their quote.
    function updateProvider(
        bytes32 providerId,
        address signer,
        bytes32 payee,
        bytes32 jurisdiction,
        bytes32[] calldata platformIds
    ) external;

    /// @notice Makes an appraisal policy. The entries it starts with are live at once.
    function createAppraisalPolicy(bytes32 salt, bytes32[] calldata entries)
        external
        returns (bytes32 appraisalPolicy);

    /// @notice Adds an entry that is live after APPRAISAL_DELAY, by the policy's creator.
    function addAppraisalEntry(bytes32 appraisalPolicy, bytes32 entry) external;

    /// @notice Refuses an entry at once and for ever, by the policy's creator.
    function revokeAppraisalEntry(bytes32 appraisalPolicy, bytes32 entry) external;

    /// @notice Ends an appraisal policy at once and for ever, by its creator. Running jobs end as they began.
    function revokeAppraisalPolicy(bytes32 appraisalPolicy) external;

    /// @notice The members of a set's version, by index. Reverts where there is none.
    function setOf(bytes32 setId, uint32 setVersion) external view returns (uint8 t, Member[] memory members);

    /// @notice The newest version; 0 where the set does not exist.
    function latestSetVersion(bytes32 setId) external view returns (uint32);

    /// @notice A provider's record; zeros where it is unknown.
    function providerOf(bytes32 providerId) external view returns (Provider memory);

    /// @notice Who signs a provider's quotes and which account its fees go to; zeros where it is unknown.
    function providerTerms(bytes32 providerId) external view returns (address signer, bytes32 payee);

    /// @notice True where the entry's time has come and neither it nor its policy was revoked.
    function isEntryLive(bytes32 appraisalPolicy, bytes32 entry) external view returns (bool);

    /// @notice True where the appraisal policy exists and was not revoked.
    function isAppraisalPolicyLive(bytes32 appraisalPolicy) external view returns (bool);

    /// @notice The id of every record here.
    function idOf(address creator, bytes32 salt) external pure returns (bytes32);

    /// @notice The most members of one set.
    function MAX_MEMBERS() external view returns (uint256);

    /// @notice How long an added entry waits before it is live, in seconds.
    function APPRAISAL_DELAY() external view returns (uint64);
}
