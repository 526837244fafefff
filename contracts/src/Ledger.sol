// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {
    FeeRecipientZero,
    FeeTooHigh,
    GasTooLow,
    NothingToDistribute,
    NothingToWithdraw,
    Reentered,
    SplitLengthsDiffer,
    SplitPayeeZero,
    SplitPayeesOutOfRange,
    SplitSumWrong,
    TokenAmountWrong,
    TransferFailed,
    ValueWrong
} from "./Errors.sol";
import { Split } from "./Types.sol";
import { Money } from "./lib/Money.sol";

/// Credits per account and token, and the only code that moves coins.
///
/// An account is an address padded to 32 bytes, or the hash of a `Split`: an owner names many payees
/// in one word and nothing about them is stored. Money goes in by `_pull`, becomes credit, and leaves
/// by `withdraw`, which anybody may call and which pays only the account itself; so a receiver that
/// rejects money blocks nobody but itself. The one push is `_refund`, which falls back to a credit.
///
/// Token address 0 is the native coin. Tokens that take a fee, rebase or lie about balances are
/// outside of what is accounted for: the first are refused on the way in, and any of them can only
/// hurt those who chose that token, because each token has its own credits.
abstract contract Ledger {
    uint16 public constant MAX_FEE_BPS = 500;
    uint256 public constant MAX_PAYEES = 64;
    /// Enough for a wallet contract to accept a coin and log it; too little to do mischief.
    uint256 public constant REFUND_GAS = 30_000;
    /// What must be left before a refund is pushed: the call itself (36,600 at worst, with a new
    /// account) and 64/63 of REFUND_GAS. Without it, whoever sends the transaction (or a wallet's gas
    /// estimation, which looks for the least gas that does not revert) could starve the push.
    uint256 public constant REFUND_GAS_LEFT = 70_000;

    address public immutable feeRecipient;
    uint16 public immutable feeBps;

    mapping(bytes32 account => mapping(address token => uint256)) private _credits;
    mapping(bytes32 account => mapping(address token => uint256)) private _released;
    /// 1 while a guarded function runs. A whole word, because a bool would be read before each write.
    uint256 private transient _entered;

    event Credited(bytes32 indexed account, address indexed token, uint256 amount);
    event Withdrawn(address indexed account, address indexed token, uint256 amount);
    event Distributed(bytes32 indexed account, address indexed token, uint256 amount);
    event RefundIssued(bytes32 indexed jobId, uint256 amount);

    /// One guard for the whole contract, on every function that measures a balance or moves a token:
    /// a callback in the middle of a measurement could otherwise be counted as its payment.
    modifier guarded() {
        _enter();
        _;
        _entered = 0;
    }

    constructor(address feeRecipient_, uint16 feeBps_) {
        if (feeBps_ > MAX_FEE_BPS) revert FeeTooHigh(feeBps_, MAX_FEE_BPS);
        if (feeBps_ != 0 && feeRecipient_ == address(0)) revert FeeRecipientZero(feeBps_);
        feeRecipient = feeRecipient_;
        feeBps = feeBps_;
    }

    /// What `account` may withdraw, or, where it is a split, what waits to be distributed.
    function credit(bytes32 account, address token) external view returns (uint256) {
        return _credits[account][token];
    }

    function accountOf(address holder) public pure returns (bytes32) {
        return bytes32(uint256(uint160(holder)));
    }

    function splitAccount(Split calldata split) public pure returns (bytes32) {
        return keccak256(abi.encode(split));
    }

    /// The books of a split: everything that ever came in and what of it went to the payees.
    function splitBooks(bytes32 account, address token)
        external
        view
        returns (uint256 totalIn, uint256 released)
    {
        released = _released[account][token];
        totalIn = _credits[account][token] + released;
    }

    /// What `distribute` would move now.
    function distributable(Split calldata split, address token) external view returns (uint256) {
        return _distributable(splitAccount(split), split, token);
    }

    /// Pays `account` everything it is owed. Anybody may call; only the account receives.
    function withdraw(address account, address token) external guarded {
        bytes32 key = accountOf(account);
        uint256 amount = _credits[key][token];
        if (amount == 0) revert NothingToWithdraw(account, token);
        _credits[key][token] = 0;
        emit Withdrawn(account, token, amount);
        bool paid = token == address(0)
            ? _call(account, amount, gasleft())
            : SafeERC20.trySafeTransfer(IERC20(token), account, amount);
        if (!paid) revert TransferFailed(token, account, amount);
    }

    /// Moves what has vested of a split to its payees, in whole multiples of 10,000 base units, so
    /// that every weight is exact; less than that waits for more to come in.
    function distribute(Split calldata split, address token) external guarded {
        _checkSplit(split);
        bytes32 account = splitAccount(split);
        uint256 amount = _distributable(account, split, token);
        if (amount == 0) revert NothingToDistribute(account, token, _credits[account][token]);
        _credits[account][token] -= amount;
        _released[account][token] += amount;
        emit Distributed(account, token, amount);
        uint256 unit = amount / Money.BPS;
        for (uint256 i = 0; i < split.payees.length; ++i) {
            _credit(accountOf(split.payees[i]), token, unit * split.bps[i]);
        }
    }

    /// Takes exactly `amount` of `token` from the caller. Only in a guarded function.
    function _pull(address token, uint256 amount) internal {
        if (token == address(0)) {
            if (msg.value != amount) revert ValueWrong(amount, msg.value);
            return;
        }
        if (msg.value != 0) revert ValueWrong(0, msg.value);
        if (amount == 0) return;
        uint256 before = IERC20(token).balanceOf(address(this));
        if (!SafeERC20.trySafeTransferFrom(IERC20(token), msg.sender, address(this), amount)) {
            revert TransferFailed(token, address(this), amount);
        }
        uint256 received = IERC20(token).balanceOf(address(this)) - before;
        if (received != amount) revert TokenAmountWrong(token, amount, received);
    }

    function _credit(bytes32 account, address token, uint256 amount) internal {
        if (amount == 0) return;
        _credits[account][token] += amount;
        emit Credited(account, token, amount);
    }

    /// Gives escrow back. Native coin is pushed once, with little gas and without reading the answer;
    /// where that fails, and for every ERC-20, it becomes a credit, so nothing about the receiver
    /// can make an exit revert. Call it after every other write, in a guarded function.
    function _refund(bytes32 jobId, address token, address to, uint256 amount) internal {
        if (amount == 0) return;
        emit RefundIssued(jobId, amount);
        if (token == address(0)) {
            uint256 gasLeft = gasleft();
            if (gasLeft < REFUND_GAS_LEFT) revert GasTooLow(gasLeft, REFUND_GAS_LEFT);
            if (_call(to, amount, REFUND_GAS)) return;
        }
        _credit(accountOf(to), token, amount);
    }

    function _enter() private {
        if (_entered != 0) revert Reentered(msg.sender);
        _entered = 1;
    }

    function _call(address to, uint256 amount, uint256 gasLimit) private returns (bool ok) {
        // No return data is copied: a receiver cannot make us pay for what it answers.
        assembly ("memory-safe") {
            ok := call(gasLimit, to, amount, 0, 0, 0, 0)
        }
    }

    function _distributable(bytes32 account, Split calldata split, address token)
        private
        view
        returns (uint256)
    {
        uint256 waiting = _credits[account][token];
        uint256 released = _released[account][token];
        // Vested never falls, so it is never less than what was already released.
        uint256 vested =
            Money.vested(waiting + released, split.vesting.start, split.vesting.duration, block.timestamp);
        return Money.whole(vested - released);
    }

    function _checkSplit(Split calldata split) private pure {
        uint256 payees = split.payees.length;
        if (payees == 0 || payees > MAX_PAYEES) revert SplitPayeesOutOfRange(payees, MAX_PAYEES);
        if (payees != split.bps.length) revert SplitLengthsDiffer(payees, split.bps.length);
        uint256 sum = 0;
        for (uint256 i = 0; i < payees; ++i) {
            if (split.payees[i] == address(0)) revert SplitPayeeZero(i);
            sum += split.bps[i];
        }
        if (sum != Money.BPS) revert SplitSumWrong(sum, Money.BPS);
    }
}
