// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { Member, Provider } from "../../src/Types.sol";

interface CustodyEvents {
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
}
