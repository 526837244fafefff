// SPDX-License-Identifier: MIT OR Apache-2.0
pragma solidity ^0.8.37;

/// A token as the standard describes it.
contract PlainToken {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external returns (bool) {
        allowance[msg.sender][spender] = amount;
        return true;
    }

    function transfer(address to, uint256 amount) external virtual returns (bool) {
        _move(msg.sender, to, amount, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external virtual returns (bool) {
        _spend(from, amount);
        _move(from, to, amount, amount);
        return true;
    }

    function _spend(address from, uint256 amount) internal {
        uint256 allowed = allowance[from][msg.sender];
        if (allowed != type(uint256).max) allowance[from][msg.sender] = allowed - amount;
    }

    function _move(address from, address to, uint256 out, uint256 in_) internal {
        balanceOf[from] -= out;
        balanceOf[to] += in_;
    }
}

/// Says how people name and count it, as tokens that people hold do.
contract NamedToken is PlainToken {
    string public symbol;
    uint8 public immutable decimals;

    constructor(string memory symbol_, uint8 decimals_) {
        symbol = symbol_;
        decimals = decimals_;
    }
}

/// Keeps a hundredth of every transfer.
contract FeeToken is PlainToken {
    function transferFrom(address from, address to, uint256 amount) external override returns (bool) {
        _spend(from, amount);
        _move(from, to, amount, amount - amount / 100);
        return true;
    }
}

/// Says no by returning false instead of reverting.
contract FalseToken is PlainToken {
    bool public refusing;

    function refuse(bool value) external {
        refusing = value;
    }

    function transfer(address to, uint256 amount) external override returns (bool) {
        if (refusing) return false;
        _move(msg.sender, to, amount, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external override returns (bool) {
        if (refusing) return false;
        _spend(from, amount);
        _move(from, to, amount, amount);
        return true;
    }
}

/// Refuses to move anything to or from listed accounts.
contract BlacklistToken is PlainToken {
    mapping(address => bool) public listed;

    function list(address account, bool value) external {
        listed[account] = value;
    }

    function transfer(address to, uint256 amount) external override returns (bool) {
        require(!listed[msg.sender] && !listed[to], "listed");
        _move(msg.sender, to, amount, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external override returns (bool) {
        require(!listed[from] && !listed[to], "listed");
        _spend(from, amount);
        _move(from, to, amount, amount);
        return true;
    }
}

/// Returns nothing, as USDT does.
contract NoReturnToken {
    mapping(address => uint256) public balanceOf;
    mapping(address => mapping(address => uint256)) public allowance;

    function mint(address to, uint256 amount) external {
        balanceOf[to] += amount;
    }

    function approve(address spender, uint256 amount) external virtual {
        allowance[msg.sender][spender] = amount;
    }

    function transfer(address to, uint256 amount) external {
        balanceOf[msg.sender] -= amount;
        balanceOf[to] += amount;
    }

    function transferFrom(address from, address to, uint256 amount) external {
        allowance[from][msg.sender] -= amount;
        balanceOf[from] -= amount;
        balanceOf[to] += amount;
    }
}

/// USDT as it is: 6 decimals, returns nothing, and an allowance is changed by way of 0 only.
contract TetherToken is NoReturnToken {
    string public constant symbol = "USDT";
    uint8 public constant decimals = 6;

    error AllowanceNotZero(uint256 allowed);

    function approve(address spender, uint256 amount) external override {
        uint256 allowed = allowance[msg.sender][spender];
        if (amount != 0 && allowed != 0) revert AllowanceNotZero(allowed);
        allowance[msg.sender][spender] = amount;
    }
}

/// Calls back in the middle of a transfer, as ERC-777 does: `target` with `data`, once.
contract CallbackToken is PlainToken {
    address public target;
    bytes public data;
    bool public lastOk;
    bytes public lastAnswer;

    function arm(address target_, bytes calldata data_) external {
        target = target_;
        data = data_;
    }

    function transfer(address to, uint256 amount) external override returns (bool) {
        _callBack();
        _move(msg.sender, to, amount, amount);
        return true;
    }

    function transferFrom(address from, address to, uint256 amount) external override returns (bool) {
        _spend(from, amount);
        _callBack();
        _move(from, to, amount, amount);
        return true;
    }

    function _callBack() private {
        if (target == address(0)) return;
        address to = target;
        target = address(0);
        (lastOk, lastAnswer) = to.call(data);
    }
}
