// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import {
    AccountRefused,
    AppraisalEntryExists,
    AppraisalEntryUnknown,
    AppraisalEntryZero,
    AppraisalPolicyExists,
    AppraisalPolicyRevoked,
    AppraisalPolicyUnknown,
    MemberKeyZero,
    MemberSignerRepeated,
    MemberSignerZero,
    NotAuthorized,
    ProviderExists,
    ProviderPayeeZero,
    ProviderSignerZero,
    SetExists,
    SetMembersOutOfRange,
    SetThresholdOutOfRange
} from "./Errors.sol";
import { Member, Provider } from "./Types.sol";
import { ICustody } from "./interfaces/ICustody.sol";
import { Sets } from "./lib/Sets.sol";

/// @title Custodian sets, providers and appraisal policies
/// @notice Who holds key shares, who runs compute, and which code is approved: three registries that anybody
/// may write to, each record run by its creator only, none by an admin. Records are trusted by nobody
/// until an owner's policy names them, and an id is made of its creator's address, so nobody can take
/// the id of somebody else's record.
contract Custody is ICustody {
    /// @inheritdoc ICustody
    uint256 public constant MAX_MEMBERS = 16;
    // Long enough for the owners who pinned a policy to see a new entry and move away.
    /// @inheritdoc ICustody
    uint64 public constant APPRAISAL_DELAY = 48 hours;

    uint64 private constant _REVOKED = type(uint64).max;

    struct SetHead {
        address creator;
        uint32 latest;
    }

    struct AppraisalHead {
        address creator;
        bool revoked;
    }

    mapping(bytes32 setId => SetHead) private _sets;
    mapping(bytes32 providerId => Provider) private _providers;
    mapping(bytes32 appraisalPolicy => AppraisalHead) private _appraisal;
    /// The time from which an entry is live; 0 = absent, _REVOKED = for ever refused.
    mapping(bytes32 appraisalPolicy => mapping(bytes32 entry => uint64)) private _entries;

    // ------------------------------------------------------------------------------- custodian sets

    /// @inheritdoc ICustody
    function createSet(bytes32 salt, uint8 t, Member[] calldata members) external returns (bytes32 setId) {
        setId = idOf(msg.sender, salt);
        if (_sets[setId].creator != address(0)) revert SetExists(setId);
        _sets[setId] = SetHead({ creator: msg.sender, latest: 1 });
        _writeSet(setId, 1, t, members);
    }

    /// @inheritdoc ICustody
    function addSetVersion(bytes32 setId, uint8 t, Member[] calldata members)
        external
        returns (uint32 setVersion)
    {
        SetHead storage head = _sets[setId];
        if (msg.sender != head.creator) revert NotAuthorized(msg.sender, head.creator);
        // Versions are added, never changed: a policy or job that names one keeps what it named.
        setVersion = head.latest + 1;
        head.latest = setVersion;
        _writeSet(setId, setVersion, t, members);
    }

    /// @inheritdoc ICustody
    function setOf(bytes32 setId, uint32 setVersion)
        external
        view
        returns (uint8 t, Member[] memory members)
    {
        bytes memory data = Sets.read(address(this), setId, setVersion);
        uint256 n = Sets.size(data);
        // t <= MAX_MEMBERS
        // forge-lint: disable-next-line(unsafe-typecast)
        t = uint8(Sets.threshold(data));
        members = new Member[](n);
        for (uint256 i = 0; i < n; ++i) {
            members[i] = Member({ signer: Sets.signer(data, i), hpkeKey: Sets.key(data, i) });
        }
    }

    /// @inheritdoc ICustody
    function latestSetVersion(bytes32 setId) external view returns (uint32) {
        return _sets[setId].latest;
    }

    /// @inheritdoc ICustody
    function anchorAudit(bytes32 setId, uint32 setVersion, uint16 memberIndex, uint64 sequence, bytes32 head)
        external
    {
        bytes memory data = Sets.read(address(this), setId, setVersion);
        address member = Sets.signer(data, memberIndex);
        if (msg.sender != member) revert NotAuthorized(msg.sender, member);
        emit AuditAnchored(setId, member, sequence, head);
    }

    // ------------------------------------------------------------------------------------ providers

    /// @inheritdoc ICustody
    function registerProvider(
        bytes32 salt,
        address signer,
        bytes32 payee,
        bytes32 jurisdiction,
        bytes32[] calldata platformIds
    ) external returns (bytes32 providerId) {
        providerId = idOf(msg.sender, salt);
        if (_providers[providerId].creator != address(0)) revert ProviderExists(providerId);
        _setProvider(providerId, signer, payee, jurisdiction, platformIds);
    }

    /// @inheritdoc ICustody
    function updateProvider(
        bytes32 providerId,
        address signer,
        bytes32 payee,
        bytes32 jurisdiction,
        bytes32[] calldata platformIds
    ) external {
        address creator = _providers[providerId].creator;
        if (msg.sender != creator) revert NotAuthorized(msg.sender, creator);
        _setProvider(providerId, signer, payee, jurisdiction, platformIds);
    }

    /// @inheritdoc ICustody
    function providerOf(bytes32 providerId) external view returns (Provider memory) {
        return _providers[providerId];
    }

    /// @inheritdoc ICustody
    function providerTerms(bytes32 providerId) external view returns (address signer, bytes32 payee) {
        Provider storage provider = _providers[providerId];
        return (provider.signer, provider.payee);
    }

    // --------------------------------------------------------------------------- appraisal policies

    /// @inheritdoc ICustody
    function createAppraisalPolicy(bytes32 salt, bytes32[] calldata entries)
        external
        returns (bytes32 appraisalPolicy)
    {
        appraisalPolicy = idOf(msg.sender, salt);
        if (_appraisal[appraisalPolicy].creator != address(0)) revert AppraisalPolicyExists(appraisalPolicy);
        _appraisal[appraisalPolicy].creator = msg.sender;
        emit AppraisalPolicyCreated(appraisalPolicy, msg.sender, entries);
        // Live at once: whoever pins the policy has seen them.
        for (uint256 i = 0; i < entries.length; ++i) {
            _addEntry(appraisalPolicy, entries[i], uint64(block.timestamp));
        }
    }

    /// @inheritdoc ICustody
    function addAppraisalEntry(bytes32 appraisalPolicy, bytes32 entry) external {
        _requireAppraisalCreator(appraisalPolicy);
        _addEntry(appraisalPolicy, entry, uint64(block.timestamp) + APPRAISAL_DELAY);
    }

    /// @inheritdoc ICustody
    function revokeAppraisalEntry(bytes32 appraisalPolicy, bytes32 entry) external {
        _requireAppraisalCreator(appraisalPolicy);
        uint64 liveAt = _entries[appraisalPolicy][entry];
        // Also one that is not live yet.
        if (liveAt == 0 || liveAt == _REVOKED) revert AppraisalEntryUnknown(appraisalPolicy, entry);
        _entries[appraisalPolicy][entry] = _REVOKED;
        emit AppraisalEntryRevoked(appraisalPolicy, entry);
    }

    /// @inheritdoc ICustody
    function revokeAppraisalPolicy(bytes32 appraisalPolicy) external {
        _requireAppraisalCreator(appraisalPolicy);
        _appraisal[appraisalPolicy].revoked = true;
        emit AppraisalPolicyEnded(appraisalPolicy);
    }

    /// @inheritdoc ICustody
    function isEntryLive(bytes32 appraisalPolicy, bytes32 entry) external view returns (bool) {
        uint64 liveAt = _entries[appraisalPolicy][entry];
        return liveAt != 0 && liveAt != _REVOKED && block.timestamp >= liveAt
            && isAppraisalPolicyLive(appraisalPolicy);
    }

    /// @inheritdoc ICustody
    function isAppraisalPolicyLive(bytes32 appraisalPolicy) public view returns (bool) {
        AppraisalHead memory head = _appraisal[appraisalPolicy];
        return head.creator != address(0) && !head.revoked;
    }

    /// @inheritdoc ICustody
    function idOf(address creator, bytes32 salt) public pure returns (bytes32) {
        return keccak256(abi.encode(creator, salt));
    }

    // ------------------------------------------------------------------------------------ internals

    function _writeSet(bytes32 setId, uint32 setVersion, uint8 t, Member[] calldata members) private {
        uint256 n = members.length;
        if (n == 0 || n > MAX_MEMBERS) revert SetMembersOutOfRange(n, MAX_MEMBERS);
        if (t == 0 || t > n) revert SetThresholdOutOfRange(t, n);
        bytes memory data = abi.encodePacked(t);
        for (uint256 i = 0; i < n; ++i) {
            Member calldata member = members[i];
            if (member.signer == address(0)) revert MemberSignerZero(i);
            if (member.hpkeKey == 0) revert MemberKeyZero(i);
            for (uint256 j = 0; j < i; ++j) {
                if (members[j].signer == member.signer) revert MemberSignerRepeated(i, member.signer);
            }
            data = abi.encodePacked(data, member.signer, member.hpkeKey);
        }
        Sets.write(setId, setVersion, data);
        emit CustodianSetVersion(setId, setVersion, msg.sender, t, members);
    }

    function _setProvider(
        bytes32 providerId,
        address signer,
        bytes32 payee,
        bytes32 jurisdiction,
        bytes32[] calldata platformIds
    ) private {
        if (signer == address(0)) revert ProviderSignerZero(providerId);
        if (payee == 0) revert ProviderPayeeZero(providerId);
        // Custody has no credits, so what is paid to it is lost.
        if (payee == bytes32(uint256(uint160(address(this))))) revert AccountRefused(payee);
        Provider memory provider = Provider({
            creator: msg.sender,
            signer: signer,
            payee: payee,
            jurisdiction: jurisdiction,
            platformIds: platformIds
        });
        _providers[providerId] = provider;
        emit ProviderSet(providerId, provider);
    }

    function _requireAppraisalCreator(bytes32 appraisalPolicy) private view {
        AppraisalHead storage head = _appraisal[appraisalPolicy];
        if (head.creator == address(0)) revert AppraisalPolicyUnknown(appraisalPolicy);
        if (msg.sender != head.creator) revert NotAuthorized(msg.sender, head.creator);
        if (head.revoked) revert AppraisalPolicyRevoked(appraisalPolicy);
    }

    function _addEntry(bytes32 appraisalPolicy, bytes32 entry, uint64 liveAt) private {
        if (entry == 0) revert AppraisalEntryZero(appraisalPolicy);
        // Also where it was revoked: final means that it does not come back.
        if (_entries[appraisalPolicy][entry] != 0) revert AppraisalEntryExists(appraisalPolicy, entry);
        _entries[appraisalPolicy][entry] = liveAt;
        emit AppraisalEntryAdded(appraisalPolicy, entry, liveAt);
    }
}
