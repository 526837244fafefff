// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { Job, Policy, Request } from "../../src/Types.sol";
import { IDataPolicy } from "../../src/interfaces/IDataPolicy.sol";
import { ILedger } from "../../src/interfaces/ILedger.sol";

/// A requester that is a contract and answers a coin as its kind says.
contract Receiver {
    enum Kind {
        Accept,
        Reject,
        BurnGas,
        ReturnBomb,
        Reenter
    }

    IDataPolicy internal immutable policies;
    Kind public kind;
    Job internal target;
    bool public reentered;

    constructor(IDataPolicy policies_, Kind kind_) payable {
        policies = policies_;
        kind = kind_;
    }

    function set(Kind kind_) external {
        kind = kind_;
    }

    function aim(Job calldata job) external {
        target = job;
    }

    function request(Policy calldata p, Request calldata r, uint256 value) external returns (bytes32) {
        return policies.requestAccess{ value: value }(p, r);
    }

    function cancel(Job calldata job) external {
        policies.cancelJob(job);
    }

    receive() external payable {
        if (kind == Kind.Reject) revert("no");
        if (kind == Kind.BurnGas) {
            assembly {
                for { } 1 { } { }
            }
        }
        if (kind == Kind.ReturnBomb) {
            assembly {
                revert(0, 500000)
            }
        }
        if (kind == Kind.Reenter) {
            (bool ok,) = address(policies).call(abi.encodeCall(ILedger.withdraw, (address(this), address(0))));
            reentered = ok;
        }
    }
}
