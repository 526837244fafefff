// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { Test } from "forge-std/Test.sol";

import { Job, JobState, Policy } from "../../src/Types.sol";
import { ICustody, IDataPolicy } from "../utils/Interfaces.sol";
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
        for (uint256 i = 0; i < 5; ++i) {
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
            assertEq(commitment, bytes32((uint256(keccak256(abi.encode(job))) >> 8) << 8), "5");
        }
    }

    function _4_runsStayUnderTheCap() private view {
        for (uint256 i = 0; i < 5; ++i) {
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
        bytes32 account = handler.splitAccount();
        for (uint256 i = 0; i < 5; ++i) {
            address token = handler.tokens(i);
            (uint256 totalIn, uint256 released) = policies.splitBooks(account, token);
            assertEq(totalIn, policies.credit(account, token) + released, "7");
            assertEq(released, handler.released(token), "7");
        }
    }

    function _8_noFeeTokenGetsIn() private view {
        assertEq(handler.feeToken().balanceOf(address(policies)), 0, "8");
    }

    /// A walk that happens to do nothing would prove nothing: -vv shows what each walk did.
    function afterInvariant() public {
        string[11] memory steps = [
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
            "distribute"
        ];
        for (uint256 i = 0; i < steps.length; ++i) {
            emit log_named_uint(steps[i], handler.done(steps[i]));
        }
    }
}
