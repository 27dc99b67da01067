package intent

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	bankv1beta1 "cosmossdk.io/api/cosmos/bank/v1beta1"
	basev1beta1 "cosmossdk.io/api/cosmos/base/v1beta1"
	govv1beta1 "cosmossdk.io/api/cosmos/gov/v1beta1"
	stakingv1beta1 "cosmossdk.io/api/cosmos/staking/v1beta1"
	txv1beta1 "cosmossdk.io/api/cosmos/tx/v1beta1"
	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/anypb"
)

// cosmosParts is a transaction in the parts that tests break.
type cosmosParts struct {
	r          *cosmosRandom
	msg        proto.Message
	url        string // of the message, its own if empty
	value      []byte // that follows it
	body, auth []byte // that follow them
	tail       []byte // that follows the document
	chain      string
	signers    []byte // of AuthInfo
	fee        []byte // with its tag
}

// lengthy is a field of bytes, with its tag.
func lengthy(number protowire.Number, b []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), b)
}

// numeric is a field of a number, with its tag.
func numeric(number protowire.Number, n uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(nil, number, protowire.VarintType), n)
}

// signerOf is a signer with its tag, of a key and a mode.
func signerOf(key []byte, mode uint64) []byte {
	any := slices.Concat(lengthy(1, []byte("/cosmos.crypto.secp256k1.PubKey")), lengthy(2, lengthy(1, key)))
	return lengthy(1, slices.Concat(lengthy(1, any), lengthy(2, lengthy(1, numeric(1, mode)))))
}

func uatom(n string) []*basev1beta1.Coin { return []*basev1beta1.Coin{{Denom: "uatom", Amount: n}} }

func goodCosmos() *cosmosParts {
	r := newCosmosRandom(1)
	send := &bankv1beta1.MsgSend{FromAddress: r.from, ToAddress: bech("cosmos", make([]byte, 20)), Amount: uatom("5")}
	return &cosmosParts{r: r, msg: send, chain: "cosmoshub-4", signers: signerOf(r.key, 1), fee: lengthy(2, numeric(2, 7))}
}

func (c *cosmosParts) bytes() []byte {
	x := cosmosAny(c.msg)
	if c.url != "" {
		x.TypeUrl = c.url
	}
	message := slices.Concat(lengthy(1, []byte(x.TypeUrl)), lengthy(2, slices.Concat(x.Value, c.value)))
	return slices.Concat(lengthy(1, slices.Concat(lengthy(1, message), c.body)), lengthy(2, slices.Concat(c.signers, c.fee, c.auth)),
		lengthy(3, []byte(c.chain)), numeric(4, 9), c.tail)
}

func (c *cosmosParts) decode() (*Decoded, error) {
	return Decode(Payload{Network: "cosmos", Format: "direct", Bytes: c.bytes(), Key: c.r.key})
}

// badCosmos is a row: what is said of a good transaction after a change, "" if it is read, and "? " and a text if that is unknown.
type badCosmos struct {
	name, says string
	change     func(*cosmosParts)
}

func (row badCosmos) run(t *testing.T) {
	t.Helper()
	c := goodCosmos()
	row.change(c)
	d, err := c.decode()
	text, unknown := strings.CutPrefix(row.says, "? ")
	switch {
	case row.says == "" || unknown:
		if err != nil || len(d.Unknown) > 1 || !strings.Contains(strings.Join(d.Unknown, ""), text) || unknown != (len(d.Unknown) == 1) {
			t.Errorf("%s: %+v %v, want %q", row.name, d, err, row.says)
		}
	case !errors.Is(err, ErrPayload) || !strings.Contains(err.Error(), row.says):
		t.Errorf("%s: %+v %v, want %q", row.name, d, err, row.says)
	}
}

// Goal: a document has one form, and what a chain would not know, or would pass over, is not passed over here. Method: a table of one
// fault each.
func TestCosmosRefusesForms(t *testing.T) {
	long := func(b []byte) []byte { return append(b[:len(b)-1:len(b)-1], b[len(b)-1]|0x80, 0) }
	for _, row := range []badCosmos{
		{"no fault", "", func(*cosmosParts) {}},
		{"a field that is unknown", "SignDoc has a field 5", func(c *cosmosParts) { c.tail = numeric(5, 1) }},
		{"one that is not critical", "SignDoc has a field 1025", func(c *cosmosParts) { c.tail = numeric(1025, 1) }},
		{"fields in another order", "field 3 behind field 4", func(c *cosmosParts) { c.tail = lengthy(3, []byte("cosmoshub-4")) }},
		{"a field twice", "field 4 behind field 4", func(c *cosmosParts) { c.tail = numeric(4, 9) }},
		{"a default", "gas of Fee is 0", func(c *cosmosParts) { c.fee = lengthy(2, numeric(2, 0)) }},
		{"an empty text", "memo of TxBody is empty", func(c *cosmosParts) { c.body = lengthy(2, nil) }},
		{"a text that is none", "memo of TxBody is empty, or no text", func(c *cosmosParts) { c.body = lengthy(2, []byte{0xff}) }},
		{"a number in more bytes", "more bytes than it needs", func(c *cosmosParts) { c.fee = lengthy(2, long(numeric(2, 7))) }},
		{"a tag in more bytes", "more bytes than it needs", func(c *cosmosParts) { c.tail = []byte{0xa0, 0x80, 0} }},
		{"a number of 65 bits", "more than 64 bits", func(c *cosmosParts) {
			c.fee = lengthy(2, append(protowire.AppendTag(nil, 2, 0), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 2))
		}},
		{"a truth of two", "unordered of TxBody is 2", func(c *cosmosParts) { c.body = numeric(4, 2) }},
		{"a field of number 0", "field of number 0", func(c *cosmosParts) { c.body = []byte{0, 1} }},
		{"a field of number 2^29", "field of number 536870912", func(c *cosmosParts) { c.body = protowire.AppendVarint(nil, 1<<32) }},
		{"another wire type", "memo of TxBody is of wire type 0", func(c *cosmosParts) { c.body = numeric(2, 1) }},
		{"an unknown field of the body", "TxBody has a field 6", func(c *cosmosParts) { c.body = numeric(6, 1) }},
		{"one that a chain passes over", "? field of TxBody that is not read: 1025, 0x01", func(c *cosmosParts) {
			c.body = numeric(1025, 1)
		}},
		{"of eight bytes", "? 1025, 0x0000000000000000", func(c *cosmosParts) {
			c.body = append(protowire.AppendTag(nil, 1025, 1), make([]byte, 8)...)
		}},
		{"of four bytes", "? 1025, 0x00000000", func(c *cosmosParts) {
			c.body = append(protowire.AppendTag(nil, 1025, 5), make([]byte, 4)...)
		}},
		{"of bytes", "? 1025, 0x0161", func(c *cosmosParts) { c.body = lengthy(1025, []byte("a")) }},
		{"of a group", "field 1025 is of wire type 3", func(c *cosmosParts) { c.body = protowire.AppendTag(nil, 1025, 3) }},
		{"twice", "behind field 1025", func(c *cosmosParts) { c.body = slices.Concat(numeric(1025, 1), numeric(1025, 1)) }},
		{"of a message", "? field of /cosmos.bank.v1beta1.MsgSend that is not read", func(c *cosmosParts) { c.value = numeric(1025, 1) }},
		{"of AuthInfo", "AuthInfo has a field 1025", func(c *cosmosParts) { c.auth = numeric(1025, 1) }},
		{"unknown in a message", "MsgSend has a field 4", func(c *cosmosParts) { c.value = numeric(4, 1) }},
	} {
		row.run(t)
	}
}

// Goal: what is signed is of this chain and by this key, and what binds besides is there to see. Method: a table of one fault each.
func TestCosmosRefusesDocuments(t *testing.T) {
	other := unhex("02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5")
	option := slices.Concat(lengthy(1, []byte("/x.Y")), lengthy(2, []byte("z")))
	stamp := func(seconds, nanos uint64) []byte {
		return lengthy(5, slices.Concat(numeric(1, seconds), numeric(2, nanos)))
	}
	for _, row := range []badCosmos{
		{"another chain", `chain ID "osmosis-1"`, func(c *cosmosParts) { c.chain = "osmosis-1" }},
		{"the test chain", "", func(c *cosmosParts) { c.chain = "theta-testnet-001" }},
		{"amino as the mode", "another mode", func(c *cosmosParts) { c.signers = signerOf(c.r.key, 127) }},
		{"another's key", "0 times among the 1 signers", func(c *cosmosParts) { c.signers = signerOf(other, 1) }},
		{"no signer", "0 times among the 0", func(c *cosmosParts) { c.signers = nil }},
		{"the key twice", "2 times among the 2", func(c *cosmosParts) { c.signers = append(c.signers, c.signers...) }},
		{"the key as one of another curve", "0 times", func(c *cosmosParts) {
			c.signers = bytes.Replace(c.signers, []byte("secp256k1"), []byte("secp256r1"), 1)
		}},
		{"two signers", "? transaction that 2 sign", func(c *cosmosParts) { c.signers = append(c.signers, signerOf(other, 1)...) }},
		{"no fee", "without a fee", func(c *cosmosParts) { c.fee = nil }},
		{"an empty fee", "", func(c *cosmosParts) { c.fee = lengthy(2, nil) }},
		{"a fee twice", "field 2 behind field 2", func(c *cosmosParts) { c.fee = append(c.fee, c.fee...) }},
		{"a fee of nothing", "no amount of coins", func(c *cosmosParts) {
			c.fee = lengthy(2, lengthy(1, slices.Concat(lengthy(1, []byte("uatom")), lengthy(2, []byte("0")))))
		}},
		{"a tip", `? tip of 1 "" by "x"`, func(c *cosmosParts) {
			coin := slices.Concat(lengthy(1, []byte("uatom")), lengthy(2, []byte("1")))
			c.auth = lengthy(3, slices.Concat(lengthy(1, coin), lengthy(2, []byte("x"))))
		}},
		{"a tip of nothing", "no amount of coins", func(c *cosmosParts) { c.auth = lengthy(3, lengthy(1, nil)) }},
		{"an extension", `? extension_options: "/x.Y" with 0x7a`, func(c *cosmosParts) { c.body = lengthy(1023, option) }},
		{"one that is not critical", "? non_critical_extension_options", func(c *cosmosParts) { c.body = lengthy(2047, option) }},
		{"a timeout", "", func(c *cosmosParts) { c.body = stamp(253402300799, 999999999) }},
		{"a timeout after all years", "timeout of 253402300800", func(c *cosmosParts) { c.body = stamp(253402300800, 1) }},
		{"a timeout of a second more", "and 1000000000 nano", func(c *cosmosParts) { c.body = stamp(1, 1000000000) }},
		{"another message", `? message 0: "/x.Y"`, func(c *cosmosParts) { c.url = "/x.Y" }},
		{"a name without a slash", `? message 0: "cosmos.bank`, func(c *cosmosParts) { c.url = "cosmos.bank.v1beta1.MsgSend" }},
		{"amino's name", `? message 0: "cosmos-sdk/MsgSend"`, func(c *cosmosParts) { c.url = "cosmos-sdk/MsgSend" }},
	} {
		row.run(t)
	}
	c := goodCosmos()
	b := c.bytes()
	for n := range b[:len(b)-2] { // then the account number is to come, and none is 0
		if _, err := Decode(Payload{Network: "cosmos", Format: "direct", Bytes: b[:n], Key: c.r.key}); err == nil {
			t.Fatalf("reads %d bytes of %d", n, len(b))
		}
	}
	empty := slices.Concat(lengthy(2, slices.Concat(c.signers, c.fee)), lengthy(3, []byte(c.chain)))
	if _, err := Decode(Payload{Network: "cosmos", Format: "direct", Bytes: empty, Key: c.r.key}); !errors.Is(err, ErrPayload) ||
		!strings.Contains(err.Error(), "without messages") {
		t.Error(err)
	}
}

// Goal: a message is read if it is one of the key's account, to accounts that there are, of amounts that there are. Method: a table of one
// fault each.
func TestCosmosRefusesMessages(t *testing.T) {
	r := newCosmosRandom(1)
	to, validator, other := bech("cosmos", make([]byte, 20)), bech("cosmosvaloper", make([]byte, 20)), bech("cosmos", make([]byte, 32))
	send := func(from, to string, coins ...*basev1beta1.Coin) proto.Message {
		return &bankv1beta1.MsgSend{FromAddress: from, ToAddress: to, Amount: coins}
	}
	coin := func(denom, n string) *basev1beta1.Coin { return &basev1beta1.Coin{Denom: denom, Amount: n} }
	many := func(in []*bankv1beta1.Input, out ...*bankv1beta1.Output) proto.Message {
		return &bankv1beta1.MsgMultiSend{Inputs: in, Outputs: out}
	}
	in := func(from, n string) []*bankv1beta1.Input {
		return []*bankv1beta1.Input{{Address: from, Coins: uatom(n)}}
	}
	out := func(n string) *bankv1beta1.Output { return &bankv1beta1.Output{Address: to, Coins: uatom(n)} }
	delegate := func(from, to string, n string) proto.Message {
		return &stakingv1beta1.MsgDelegate{DelegatorAddress: from, ValidatorAddress: to, Amount: coin("uatom", n)}
	}
	most := "115792089237316195423570985008687907853269984665640564039457584007913129639935"
	for _, row := range []struct {
		name, says string
		msg        proto.Message
	}{
		{"a send of another", "alone", send(to, to, coin("uatom", "1"))},
		{"a send to a module", "", send(r.from, other, coin("uatom", "1"))},
		{"in capitals", "no account", send(r.from, strings.ToUpper(to), coin("uatom", "1"))},
		{"to a validator", "no account", send(r.from, validator, coin("uatom", "1"))},
		{"to another chain", "no account", send(r.from, bech("osmo", make([]byte, 20)), coin("uatom", "1"))},
		{"with a wrong checksum", "no account", send(r.from, to[:len(to)-1]+"q", coin("uatom", "1"))},
		{"to 21 bytes", "no account", send(r.from, bech("cosmos", make([]byte, 21)), coin("uatom", "1"))},
		{"of nothing", "moves no coins", send(r.from, to)},
		{"of zero", "no amount", send(r.from, to, coin("uatom", "0"))},
		{"of less than zero", "no amount", send(r.from, to, coin("uatom", "-1"))},
		{"with a zero before", "no amount", send(r.from, to, coin("uatom", "01"))},
		{"of the most", "", send(r.from, to, coin("uatom", most))},
		{"of more", "no amount", send(r.from, to, coin("uatom", most[:len(most)-1]+"6"))},
		{"of no denomination", "no amount", send(r.from, to, coin("u", "1"))},
		{"of coins in another order", "stand behind", send(r.from, to, coin("uosmo", "1"), coin("uatom", "1"))},
		{"of coins twice", "stand behind", send(r.from, to, coin("uatom", "1"), coin("uatom", "1"))},
		{"to many", "", many(in(r.from, "3"), out("1"), out("2"))},
		{"to many of less", "are not its input", many(in(r.from, "4"), out("1"), out("2"))},
		{"to many of more", "are not its input", many(in(r.from, "2"), out("1"), out("2"))},
		{"to many of another", "want one, of", many(in(to, "1"), out("1"))},
		{"to many of two", "2 inputs", many(append(in(r.from, "1"), in(r.from, "1")...), out("2"))},
		{"to many of none", "are not its input", many([]*bankv1beta1.Input{{Address: r.from}})},
		{"a delegation of another", "alone", delegate(to, validator, "1")},
		{"a delegation to an account", "no account", delegate(r.from, to, "1")},
		{"an undelegation of nothing", "a stake of", &stakingv1beta1.MsgUndelegate{DelegatorAddress: r.from, ValidatorAddress: validator}},
		{"from an account", "no account", &stakingv1beta1.MsgUndelegate{DelegatorAddress: r.from, ValidatorAddress: to,
			Amount: uatom("1")[0]}},
		{"a redelegation to an account", "no account", &stakingv1beta1.MsgBeginRedelegate{DelegatorAddress: r.from,
			ValidatorSrcAddress: validator, ValidatorDstAddress: to, Amount: uatom("1")[0]}},
		{"a vote of nothing", "option 0", &govv1beta1.MsgVote{Voter: r.from}},
		{"a vote of more", "option 5", &govv1beta1.MsgVote{Voter: r.from, Option: 5}},
		{"a vote of a negative", "option of", &govv1beta1.MsgVote{Voter: r.from, Option: -1}},
	} {
		badCosmos{row.name, row.says, func(c *cosmosParts) { c.msg = row.msg }}.run(t)
	}
}

// Goal: what goes to another chain says over which channel, and a MsgExec executes something. Method: a table of one fault each.
func TestCosmosRefusesOthers(t *testing.T) {
	for _, row := range []badCosmos{
		{"an IBC transfer without a channel", "an IBC transfer over", func(c *cosmosParts) { c.ibc("transfer", "", "x") }},
		{"without a port", "an IBC transfer over", func(c *cosmosParts) { c.ibc("", "channel-1", "x") }},
		{"to nobody", "an IBC transfer over", func(c *cosmosParts) { c.ibc("transfer", "channel-1", "") }},
		{"over two channels", "an IBC transfer over", func(c *cosmosParts) { c.ibc("transfer", "a/b", "x") }},
		{"a MsgExec of nothing", "MsgExec of nothing", func(c *cosmosParts) {
			c.url, c.msg, c.value = "/cosmos.authz.v1beta1.MsgExec", &anypb.Any{}, lengthy(1, []byte(c.r.from))
		}},
	} {
		row.run(t)
	}
}

func (c *cosmosParts) ibc(port, channel, to string) {
	c.url, c.msg = "/ibc.applications.transfer.v1.MsgTransfer", &anypb.Any{}
	for n, text := range []string{port, channel} {
		if text != "" {
			c.value = append(c.value, lengthy(protowire.Number(n+1), []byte(text))...)
		}
	}
	c.value = append(append(c.value, lengthy(3, cosmosAny(uatom("1")[0]).Value)...), lengthy(4, []byte(c.r.from))...)
	if to != "" {
		c.value = append(c.value, lengthy(5, []byte(to))...)
	}
}

// Goal: amino's JSON is read in the one form that is signed, and nothing of it is passed over. Method: a document, with one thing replaced.
func TestCosmosAminoRefuses(t *testing.T) {
	r := newCosmosRandom(1)
	good := `{"account_number":"9","chain_id":"cosmoshub-4","fee":{"amount":[{"amount":"2","denom":"uatom"}],"gas":"7"},"memo":"a",` +
		`"msgs":[{"type":"cosmos-sdk/MsgVote","value":{"option":1,"proposal_id":"3","voter":"` + r.from + `"}}],"sequence":"0"}`
	for _, row := range [][3]string{
		{`"a"`, `"a"`, ""}, {`"a"`, `""`, ""}, {`"0"}`, `"0","timeout_height":"1"}`, ""},
		{`"a"`, `"\u003c"`, ""}, {`"a"`, `"<"`, "another way"}, {`"a"`, ` "a"`, "another way"}, {`"a"`, `"\u0061"`, "another way"},
		{`"a"`, `"` + "\xff" + `"`, "another way"}, {`"a"`, `"b","memo":"a"`, "another way"}, {`"0"}`, `"0"} `, "another way"},
		{`"0"}`, `"0"}{}`, "no JSON"}, {`"gas":"7"`, `"gas":"7","aaa":"1"`, "another way"},
		{`"a"`, `1`, "memo of StdSignDoc"}, {`,"memo":"a"`, ``, "lacks memo"}, {`"9"`, `9`, "account_number of"},
		{`"9"`, `"09"`, "account_number of"},
		{`"9"`, `"-1"`, "account_number of"}, {`"9"`, `"18446744073709551616"`, "account_number of"}, {`"0"}`, `"0","x":1}`, `has "x"`},
		{`"0"}`, `"0","timeout_height":"0"}`, "timeout_height of"}, {`"0"}`, `"0","unordered":false}`, "unordered of"},
		{`"0"}`, `"0","unordered":true}`, ""}, {`"0"}`, `"0","timeout_timestamp":"2026-01-01T00:00:00Z"}`, ""},
		{`"0"}`, `"0","timeout_timestamp":"2026-01-01T00:00:00.0Z"}`, "a timeout of"},
		{`"0"}`, `"0","timeout_timestamp":""}`, "timeout_timestamp of"},
		{`"gas":"7"`, `"gas":"7","payer":""`, "payer of"}, {`"gas":"7"`, `"gas":"7","payer":"x"`, ""},
		{`[{"amount":"2","denom":"uatom"}]`, `[]`, ""},
		{`[{"amount":"2","denom":"uatom"}]`, `null`, "amount of Fee"}, {`{"amount":"2","denom":"uatom"}`, `2`, "Coin is no JSON object"},
		{`"option":1`, `"option":1.5`, "option of"}, {`"option":1`, `"option":"1"`, "option of"}, {`"option":1`, `"option":0`, "option of"},
		{`"option":1`, `"option":2147483648`, "option of"}, {`"option":1`, `"nothing":2,"option":1`, `has "nothing"`},
		{`"type":"cosmos-sdk/MsgVote",`, ``, "no amino name"},
		{`"type":"cosmos-sdk/MsgVote",`, `"a":1,"type":"cosmos-sdk/MsgVote",`, "no amino name"},
		{`"cosmos-sdk/MsgVote"`, `""`, "no amino name"}, {`[{"type"`, `[1,{"type"`, "no amino name"},
		{`"cosmos-sdk/MsgVote"`, `"/cosmos.gov.v1beta1.MsgVote"`, "? message 0"}, {`cosmoshub-4`, `cosmoshub-3`, "chain ID"},
		{r.from, bech("cosmos", make([]byte, 20)), "alone"},
		{`"0"}`, `"0","tip":{"amount":[{"amount":"2","denom":"uatom"}],"tipper":"x"}}`, "? tip of 2"},
	} {
		b := strings.Replace(good, row[0], row[1], 1)
		d, err := Decode(Payload{Network: "cosmos", Format: "amino", Bytes: []byte(b), Key: r.key})
		text, unknown := strings.CutPrefix(row[2], "? ")
		if unknown || row[2] == "" {
			if err != nil || unknown != (len(d.Unknown) == 1) || !strings.Contains(strings.Join(d.Unknown, ""), text) {
				t.Errorf("%s: %+v %v, want %q", b, d, err, row[2])
			}
		} else if !errors.Is(err, ErrPayload) || !strings.Contains(err.Error(), row[2]) {
			t.Errorf("%s: %v, want %q", b, err, row[2])
		}
	}
}

// Goal: the key is one point of secp256k1. Method: keys that are none.
func TestCosmosKey(t *testing.T) {
	c := goodCosmos()
	empty := `{"account_number":"9","chain_id":"cosmoshub-4","fee":{"amount":[],"gas":"7"},"memo":"","msgs":[],"sequence":"0"}`
	for _, key := range [][]byte{nil, c.r.key[1:], append(slices.Clone(c.r.key), 0), uncompressed(t, c.r.key),
		append([]byte{5}, c.r.key[1:]...)} {
		c.signers = signerOf(key, 1)
		for _, format := range []Format{"direct", "amino"} {
			p := Payload{Network: "cosmos", Format: format, Bytes: c.bytes(), Key: key}
			if format == "amino" {
				p.Bytes = []byte(empty)
			}
			if _, err := Decode(p); !errors.Is(err, ErrPayload) || !strings.Contains(err.Error(), "bytes on Cosmos") && format == "amino" {
				t.Errorf("key %x: %v", key, err)
			}
		}
	}
}

func uncompressed(t *testing.T, key []byte) []byte {
	p, err := secp256k1.ParsePubKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return p.SerializeUncompressed()
}

// again has the library read a message, and write it in the same bytes.
func again(t *testing.T, b []byte, m proto.Message) {
	if err := proto.Unmarshal(b, m); err != nil {
		t.Fatal(err)
	}
	if out := cosmosAny(m).Value; !bytes.Equal(out, b) {
		t.Errorf("%x is written as %x", b, out)
	}
}

// Goal: the account of fees is the Hub's. Method: the hash of its name.
func TestCosmosFeeAccount(t *testing.T) {
	if name := sha256.Sum256([]byte("fee_collector")); cosmosFee != bech("cosmos", name[:20]) {
		t.Error(cosmosFee)
	}
}

// FuzzCosmosDirect: a document that is read is written in the same bytes by the library, all its parts, and its digest is their hash.
func FuzzCosmosDirect(f *testing.F) {
	r := newCosmosRandom(4)
	for range 20 {
		f.Add(r.transaction(f).direct.Digest)
	}
	f.Add(goodCosmos().bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Decode(Payload{Network: "cosmos", Format: "direct", Bytes: b, Key: r.key})
		if err != nil || slices.ContainsFunc(d.Unknown, func(s string) bool { return strings.HasPrefix(s, "field of") }) {
			return
		}
		var doc txv1beta1.SignDoc
		var body txv1beta1.TxBody
		var auth txv1beta1.AuthInfo
		again(t, b, &doc)
		again(t, doc.BodyBytes, &body)
		if proto.Unmarshal(doc.AuthInfoBytes, &auth) != nil { // modes of other signers are not read
			t.Errorf("%x", doc.AuthInfoBytes)
		}
		if len(auth.SignerInfos) == 1 {
			again(t, doc.AuthInfoBytes, &auth)
		}
		for _, x := range body.Messages {
			if slices.ContainsFunc(cosmosRules(), func(r cosmosRule) bool { return r.url == x.TypeUrl }) {
				kind, err := protoregistry.GlobalTypes.FindMessageByURL(x.TypeUrl)
				if err != nil {
					t.Fatal(err)
				}
				again(t, x.Value, kind.New().Interface())
			}
		}
		if sum := sha256.Sum256(b); !bytes.Equal(d.Digest, sum[:]) || len(d.Transfers)+len(d.Calls) == 0 {
			t.Errorf("%x: %+v", b, d)
		}
	})
}

// aminoDocument is StdSignDoc as the SDK's legacytx declares it.
type aminoDocument struct {
	AccountNumber    uint64            `json:"account_number,string"`
	Sequence         uint64            `json:"sequence,string"`
	TimeoutHeight    uint64            `json:"timeout_height,omitempty,string"`
	TimeoutTimestamp string            `json:"timeout_timestamp,omitempty"`
	Unordered        bool              `json:"unordered,omitempty"`
	ChainID          string            `json:"chain_id"`
	Memo             string            `json:"memo"`
	Fee              json.RawMessage   `json:"fee"`
	Msgs             []json.RawMessage `json:"msgs"`
	Tip              json.RawMessage   `json:"tip,omitempty"`
}

// FuzzCosmosAmino: a document that is read is StdSignDoc, which sorted is written in the same bytes.
func FuzzCosmosAmino(f *testing.F) {
	r := newCosmosRandom(4)
	for range 20 {
		f.Add(r.transaction(f).amino.Digest)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if _, err := Decode(Payload{Network: "cosmos", Format: "amino", Bytes: b, Key: r.key}); err != nil {
			return
		}
		var doc aminoDocument
		if err := json.Unmarshal(b, &doc); err != nil {
			t.Fatal(err)
		}
		unsorted, err := json.Marshal(doc)
		if err != nil {
			t.Fatal(err)
		}
		var any map[string]any
		if err := json.Unmarshal(unsorted, &any); err != nil {
			t.Fatal(err)
		}
		if out, err := json.Marshal(any); err != nil || !bytes.Equal(out, b) {
			t.Errorf("%s is written as %s, %v", b, out, err)
		}
	})
}
