// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { CREATE3 } from "solady/utils/CREATE3.sol";
import { SSTORE2 } from "solady/utils/SSTORE2.sol";

import {
    AppraisalEntryExists,
    AppraisalEntryUnknown,
    AppraisalEntryZero,
    AppraisalPolicyExists,
    AppraisalPolicyRevoked,
    AppraisalPolicyUnknown,
    MemberKeyZero,
    MemberSignerRepeated,
    MemberSignerZero,
    MemberUnknown,
    NotAuthorized,
    ProviderExists,
    ProviderPayeeZero,
    ProviderSignerZero,
    SetExists,
    SetMembersOutOfRange,
    SetThresholdOutOfRange,
    SetUnknown
} from "./Errors.sol";
import { Member, Provider } from "./Types.sol";
import { ICustody } from "./interfaces/ICustody.sol";

/// Who holds key shares, who runs compute, and which code is approved: three registries that anybody
/// may write to, each record run by its creator only, none by an admin. Records are trusted by nobody
/// until an owner's policy names them, and an id is made of its creator's address, so nobody can take
/// the id of somebody else's record.
contract Custody is ICustody {
    uint256 public constant MAX_MEMBERS = 16;
    /// Long enough for the owners who pinned a policy to see a new entry and move away.
    uint64 public constant APPRAISAL_DELAY = 48 hours;

    uint64 private constant _REVOKED = type(uint64).max;
    /// A set is kept as contract code [t: 1][member: signer 20, hpkeKey 32]*. Code cannot change, which
    /// is what a (set, version) must be, and one read of it is cheaper than a slot per member.
    uint256 private constant _MEMBER_SIZE = 52;

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
    mapping(address reporter => mapping(bytes32 providerId => uint256)) public strikes;
    mapping(bytes32 appraisalPolicy => AppraisalHead) private _appraisal;
    /// The time from which an entry is live; 0 = absent, _REVOKED = for ever refused.
    mapping(bytes32 appraisalPolicy => mapping(bytes32 entry => uint64)) private _entries;

    event CustodianSetVersion(
        bytes32 indexed setId, uint32 setVersion, address indexed creator, uint8 t, Member[] members
    );
    event ProviderSet(bytes32 indexed providerId, Provider provider);
    event ProviderStruck(address indexed reporter, bytes32 indexed providerId, uint256 strikes);
    event AppraisalPolicyCreated(bytes32 indexed appraisalPolicy, address indexed creator, bytes32[] entries);
    event AppraisalEntryAdded(bytes32 indexed appraisalPolicy, bytes32 indexed entry, uint64 liveAt);
    event AppraisalEntryRevoked(bytes32 indexed appraisalPolicy, bytes32 indexed entry);
    event AppraisalPolicyEnded(bytes32 indexed appraisalPolicy);
    event AuditAnchored(bytes32 indexed setId, address indexed member, uint64 sequence, bytes32 head);

    // ------------------------------------------------------------------------------- custodian sets

    function createSet(bytes32 salt, uint8 t, Member[] calldata members) external returns (bytes32 setId) {
        setId = idOf(msg.sender, salt);
        if (_sets[setId].creator != address(0)) revert SetExists(setId);
        _sets[setId] = SetHead({ creator: msg.sender, latest: 1 });
        _writeSet(setId, 1, t, members);
    }

    /// Versions are added, never changed: a policy or job that names one keeps what it named.
    function addSetVersion(bytes32 setId, uint8 t, Member[] calldata members)
        external
        returns (uint32 setVersion)
    {
        SetHead storage head = _sets[setId];
        if (msg.sender != head.creator) revert NotAuthorized(msg.sender, head.creator);
        setVersion = head.latest + 1;
        head.latest = setVersion;
        _writeSet(setId, setVersion, t, members);
    }

    function setOf(bytes32 setId, uint32 setVersion)
        external
        view
        returns (uint8 t, Member[] memory members)
    {
        bytes memory data = _readSet(setId, setVersion);
        uint256 n = _size(data);
        t = uint8(data[0]);
        members = new Member[](n);
        for (uint256 i = 0; i < n; ++i) {
            members[i] = Member({ signer: _signerAt(data, i), hpkeKey: _keyAt(data, i) });
        }
    }

    /// The newest version; 0 where the set does not exist.
    function latestSetVersion(bytes32 setId) external view returns (uint32) {
        return _sets[setId].latest;
    }

    /// A member states where its audit log stands. Nothing is kept: the event is the statement.
    function anchorAudit(bytes32 setId, uint32 setVersion, uint16 memberIndex, uint64 sequence, bytes32 head)
        external
    {
        bytes memory data = _readSet(setId, setVersion);
        if (memberIndex >= _size(data)) revert MemberUnknown(setId, setVersion, memberIndex);
        address member = _signerAt(data, memberIndex);
        if (msg.sender != member) revert NotAuthorized(msg.sender, member);
        emit AuditAnchored(setId, member, sequence, head);
    }

    /// @inheritdoc ICustody
    function quorum(bytes32 setId, uint32 setVersion, uint256 members, bytes32 appraisalPolicy)
        external
        view
        returns (uint256 t, uint256 n, bool appraisalLive, address[] memory signers)
    {
        bytes memory data = _readSet(setId, setVersion);
        t = uint8(data[0]);
        n = _size(data);
        if (members >> n != 0) revert MemberUnknown(setId, setVersion, n);
        signers = new address[](n);
        uint256 count = 0;
        for (uint256 i = 0; members >> i != 0; ++i) {
            if ((members >> i) & 1 == 1) signers[count++] = _signerAt(data, i);
        }
        // The array was made for all members; only those named are returned.
        assembly ("memory-safe") {
            mstore(signers, count)
        }
        appraisalLive = appraisalPolicy != 0 && isAppraisalPolicyLive(appraisalPolicy);
    }

    // ------------------------------------------------------------------------------------ providers

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

    /// Jobs that were opened keep the payee of their quote.
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

    function providerOf(bytes32 providerId) external view returns (Provider memory) {
        return _providers[providerId];
    }

    /// @inheritdoc ICustody
    function providerTerms(bytes32 providerId) external view returns (address signer, bytes32 payee) {
        Provider storage provider = _providers[providerId];
        return (provider.signer, provider.payee);
    }

    /// A strike counts under whoever reports it: a reader decides whose strikes mean something, and
    /// those of a DataPolicy mean that a job named this provider in advance and it did not end it.
    function strike(bytes32 providerId) external {
        uint256 count = ++strikes[msg.sender][providerId];
        emit ProviderStruck(msg.sender, providerId, count);
    }

    // --------------------------------------------------------------------------- appraisal policies

    /// The entries it starts with are live at once: whoever pins the policy has seen them.
    function createAppraisalPolicy(bytes32 salt, bytes32[] calldata entries)
        external
        returns (bytes32 appraisalPolicy)
    {
        appraisalPolicy = idOf(msg.sender, salt);
        if (_appraisal[appraisalPolicy].creator != address(0)) revert AppraisalPolicyExists(appraisalPolicy);
        _appraisal[appraisalPolicy].creator = msg.sender;
        emit AppraisalPolicyCreated(appraisalPolicy, msg.sender, entries);
        for (uint256 i = 0; i < entries.length; ++i) {
            _addEntry(appraisalPolicy, entries[i], uint64(block.timestamp));
        }
    }

    function addAppraisalEntry(bytes32 appraisalPolicy, bytes32 entry) external {
        _requireAppraisalCreator(appraisalPolicy);
        _addEntry(appraisalPolicy, entry, uint64(block.timestamp) + APPRAISAL_DELAY);
    }

    /// Immediate and final, also for an entry that is not live yet.
    function revokeAppraisalEntry(bytes32 appraisalPolicy, bytes32 entry) external {
        _requireAppraisalCreator(appraisalPolicy);
        uint64 liveAt = _entries[appraisalPolicy][entry];
        if (liveAt == 0 || liveAt == _REVOKED) revert AppraisalEntryUnknown(appraisalPolicy, entry);
        _entries[appraisalPolicy][entry] = _REVOKED;
        emit AppraisalEntryRevoked(appraisalPolicy, entry);
    }

    /// Immediate and final: no job starts under it any more. Running jobs end as they began.
    function revokeAppraisalPolicy(bytes32 appraisalPolicy) external {
        _requireAppraisalCreator(appraisalPolicy);
        _appraisal[appraisalPolicy].revoked = true;
        emit AppraisalPolicyEnded(appraisalPolicy);
    }

    function isEntryLive(bytes32 appraisalPolicy, bytes32 entry) external view returns (bool) {
        uint64 liveAt = _entries[appraisalPolicy][entry];
        return liveAt != 0 && liveAt != _REVOKED && block.timestamp >= liveAt
            && isAppraisalPolicyLive(appraisalPolicy);
    }

    function isAppraisalPolicyLive(bytes32 appraisalPolicy) public view returns (bool) {
        AppraisalHead storage head = _appraisal[appraisalPolicy];
        return head.creator != address(0) && !head.revoked;
    }

    /// The id of every record here.
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
        // Every (set, version) is written once, so the address is free; `_readSet` finds it again.
        address pointer = SSTORE2.writeDeterministic(data, _saltOf(setId, setVersion));
        assert(pointer != address(0));
        emit CustodianSetVersion(setId, setVersion, msg.sender, t, members);
    }

    function _readSet(bytes32 setId, uint32 setVersion) private view returns (bytes memory data) {
        address pointer = CREATE3.predictDeterministicAddress(_saltOf(setId, setVersion));
        if (pointer.code.length == 0) revert SetUnknown(setId, setVersion);
        return SSTORE2.read(pointer);
    }

    function _saltOf(bytes32 setId, uint32 setVersion) private pure returns (bytes32) {
        return keccak256(abi.encode(setId, setVersion));
    }

    function _size(bytes memory data) private pure returns (uint256) {
        return (data.length - 1) / _MEMBER_SIZE;
    }

    function _signerAt(bytes memory data, uint256 index) private pure returns (address signer) {
        // 0x20 of length, 1 of t, then the member: its first 20 bytes are the high bytes of the word.
        assembly ("memory-safe") {
            signer := shr(96, mload(add(add(data, 0x21), mul(index, 52))))
        }
    }

    function _keyAt(bytes memory data, uint256 index) private pure returns (bytes32 key) {
        assembly ("memory-safe") {
            key := mload(add(add(data, 0x35), mul(index, 52)))
        }
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
