package intent

import "math/big"

// What of typed data is read, by the text of its type: another with the same name is another type.
const (
	// safeTx is a transaction of a Safe, which is the contract that verifies (Safe, "SafeTx", versions 1.0.0 and later).
	safeTx = "SafeTx(address to,uint256 value,bytes data,uint8 operation,uint256 safeTxGas,uint256 baseGas,uint256 gasPrice," +
		"address gasToken,address refundReceiver,uint256 nonce)"
	safeDomain = "EIP712Domain(uint256 chainId,address verifyingContract)" // Safe, from version 1.3.0
	// permit lets somebody take tokens of the contract that verifies (ERC-2612).
	permit = "Permit(address owner,address spender,uint256 value,uint256 nonce,uint256 deadline)"
	// permitSingle lets somebody take tokens by way of Permit2, to which their owner allowed them before (Uniswap, "AllowanceTransfer").
	permitSingle = "PermitSingle(PermitDetails details,address spender,uint256 sigDeadline)" +
		"PermitDetails(address token,uint160 amount,uint48 expiration,uint48 nonce)"
	permit2Contract = "0x000000000022D473030F116dDEE9F6B43aC78BA3"
)

// read recognises what typed data asks for; all else is unknown.
func (t *typed) read(d *Decoded, primary string) {
	kind, contract := t.encodeType(primary), t.text("domain.verifyingContract")
	switch {
	case kind == safeTx && t.encodeType(domainType) == safeDomain:
		t.safe(d)
	case kind == permit && contract != "":
		d.Transfers = append(d.Transfers, Transfer{Allowance, t.text("message.spender"), contract, t.number("message.value")})
		if owner := t.text("message.owner"); owner != d.from() {
			d.unknown("permit of the owner %s, who is not the account %q of the key", owner, d.from())
		}
	case kind == permitSingle && contract == permit2Contract:
		d.Transfers = append(d.Transfers, Transfer{Allowance, t.text("message.spender"), t.text("message.details.token"),
			t.number("message.details.amount")})
	default:
		d.unknown("typed data of type %s", primary)
	}
}

// safe reads a transaction of a Safe as one of an account, with what only a Safe has.
func (t *typed) safe(d *Decoded) {
	to, data := t.text("message.to"), t.bytes("message.data")
	d.fact("safe", t.text("domain.verifyingContract"))
	if t.number("message.gasPrice").Sign() > 0 {
		d.unknown("SafeTx that pays %s for its gas, at %s of %s each", t.text("message.refundReceiver"), t.text("message.gasPrice"),
			t.text("message.gasToken"))
	}
	switch operation := t.text("message.operation"); operation {
	case "0":
		d.ethereumCall(t.bytes("message.to")[12:], t.number("message.value"), data)
	case "1":
		d.Calls = append(d.Calls, Call{To: to, Method: "delegatecall", Data: data})
		d.unknown("SafeTx that runs the code of %s as the Safe (delegatecall), with %d bytes", to, len(data))
	default:
		d.unknown("SafeTx of operation %s, which no Safe knows", operation)
	}
}

// at is the leaf of a path; an empty one if there is none.
func (t *typed) at(path string) leaf {
	for _, l := range t.leaves {
		if l.path == path {
			return l
		}
	}
	return leaf{}
}

func (t *typed) text(path string) string     { return t.at(path).text }
func (t *typed) bytes(path string) []byte    { return t.at(path).bytes }
func (t *typed) number(path string) *big.Int { return new(big.Int).SetBytes(t.at(path).bytes) }
