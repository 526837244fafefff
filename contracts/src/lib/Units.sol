// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

import { ResultManifest, UNIT_EPOCH, UNIT_KILOTOKEN, UNIT_SAMPLE } from "../Types.sol";

/// @notice What a royalty is counted in.
library Units {
    uint256 internal constant KILOTOKEN = 1000;

    /// @notice How many units a finished attempt comes to. A begun kilotoken counts whole. `unit` comes
    /// out of a committed job, so it is one of the four.
    function done(uint8 unit, ResultManifest calldata manifest) internal pure returns (uint256) {
        if (unit == UNIT_EPOCH) return manifest.actualEpochs;
        if (unit == UNIT_SAMPLE) return manifest.samples;
        if (unit == UNIT_KILOTOKEN) {
            unchecked {
                return (uint256(manifest.tokensTrained) + KILOTOKEN - 1) / KILOTOKEN;
            }
        }
        return manifest.computeSeconds;
    }
}
