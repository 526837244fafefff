// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import "../../utils/Base.sol";

contract UpdatePolicyTest is Base {
    Policy private p;

    function setUp() public override {
        super.setUp();
        p = makePolicy();
        register(p);
    }

    function refuse(bytes memory err, Policy memory old, Policy memory following) private {
        vm.expectRevert(err);
        vm.prank(owner);
        policies.updatePolicy(old, following);
    }

    function next() private view returns (Policy memory q) {
        q = p;
        q.version = 2;
        q.royaltyPerEpoch = 7;
        q.setVersion = 9;
        q.envelopeHash = keccak256("resealed");
    }

    function test_RevertWhen_theCallerIsNotTheOwner() public {
        vm.expectRevert(abi.encodeWithSelector(NotAuthorized.selector, stranger, owner));
        vm.prank(stranger);
        policies.updatePolicy(p, next());
    }

    function test_RevertWhen_theDatasetDoesNotExist() public {
        Policy memory old = p;
        old.salt = keccak256("another");
        old.datasetUid = policies.datasetUid(owner, old.salt);
        refuse(abi.encodeWithSelector(DatasetUnknown.selector, old.datasetUid), old, next());
    }

    function test_RevertWhen_theOldPolicyIsStale() public {
        Policy memory old = p;
        old.royaltyPerEpoch += 1;
        (bytes32 current,) = policies.datasetState(p.datasetUid);
        bytes32 given = bytes32((uint256(keccak256(abi.encode(old))) >> 8) << 8);
        refuse(abi.encodeWithSelector(PolicyStale.selector, p.datasetUid, given, current), old, next());
    }

    function test_RevertWhen_theIdentityChanges() public {
        for (uint256 i = 0; i < 4; ++i) {
            Policy memory q = next();
            if (i == 0) q.datasetUid = keccak256("x");
            if (i == 1) q.datasetRoot = keccak256("x");
            if (i == 2) q.owner = stranger;
            if (i == 3) q.salt = keccak256("x");
            refuse(
                abi.encodeWithSelector(
                    PolicyIdentityChanged.selector, p.datasetUid, q.datasetRoot, q.owner, q.salt
                ),
                p,
                q
            );
        }
    }

    function test_RevertWhen_theVersionIsNotTheNext() public {
        Policy memory q = next();
        q.version = 1;
        refuse(abi.encodeWithSelector(PolicyVersionWrong.selector, 1, 2), p, q);
        q.version = 3;
        refuse(abi.encodeWithSelector(PolicyVersionWrong.selector, 3, 2), p, q);
    }

    function test_RevertWhen_aTermIsOutOfRange() public {
        Policy memory q = next();
        q.payee = 0;
        refuse(abi.encodeWithSelector(PolicyPayeeZero.selector, q.datasetUid), p, q);
        q = next();
        q.requiredLevel = LEVEL_SOFTWARE;
        vm.chainId(5);
        // Off the local chain the uid is another, so this dataset cannot be named there at all.
        vm.expectPartialRevert(DatasetUidWrong.selector);
        vm.prank(owner);
        policies.updatePolicy(p, q);
    }

    function test_commitsToTheNextPolicy() public {
        Policy memory q = next();
        vm.expectEmit(address(policies));
        emit IDataPolicy.PolicySet(keccak256(abi.encode(q)), q.datasetUid, q);
        vm.prank(owner);
        policies.updatePolicy(p, q);
        (bytes32 commitment, bool paused) = policies.datasetState(p.datasetUid);
        assertEq(commitment, bytes32((uint256(keccak256(abi.encode(q))) >> 8) << 8));
        assertFalse(paused);
    }

    function test_keepsAPause() public {
        vm.startPrank(owner);
        policies.pausePolicy(p);
        policies.updatePolicy(p, next());
        vm.stopPrank();
        (, bool paused) = policies.datasetState(p.datasetUid);
        assertTrue(paused);
    }

    function test_leavesJobsUntouched() public {
        Job memory grantedJob = open(p, makeRequest(2));
        Job memory runningJob = start(open(p, makeRequest(3)));
        vm.prank(owner);
        policies.updatePolicy(p, next());
        start(grantedJob);
        confirm(runningJob, 3);
        assertEq(creditOf(payee, address(0)), 3 * ROYALTY - 3 * ROYALTY * FEE_BPS / 10_000);
    }
}
