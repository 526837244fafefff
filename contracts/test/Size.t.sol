// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "./utils/Base.sol";

import { Jobs } from "../src/lib/Jobs.sol";
import { Sets } from "../src/lib/Sets.sol";
import { TypedData } from "../src/lib/TypedData.sol";

/// How large code and structs are.
contract SizeTest is Base {
    /// Room below EIP-170's 24,576 bytes, so that a mended contract still fits.
    uint256 private constant MAX_RUNTIME = 24_000;

    function test_everyRuntimeLeavesRoom() public {
        assertLt(address(policies).code.length, MAX_RUNTIME, "DataPolicy");
        assertLt(address(custody).code.length, MAX_RUNTIME, "Custody");
        emit log_named_uint("DataPolicy", address(policies).code.length);
        emit log_named_uint("Custody", address(custody).code.length);
    }

    /// The compiler cannot compare a layout number with the struct it is of, so this does.
    function test_layoutNumbersAreThoseOfTheStructs() public view {
        Job memory j;
        assertEq(Jobs.SIZE, abi.encode(j).length);
        assertEq(Jobs.SIZE, 1088);
        (j.runDeadline, j.attempt, j.signer, j.runtimeDataHash) = (1, 2, address(3), bytes32(uint256(4)));
        bytes memory encoded = abi.encode(j);
        assertEq(wordAt(encoded, Jobs.RUN_DEADLINE_AT), 1);
        assertEq(wordAt(encoded, Jobs.ATTEMPT_AT), 2);
        assertEq(wordAt(encoded, Jobs.SIGNER_AT), 3);
        assertEq(wordAt(encoded, Jobs.RUNTIME_DATA_HASH_AT), 4);

        Quote memory q;
        Approval memory a;
        Verdict memory v;
        ResultManifest memory m;
        FailureReport memory f;
        assertEq(TypedData.QUOTE_FIELDS * 32, abi.encode(q).length);
        assertEq(TypedData.APPROVAL_FIELDS * 32, abi.encode(a).length);
        assertEq(TypedData.VERDICT_FIELDS * 32, abi.encode(v).length);
        assertEq(TypedData.MANIFEST_FIELDS * 32, abi.encode(m).length);
        assertEq(TypedData.REPORT_FIELDS * 32, abi.encode(f).length);

        // [0x20][fields][length of purposes], the field `purposes` being the offset of that length.
        Policy memory p;
        encoded = abi.encode(p);
        assertEq((1 + TypedData.POLICY_FIELDS + 1) * 32, encoded.length);
        assertEq(wordAt(encoded, (1 + TypedData.POLICY_PURPOSES_FIELD) * 32), TypedData.POLICY_FIELDS * 32);

        (, Member[] memory members) = custody.setOf(setId, 1);
        assertEq(
            Sets.THRESHOLD_SIZE + members.length * Sets.MEMBER_SIZE,
            abi.encodePacked(uint8(2), packed(members)).length
        );
    }

    function packed(Member[] memory members) private pure returns (bytes memory out) {
        for (uint256 i = 0; i < members.length; ++i) {
            out = abi.encodePacked(out, members[i].signer, members[i].hpkeKey);
        }
    }

    function wordAt(bytes memory data, uint256 offset) private pure returns (uint256 word) {
        assembly {
            word := mload(add(add(data, 0x20), offset))
        }
    }
}
