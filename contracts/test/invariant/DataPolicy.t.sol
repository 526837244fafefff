// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { Test } from "forge-std/Test.sol";

import { Job, JobState, Policy, ResultManifest } from "../../src/Types.sol";
import { IDataPolicy } from "../../src/interfaces/IDataPolicy.sol";
import { Handler } from "./Handler.sol";

/// The numbers are those of README.md beside this file.
contract DataPolicyInvariantTest is Test {
    Handler private handler;
    IDataPolicy private policies;

    function setUp() public {
        handler = new Handler();
        handler.setUp();
        policies = handler.contractUnderTest();
        bytes4[] memory selectors = new bytes4[](1);
        selectors[0] = Handler.act.selector;
        targetContract(address(handler));
        targetSelector(FuzzSelector({ addr: address(handler), selectors: selectors }));
    }

    /// All at once: one random walk serves every one of them.
    function invariant_1_to_9() public view {
        _1_9_creditsAndOpenEscrowAreWhatIsHeld();
        _3_5_oneEndAndTheSlotKnowsTheJob();
        _4_runsStayUnderTheCap();
        _7_splitBooksAddUp();
        _8_noFeeTokenGetsIn();
    }

    function _1_9_creditsAndOpenEscrowAreWhatIsHeld() private view {
        bytes32[] memory accounts = handler.accounts();
        for (uint256 i = 0; i < handler.TOKENS(); ++i) {
            address token = handler.tokens(i);
            uint256 owed = handler.openEscrow(token);
            for (uint256 a = 0; a < accounts.length; ++a) {
                owed += policies.credit(accounts[a], token);
            }
            assertEq(owed, handler.held(token), "1");
            assertEq(handler.paidIn(token), handler.held(token) + handler.paidOut(token), "9");
        }
    }

    function _3_5_oneEndAndTheSlotKnowsTheJob() private view {
        for (uint256 k = 0; k < handler.jobCount(); ++k) {
            Job memory job = handler.jobAt(k);
            (JobState state, bytes32 commitment) = policies.jobState(job.jobId);
            assertEq(uint8(state), uint8(handler.states(k)), "3");
            bool open = state == JobState.Granted || state == JobState.Running;
            assertEq(handler.endings(k), open ? 0 : 1, "3");
            bytes32 expected = masked(keccak256(abi.encode(job)));
            if (state == JobState.Completed) {
                ResultManifest memory m = handler.manifestAt(k);
                assertTrue(policies.isResult(job, m), "5");
                expected = masked(keccak256(abi.encodePacked(expected, keccak256(abi.encode(m)))));
            }
            assertEq(commitment, expected, "5");
        }
    }

    function masked(bytes32 hash) private pure returns (bytes32) {
        return bytes32((uint256(hash) >> 8) << 8);
    }

    function _4_runsStayUnderTheCap() private view {
        for (uint256 i = 0; i < handler.TOKENS(); ++i) {
            Policy memory p = handler.policyAt(i);
            for (uint256 r = 0; r < 6; ++r) {
                (uint64 counter, uint32 runs, uint8 returned) =
                    policies.runsOf(p.datasetUid, handler.requesters(r));
                assertLe(runs, handler.CAP(), "4");
                assertLe(returned, 3, "4");
                assertEq(counter, handler.counters(i, handler.requesters(r)), "4");
            }
        }
    }

    function _7_splitBooksAddUp() private view {
        for (uint256 i = 0; i < handler.TOKENS(); ++i) {
            address token = handler.tokens(i);
            for (uint256 which = 0; which < 2; ++which) {
                bytes32 account = handler.splitAccounts(which);
                (uint256 totalIn, uint256 paid) = policies.splitBooks(handler.splitAt(which), token);
                assertEq(totalIn, policies.credit(account, token) + paid, "7");
                assertEq(paid, handler.paid(account, token), "7");
            }
        }
    }

    function _8_noFeeTokenGetsIn() private view {
        assertEq(handler.feeToken().balanceOf(address(policies)), 0, "8");
    }

    /// 10, and a walk that happens to do nothing would prove nothing: -vv shows what each walk did.
    function afterInvariant() public {
        handler.drain();
        invariant_1_to_9();
        for (uint256 i = 0; i < handler.TOKENS(); ++i) {
            address token = handler.tokens(i);
            uint256 outer = policies.credit(handler.splitAccounts(0), token);
            uint256 inner = policies.credit(handler.splitAccounts(1), token);
            assertLt(outer, handler.splitAt(0).accounts.length, "10");
            assertLt(inner, handler.splitAt(1).accounts.length, "10");
            assertEq(handler.held(token), outer + inner, "10");
        }
        string[13] memory steps = [
            "request",
            "start",
            "restart",
            "confirm",
            "fail",
            "silence",
            "cancel",
            "decline",
            "expire",
            "withdraw",
            "withdrawTo",
            "distribute",
            "distribute inner"
        ];
        for (uint256 i = 0; i < steps.length; ++i) {
            emit log_named_uint(steps[i], handler.done(steps[i]));
        }
    }
}
