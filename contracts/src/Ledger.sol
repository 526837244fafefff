// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { IERC20 } from "@openzeppelin/contracts/token/ERC20/IERC20.sol";
import { SafeERC20 } from "@openzeppelin/contracts/token/ERC20/utils/SafeERC20.sol";

import {
    AccountRefused,
    FeeRecipientZero,
    FeeTooHigh,
    GasTooLow,
    NothingToDistribute,
    NothingToWithdraw,
    ReceiverRefused,
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
import { ILedger } from "./interfaces/ILedger.sol";
import { Money } from "./lib/Money.sol";

/// @notice Credits per account and token, and the only code that moves coins.
///
/// An account is an address padded to 32 bytes, or the hash of a `Split`: an owner names many payees
/// in one word and nothing about them is stored. Money goes in by `_pull`, becomes credit, and leaves
/// by `withdraw`, which anybody may call and which pays only the account itself, or by `withdrawTo`,
/// which only the account may call; so a receiver that rejects money blocks nobody but itself. The one
/// push is `_refund`, which falls back to a credit.
///
/// Token address 0 is the native coin. Tokens that take a fee, rebase or lie about balances are
/// outside of what is accounted for: the first are refused on the way in, and any of them can only
/// hurt those who chose that token, because each token has its own credits.
abstract contract Ledger is ILedger {
    /// @inheritdoc ILedger
    uint16 public constant MAX_FEE_BPS = 500;
    /// @inheritdoc ILedger
    uint256 public constant MAX_PAYEES = 64;
    // Enough for a wallet contract to accept a coin and log it; too little to do mischief.
    /// @inheritdoc ILedger
    uint256 public constant REFUND_GAS = 30_000;
    // The call itself (36,600 at worst, with a new account) and 64/63 of REFUND_GAS. Without it, whoever
    // sends the transaction (or a wallet's gas estimation, which looks for the least gas that does not
    // revert) could starve the push.
    /// @inheritdoc ILedger
    uint256 public constant REFUND_GAS_LEFT = 70_000;

    /// @inheritdoc ILedger
    address public immutable feeRecipient;
    /// @inheritdoc ILedger
    uint16 public immutable feeBps;

    mapping(bytes32 account => mapping(address token => uint256)) private _credits;
    /// Of a split: how much of what came in had vested when it was last distributed. What its payees were
    /// paid follows from it alone.
    mapping(bytes32 account => mapping(address token => uint256)) private _distributed;
    /// 1 while a guarded function runs. A whole word, because a bool would be read before each write.
    uint256 private transient _entered;

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
        _requirePayable(accountOf(feeRecipient_));
        feeRecipient = feeRecipient_;
        feeBps = feeBps_;
    }

    /// @inheritdoc ILedger
    function withdraw(address account, address token) external guarded {
        _withdraw(account, token, account);
    }

    /// @inheritdoc ILedger
    function withdrawTo(address to, address token) external guarded {
        _withdraw(msg.sender, token, to);
    }

    /// @inheritdoc ILedger
    function announce(Split calldata split) external {
        _checkSplit(split);
        for (uint256 i = 0; i < split.accounts.length; ++i) {
            if (split.accounts[i] == 0) revert SplitPayeeZero(i);
            _requirePayable(split.accounts[i]);
        }
        emit SplitAnnounced(splitAccount(split), split);
    }

    /// @inheritdoc ILedger
    function distribute(Split calldata split, address token) external guarded {
        (bytes32 account, uint256 before, uint256 vested, uint256 amount) = _due(split, token);
        if (amount == 0) revert NothingToDistribute(account, token, _credits[account][token]);
        _credits[account][token] -= amount;
        _distributed[account][token] = vested;
        emit Distributed(account, token, amount);
        // Nothing about one payee stops the others: an account that cannot be paid keeps a credit.
        for (uint256 i = 0; i < split.accounts.length; ++i) {
            uint16 bps = split.bps[i];
            _credit(split.accounts[i], token, account, Money.part(vested, bps) - Money.part(before, bps));
        }
    }

    /// @inheritdoc ILedger
    function credit(bytes32 account, address token) external view returns (uint256) {
        return _credits[account][token];
    }

    /// @inheritdoc ILedger
    function splitBooks(Split calldata split, address token)
        external
        view
        returns (uint256 totalIn, uint256 paid)
    {
        _checkSplit(split);
        bytes32 account = splitAccount(split);
        paid = _paid(split, _distributed[account][token]);
        totalIn = _credits[account][token] + paid;
    }

    /// @inheritdoc ILedger
    function distributable(Split calldata split, address token) external view returns (uint256 amount) {
        (,,, amount) = _due(split, token);
    }

    /// @inheritdoc ILedger
    function accountOf(address holder) public pure returns (bytes32) {
        return bytes32(uint256(uint160(holder)));
    }

    /// @inheritdoc ILedger
    function splitAccount(Split calldata split) public pure returns (bytes32) {
        // The label keeps every other hashed struct from being read as a split.
        return keccak256(abi.encode("LICEN/split/v2", split));
    }

    /// Refuses the one account that nobody could ever take money out of.
    function _requirePayable(bytes32 account) internal view {
        if (account == accountOf(address(this))) revert AccountRefused(account);
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

    function _credit(bytes32 account, address token, bytes32 ref, uint256 amount) internal {
        if (amount == 0) return;
        _credits[account][token] += amount;
        emit Credited(account, token, ref, amount);
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
        _credit(accountOf(to), token, jobId, amount);
    }

    function _enter() private {
        if (_entered != 0) revert Reentered(msg.sender);
        _entered = 1;
    }

    /// Pays the whole credit of `account` to `to`. An ERC-20 that is sent to this contract would be counted
    /// for nobody, and what is sent to 0 is gone.
    function _withdraw(address account, address token, address to) private {
        if (to == address(0) || to == address(this)) revert ReceiverRefused(to);
        bytes32 key = accountOf(account);
        uint256 amount = _credits[key][token];
        if (amount == 0) revert NothingToWithdraw(account, token);
        _credits[key][token] = 0;
        emit Withdrawn(account, token, to, amount);
        bool paid = token == address(0)
            ? _call(to, amount, gasleft())
            : SafeERC20.trySafeTransfer(IERC20(token), to, amount);
        if (!paid) revert TransferFailed(token, to, amount);
    }

    function _call(address to, uint256 amount, uint256 gasLimit) private returns (bool ok) {
        // No return data is copied: a receiver cannot make us pay for what it answers.
        assembly ("memory-safe") {
            ok := call(gasLimit, to, amount, 0, 0, 0, 0)
        }
    }

    /// What `distribute` would do: `before` is the vested amount last distributed, `vested` the one now,
    /// `amount` what that is for all payees together.
    function _due(Split calldata split, address token)
        private
        view
        returns (bytes32 account, uint256 before, uint256 vested, uint256 amount)
    {
        _checkSplit(split);
        account = splitAccount(split);
        before = _distributed[account][token];
        uint256 paid = _paid(split, before);
        // Everything that ever came in. It never falls and neither does time, so nor does `vested`.
        uint256 totalIn = _credits[account][token] + paid;
        vested = Money.vested(totalIn, split.start, split.duration, block.timestamp);
        amount = _paid(split, vested) - paid;
    }

    /// What all payees together were paid of a vested amount: less than it by fewer base units than there
    /// are payees.
    function _paid(Split calldata split, uint256 vested) private pure returns (uint256 paid) {
        for (uint256 i = 0; i < split.bps.length; ++i) {
            paid += Money.part(vested, split.bps[i]);
        }
    }

    function _checkSplit(Split calldata split) private pure {
        uint256 payees = split.accounts.length;
        if (payees == 0 || payees > MAX_PAYEES) revert SplitPayeesOutOfRange(payees, MAX_PAYEES);
        if (payees != split.bps.length) revert SplitLengthsDiffer(payees, split.bps.length);
        uint256 sum = 0;
        for (uint256 i = 0; i < payees; ++i) {
            sum += split.bps[i];
        }
        if (sum != Money.BPS) revert SplitSumWrong(sum, Money.BPS);
    }
}
