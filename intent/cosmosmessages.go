package intent

import (
	"maps"
	"math/big"
	"strings"

	"github.com/luxfi/mpcd/internal/address"
)

// cosmosRule is a message that is read: its names in protobuf and in amino's JSON, which field has who signs it, and what it does.
type cosmosRule struct {
	url, amino, signer string
	fields             []shapeField
	read               func(c *cosmosReader, m *fields) error
}

// cosmosField makes a line of a message's shape.
func cosmosField(number uint64, name string) shapeField {
	return shapeField{number: number, name: name}
}

func cosmosNumber(number uint64, name string) shapeField {
	return shapeField{number: number, name: name, kind: isUint}
}

func cosmosCoin(number uint64, name string) shapeField {
	return shapeField{number: number, name: name, kind: isMessage, kept: true, of: &coin}
}

func cosmosList(number uint64, name string, of *shape) shapeField {
	return shapeField{number: number, name: name, kind: isMessage, repeated: true, kept: true, of: of}
}

// The messages inside of others (cosmos/bank/v1beta1/bank.proto, ibc/core/client/v1/client.proto).
var (
	bankSide  = shape{"Input, Output", []shapeField{cosmosField(1, "address"), cosmosList(2, "coins", &coin)}}
	ibcHeight = shape{"Height", []shapeField{cosmosNumber(1, "revision_number"), cosmosNumber(2, "revision_height")}}
)

// cosmosRules is the closed table (cosmos-sdk and ibc-go, their *.proto).
func cosmosRules() []cosmosRule {
	delegator, option := cosmosField(1, "delegator_address"), shapeField{number: 3, name: "option", kind: isEnum}
	vote := []shapeField{cosmosNumber(1, "proposal_id"), cosmosField(2, "voter"), option}
	staked := []shapeField{delegator, cosmosField(2, "validator_address"), cosmosCoin(3, "amount")}
	return []cosmosRule{
		{"/cosmos.bank.v1beta1.MsgSend", "cosmos-sdk/MsgSend", "from_address", []shapeField{cosmosField(1, "from_address"),
			cosmosField(2, "to_address"), cosmosList(3, "amount", &coin)}, (*cosmosReader).send},
		{"/cosmos.bank.v1beta1.MsgMultiSend", "cosmos-sdk/MsgMultiSend", "", []shapeField{cosmosList(1, "inputs", &bankSide),
			cosmosList(2, "outputs", &bankSide)}, (*cosmosReader).multiSend},
		{"/ibc.applications.transfer.v1.MsgTransfer", "cosmos-sdk/MsgTransfer", "sender", []shapeField{cosmosField(1, "source_port"),
			cosmosField(2, "source_channel"), cosmosCoin(3, "token"), cosmosField(4, "sender"), cosmosField(5, "receiver"),
			{number: 6, name: "timeout_height", kind: isMessage, kept: true, of: &ibcHeight}, cosmosNumber(7, "timeout_timestamp"),
			cosmosField(8, "memo")}, (*cosmosReader).ibc},
		{"/cosmos.staking.v1beta1.MsgDelegate", "cosmos-sdk/MsgDelegate", "delegator_address", staked, (*cosmosReader).delegate},
		{"/cosmos.staking.v1beta1.MsgUndelegate", "cosmos-sdk/MsgUndelegate", "delegator_address", staked, (*cosmosReader).undelegate},
		{"/cosmos.staking.v1beta1.MsgBeginRedelegate", "cosmos-sdk/MsgBeginRedelegate", "delegator_address", []shapeField{delegator,
			cosmosField(2, "validator_src_address"), cosmosField(3, "validator_dst_address"), cosmosCoin(4, "amount")},
			(*cosmosReader).redelegate},
		{"/cosmos.distribution.v1beta1.MsgWithdrawDelegatorReward", "cosmos-sdk/MsgWithdrawDelegationReward", "delegator_address",
			[]shapeField{delegator, cosmosField(2, "validator_address")}, (*cosmosReader).withdraw},
		{"/cosmos.gov.v1beta1.MsgVote", "cosmos-sdk/MsgVote", "voter", vote, (*cosmosReader).vote},
		{"/cosmos.gov.v1.MsgVote", "cosmos-sdk/v1/MsgVote", "voter", append(vote[:3:3], cosmosField(4, "metadata")), (*cosmosReader).vote},
		{"/cosmos.authz.v1beta1.MsgExec", "cosmos-sdk/MsgExec", "grantee", []shapeField{cosmosField(1, "grantee"),
			{number: 2, name: "msgs", kind: isAny, repeated: true, kept: true}}, (*cosmosReader).exec},
	}
}

// message reads one as its rule says, or names it as unknown. What the key signs for is its own account's.
func (c *cosmosReader) message(n int, m *fields) error {
	name, value := m.texts["type_url"], m.texts["value"]
	for _, rule := range cosmosRules() {
		if c.amino && rule.amino != name || !c.amino && rule.url != name {
			continue
		}
		r, err := c.fields(&shape{name, rule.fields}, value)
		if err != nil {
			return err
		}
		if by := r.texts[rule.signer]; rule.signer != "" && by != c.from {
			return refuse("message %d, %s, is of %q, and the key signs for %s alone", n, name, clip(by), c.from)
		}
		r.texts["url"], r.texts["raw"] = rule.url, value
		return rule.read(c, r)
	}
	c.Calls = append(c.Calls, Call{Method: name, Data: []byte(value)})
	c.unknown("message %d: %q with %d bytes", n, name, len(value))
	return nil
}

// fields reads those of a message in the form of the payload.
func (c *cosmosReader) fields(s *shape, value string) (*fields, error) {
	if c.amino {
		v, err := decodeJSON([]byte(value))
		if err != nil {
			return nil, err
		}
		return readJSON(s, v)
	}
	p := protoReader{lenient: true}
	r, err := p.read(s, []byte(value))
	c.Unknown = append(c.Unknown, p.unknown...)
	return r, err
}

// moves reads coins that go away.
func (c *cosmosReader) moves(to string, all []*fields) error {
	paid, err := coins(all)
	if err != nil {
		return err
	}
	if len(paid) == 0 {
		return refuse("a message moves no coins to %q", clip(to))
	}
	for _, x := range paid {
		x.What, x.To = Send, to
		if to == c.from {
			x.What = Change
		}
		c.Transfers = append(c.Transfers, x)
	}
	return nil
}

// cosmosAccount refuses a text that is no address, or another than the one spelling of it.
func cosmosAccount(prefix, text string) error {
	if !address.IsBech32(prefix, text) {
		return refuse("%q is no account of the prefix %s in lower case", clip(text), prefix)
	}
	return nil
}

func (c *cosmosReader) send(m *fields) error {
	to := m.texts["to_address"]
	if err := cosmosAccount("cosmos", to); err != nil {
		return err
	}
	return c.moves(to, m.lists["amount"])
}

// multiSend reads one who pays several: what goes out is what comes in.
func (c *cosmosReader) multiSend(m *fields) error {
	in, sums := m.lists["inputs"], map[string]string{}
	if len(in) != 1 || in[0].texts["address"] != c.from {
		return refuse("a MsgMultiSend of %d inputs, want one, of %s", len(in), c.from)
	}
	paid, err := coins(in[0].lists["coins"])
	if err != nil {
		return err
	}
	for _, x := range paid {
		sums[x.Asset] = x.Amount.String()
	}
	totals := map[string]*big.Int{}
	for _, o := range m.lists["outputs"] {
		to, first := o.texts["address"], len(c.Transfers)
		if err := cosmosAccount("cosmos", to); err != nil {
			return err
		}
		if err := c.moves(to, o.lists["coins"]); err != nil {
			return err
		}
		for _, x := range c.Transfers[first:] {
			if totals[x.Asset] == nil {
				totals[x.Asset] = new(big.Int)
			}
			totals[x.Asset].Add(totals[x.Asset], x.Amount)
		}
	}
	out := map[string]string{}
	for asset, n := range totals {
		out[asset] = n.String()
	}
	if len(out) == 0 || !maps.Equal(sums, out) {
		return refuse("the outputs of a MsgMultiSend are not its input")
	}
	return nil
}

// ibc reads coins that go to an account of another chain: which chain the channel says, so it is part of who gets them. A chain on the way
// may act on the memo, and send them on.
func (c *cosmosReader) ibc(m *fields) error {
	port, channel, to := m.texts["source_port"], m.texts["source_channel"], m.texts["receiver"]
	if port == "" || channel == "" || strings.Contains(port+channel, "/") || to == "" {
		return refuse("an IBC transfer over %q of %q to %q", clip(channel), clip(port), clip(to))
	}
	if h := m.one("timeout_height").numbers; len(h) > 0 {
		c.fact("ibc.timeout_height", digits(h["revision_number"])+"-"+digits(h["revision_height"]))
	}
	if t := m.numbers["timeout_timestamp"]; t != 0 {
		c.fact("ibc.timeout_timestamp", digits(t))
	}
	if memo := m.texts["memo"]; memo != "" {
		c.fact("ibc.memo", memo)
		c.unknown("memo of an IBC transfer, on which another chain may act: %q", memo)
	}
	return c.moves(port+"/"+channel+"/"+to, m.lists["token"])
}

// delegate reads coins that are bound to a validator, who may lose them: to rules they are sent.
func (c *cosmosReader) delegate(m *fields) error {
	to := m.texts["validator_address"]
	if err := cosmosAccount("cosmosvaloper", to); err != nil {
		return err
	}
	c.fact("delegate", to)
	return c.moves(to, m.lists["amount"])
}

// call is a message that was read and that moves nothing away: a fact says what it does.
func (c *cosmosReader) call(m *fields, to string, fact ...string) error {
	c.fact(fact[0], strings.Join(fact[1:], " "))
	c.Calls = append(c.Calls, Call{To: to, Method: m.texts["url"], Data: []byte(m.texts["raw"])})
	return nil
}

// stake is the amount of a message of staking.
func (m *fields) stake() (string, error) {
	all, err := coins(m.lists["amount"])
	if err != nil || len(all) != 1 {
		return "", refuse("a stake of %d coins, or of none that are: %v", len(all), err)
	}
	c := m.one("amount")
	return c.texts["amount"] + " " + c.texts["denom"], nil
}

// undelegate reads coins that come back to the account, some weeks later.
func (c *cosmosReader) undelegate(m *fields) error {
	from := m.texts["validator_address"]
	amount, err := m.stake()
	if err == nil {
		err = cosmosAccount("cosmosvaloper", from)
	}
	if err != nil {
		return err
	}
	return c.call(m, from, "undelegate", amount, "from", from)
}

func (c *cosmosReader) redelegate(m *fields) error {
	from, to := m.texts["validator_src_address"], m.texts["validator_dst_address"]
	amount, err := m.stake()
	for _, v := range []string{from, to} {
		if err == nil {
			err = cosmosAccount("cosmosvaloper", v)
		}
	}
	if err != nil {
		return err
	}
	return c.call(m, to, "redelegate", amount, "from", from, "to", to)
}

// withdraw reads rewards that go to where the account has them sent.
func (c *cosmosReader) withdraw(m *fields) error {
	from := m.texts["validator_address"]
	if err := cosmosAccount("cosmosvaloper", from); err != nil {
		return err
	}
	return c.call(m, from, "withdraw_reward", from)
}

func (c *cosmosReader) vote(m *fields) error {
	options := []string{"", "yes", "abstain", "no", "no_with_veto"}
	n := m.numbers["option"]
	if n == 0 || n >= uint64(len(options)) {
		return refuse("a vote of option %d", n)
	}
	if text := m.texts["metadata"]; text != "" {
		c.fact("vote.metadata", text)
	}
	return c.call(m, "", "vote", options[n], "on proposal", digits(m.numbers["proposal_id"]))
}

// exec reads what is done for others who granted it: each is named, and none is read.
func (c *cosmosReader) exec(m *fields) error {
	all := m.lists["msgs"]
	for n, x := range all {
		name, value := x.texts["type_url"], x.texts["value"]
		c.Calls = append(c.Calls, Call{Method: m.texts["url"] + " " + name, Data: []byte(value)})
		c.unknown("message %d of a MsgExec, for another account: %q with %d bytes", n, name, len(value))
	}
	if len(all) == 0 {
		return refuse("a MsgExec of nothing")
	}
	return nil
}
