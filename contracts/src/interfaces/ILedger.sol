// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { Split } from "../Types.sol";

/// @title Credits per account and token
/// @notice An account is an address padded to 32 bytes, or the hash of a `Split`. Token address 0 is the
/// native coin; amounts are base units. What is refused reverts with an error of `Errors.sol`.
interface ILedger {
    /// @notice `account` has `amount` more to withdraw or to distribute.
    /// @param ref Why: a jobId, or, where a split was distributed, the split's account.
    event Credited(bytes32 indexed account, address indexed token, bytes32 indexed ref, uint256 amount);

    /// @notice `account` took its whole credit out, and `to` received it.
    event Withdrawn(address indexed account, address indexed token, address to, uint256 amount);

    /// @notice `amount` went from the split `account` to its payees, as the `Credited` that follow say.
    event Distributed(bytes32 indexed account, address indexed token, uint256 amount);

    /// @notice The preimage of a split's account, so that anybody can distribute it.
    event SplitAnnounced(bytes32 indexed account, Split split);

    /// @notice Escrow of a job went back to its requester, as a coin or as a credit.
    event RefundIssued(bytes32 indexed jobId, uint256 amount);

    /// @notice Pays `account` everything it is owed. Anybody may call; only the account receives.
    function withdraw(address account, address token) external;

    /// @notice Pays everything the caller is owed to another address: for a wallet that cannot receive.
    /// @param to Neither 0 nor the contract itself.
    function withdrawTo(address to, address token) external;

    /// @notice Logs a split with its account, so that who is paid through it can find it. Keeps nothing.
    function announce(Split calldata split) external;

    /// @notice Moves what is due of a split to the credits of its payees. What rounding leaves, fewer base
    /// units than there are payees, waits for more.
    function distribute(Split calldata split, address token) external;

    /// @notice What `account` may withdraw, or, where it is a split, what was not distributed yet.
    function credit(bytes32 account, address token) external view returns (uint256);

    /// @notice The books of a split.
    /// @return totalIn Everything that ever came in.
    /// @return paid What of it went to the payees.
    function splitBooks(Split calldata split, address token)
        external
        view
        returns (uint256 totalIn, uint256 paid);

    /// @notice What `distribute` would move now.
    function distributable(Split calldata split, address token) external view returns (uint256);

    /// @notice The account of an address.
    function accountOf(address holder) external pure returns (bytes32);

    /// @notice The account of a split: keccak256(abi.encode("LICEN/split/v2", split)).
    function splitAccount(Split calldata split) external pure returns (bytes32);

    /// @notice The highest protocol fee that a deployment can take, in basis points of a royalty.
    function MAX_FEE_BPS() external view returns (uint16);

    /// @notice The most payees of one split.
    function MAX_PAYEES() external view returns (uint256);

    /// @notice The gas that a pushed refund may burn.
    function REFUND_GAS() external view returns (uint256);

    /// @notice The gas that must be left before a refund is pushed.
    function REFUND_GAS_LEFT() external view returns (uint256);

    /// @notice Where the protocol fee goes.
    function feeRecipient() external view returns (address);

    /// @notice The protocol fee of jobs that are requested here, in basis points of the royalty.
    function feeBps() external view returns (uint16);
}
