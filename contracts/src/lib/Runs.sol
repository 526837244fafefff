// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

/// @notice What one requester has used of one dataset, in one word: counter << 40 | returned << 32 | runs.
/// The counter only grows, so no jobId comes twice, and it lies beside what changes with it.
type RunCount is uint256;

using Runs for RunCount global;

/// @notice The bits of a `RunCount`.
library Runs {
    uint256 private constant RETURNED_SHIFT = 32;
    uint256 private constant COUNTER_SHIFT = 40;
    uint256 private constant ONE_RUN = 1;
    uint256 private constant ONE_RETURNED = 2 ** RETURNED_SHIFT;
    uint256 private constant ONE_COUNTER = 2 ** COUNTER_SHIFT;

    /// @notice How many jobs were ever opened.
    function counter(RunCount count) internal pure returns (uint64) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint64(RunCount.unwrap(count) >> COUNTER_SHIFT);
    }

    /// @notice How many of them count against maxRunsPerRequester.
    function runs(RunCount count) internal pure returns (uint32) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint32(RunCount.unwrap(count));
    }

    /// @notice How many runs were given back after their job had started.
    function returned(RunCount count) internal pure returns (uint8) {
        // forge-lint: disable-next-line(unsafe-typecast)
        return uint8(RunCount.unwrap(count) >> RETURNED_SHIFT);
    }

    /// @notice One job more. Only where `runs` is below some uint32.
    function take(RunCount count) internal pure returns (RunCount) {
        unchecked {
            // runs < 2^32 - 1 here, and nobody pays for 2^64 requests.
            return RunCount.wrap(RunCount.unwrap(count) + ONE_COUNTER + ONE_RUN);
        }
    }

    /// @notice One run back. Only for a job that took one and has not given it back, so runs >= 1.
    function giveBack(RunCount count) internal pure returns (RunCount) {
        unchecked {
            return RunCount.wrap(RunCount.unwrap(count) - ONE_RUN);
        }
    }

    /// @notice One run back, and counted as such. Only where `returned` is below some uint8.
    function giveBackStarted(RunCount count) internal pure returns (RunCount) {
        unchecked {
            return RunCount.wrap(RunCount.unwrap(count) + ONE_RETURNED - ONE_RUN);
        }
    }
}
