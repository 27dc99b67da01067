package intent

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"cosmossdk.io/api/amino"
	authzv1beta1 "cosmossdk.io/api/cosmos/authz/v1beta1"
	bankv1beta1 "cosmossdk.io/api/cosmos/bank/v1beta1"
	basev1beta1 "cosmossdk.io/api/cosmos/base/v1beta1"
	"cosmossdk.io/api/cosmos/crypto/secp256k1"
	distributionv1beta1 "cosmossdk.io/api/cosmos/distribution/v1beta1"
	govv1 "cosmossdk.io/api/cosmos/gov/v1"
	govv1beta1 "cosmossdk.io/api/cosmos/gov/v1beta1"
	stakingv1beta1 "cosmossdk.io/api/cosmos/staking/v1beta1"
	signingv1beta1 "cosmossdk.io/api/cosmos/tx/signing/v1beta1"
	txv1beta1 "cosmossdk.io/api/cosmos/tx/v1beta1"
	"cosmossdk.io/x/tx/signing"
	"cosmossdk.io/x/tx/signing/aminojson"
	"cosmossdk.io/x/tx/signing/direct"
	"github.com/btcsuite/btcd/btcutil/bech32"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/dynamicpb"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/luxfi/mpcd/internal/address"
)

// ibcTransfer is the type of ibc-go's MsgTransfer, which cosmossdk.io/api has not: ibc/applications/transfer/v1/tx.proto.
var ibcTransfer = sync.OnceValue(func() protoreflect.MessageType {
	field := func(n int32, name string, kind descriptorpb.FieldDescriptorProto_Type, of string) *descriptorpb.FieldDescriptorProto {
		f := &descriptorpb.FieldDescriptorProto{Name: &name, Number: &n, Type: &kind,
			Label: descriptorpb.FieldDescriptorProto_LABEL_OPTIONAL.Enum()}
		if of != "" {
			f.TypeName, f.Options = &of, &descriptorpb.FieldOptions{}
			proto.SetExtension(f.Options, amino.E_DontOmitempty, true)
		}
		return f
	}
	text, number, message := descriptorpb.FieldDescriptorProto_TYPE_STRING, descriptorpb.FieldDescriptorProto_TYPE_UINT64,
		descriptorpb.FieldDescriptorProto_TYPE_MESSAGE
	named := &descriptorpb.MessageOptions{}
	proto.SetExtension(named, amino.E_Name, "cosmos-sdk/MsgTransfer")
	fields := []*descriptorpb.FieldDescriptorProto{field(1, "source_port", text, ""), field(2, "source_channel", text, ""),
		field(3, "token", message, ".cosmos.base.v1beta1.Coin"), field(4, "sender", text, ""), field(5, "receiver", text, ""),
		field(6, "timeout_height", message, ".ibc.applications.transfer.v1.Height"), field(7, "timeout_timestamp", number, ""),
		field(8, "memo", text, "")}
	height := []*descriptorpb.FieldDescriptorProto{field(1, "revision_number", number, ""), field(2, "revision_height", number, "")}
	file, err := protodesc.NewFile(&descriptorpb.FileDescriptorProto{Name: proto.String("ibc/transfer.proto"),
		Syntax: proto.String("proto3"), Package: proto.String("ibc.applications.transfer.v1"),
		Dependency: []string{"cosmos/base/v1beta1/coin.proto"},
		MessageType: []*descriptorpb.DescriptorProto{{Name: proto.String("MsgTransfer"), Field: fields, Options: named},
			{Name: proto.String("Height"), Field: height}}}, protoregistry.GlobalFiles)
	if err != nil {
		panic(err)
	}
	kind := dynamicpb.NewMessageType(file.Messages().ByName("MsgTransfer"))
	if err := errors.Join(protoregistry.GlobalFiles.RegisterFile(file), protoregistry.GlobalTypes.RegisterMessage(kind)); err != nil {
		panic(err)
	}
	return kind
})

// cosmosStep is a message of the library's, and what it is to be read as; amino's name and value are what the library makes of it.
type cosmosStep struct {
	proto.Message
	effect func(d *Decoded, n int, name string, raw []byte)
}

// cosmosRandom makes transactions from a seed.
type cosmosRandom struct {
	btcRandom
	key  []byte
	from string
}

func newCosmosRandom(seed uint64) *cosmosRandom {
	ibcTransfer()
	r := &cosmosRandom{btcRandom: btcRandom{Rand: rand.New(rand.NewPCG(seed, 7))}}
	r.key = unhex("0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798")
	_, all, err := address.For(address.ECDSA, r.key)
	if err != nil {
		panic(err)
	}
	r.from = all["cosmos"]
	return r
}

func bech(hrp string, id []byte) string {
	groups, err := bech32.ConvertBits(id, 8, 5, true)
	if err != nil {
		panic(err)
	}
	text, err := bech32.Encode(hrp, groups)
	if err != nil {
		panic(err)
	}
	return text
}

// account is one of the key's own, or another's.
func (r *cosmosRandom) account() string {
	if r.IntN(6) == 0 {
		return r.from
	}
	return bech("cosmos", r.bytes(20+12*r.IntN(2)))
}

func (r *cosmosRandom) validator() string { return bech("cosmosvaloper", r.bytes(20)) }

func (r *cosmosRandom) text() string {
	return []string{"", "for ✓", "<b>&\"\\\n\u2028", `{"forward":{"receiver":"x"}}`, "plain"}[r.IntN(5)]
}

func (r *cosmosRandom) coin(denom string) *basev1beta1.Coin {
	n := new(big.Int).SetBytes(r.bytes(1 + r.IntN(32)))
	return &basev1beta1.Coin{Denom: denom, Amount: n.Add(n.Rsh(n, 1), big.NewInt(1)).String()}
}

// coins are some, at least one, in the order of their denominations.
func (r *cosmosRandom) coins() (all []*basev1beta1.Coin) {
	for _, denom := range []string{"factory/x/token", "ibc/27394FB092D2ECCD56123C74F36E4C1F926001CEADA9CA97EA622B25F41E5EB2", "uatom",
		"uosmo"} {
		if r.IntN(2) == 0 {
			all = append(all, r.coin(denom))
		}
	}
	if len(all) == 0 {
		return []*basev1beta1.Coin{r.coin("uatom")}
	}
	return all
}

// paid is what coins are read as.
func (r *cosmosRandom) paid(to string, all ...*basev1beta1.Coin) (out []Transfer) {
	for _, c := range all {
		x := Transfer{Send, to, strings.Replace(c.Denom, "uatom", "", 1), new(big.Int)}
		x.Amount.SetString(c.Amount, 10)
		if to == r.from {
			x.What = Change
		}
		out = append(out, x)
	}
	return out
}

// leaves is the effect of coins that go away.
func leaves(all []Transfer, facts ...Fact) func(*Decoded, int, string, []byte) {
	return func(d *Decoded, _ int, _ string, _ []byte) {
		d.Transfers, d.Facts = append(d.Transfers, all...), append(d.Facts, facts...)
	}
}

// calls is the effect of a message that is read and moves nothing away.
func calls(to, url string, facts ...Fact) func(*Decoded, int, string, []byte) {
	return func(d *Decoded, _ int, _ string, raw []byte) {
		d.Facts, d.Calls = append(d.Facts, facts...), append(d.Calls, Call{to, url, raw})
	}
}

// unread is the effect of a message that is not read.
func unread(d *Decoded, n int, name string, raw []byte) {
	d.Calls = append(d.Calls, Call{"", name, raw})
	d.unknown("message %d: %q with %d bytes", n, name, len(raw))
}

func (r *cosmosRandom) bank() cosmosStep {
	to, all := r.account(), r.coins()
	if r.IntN(2) == 0 {
		return cosmosStep{&bankv1beta1.MsgSend{FromAddress: r.from, ToAddress: to, Amount: all}, leaves(r.paid(to, all...))}
	}
	sums, outs, want := map[string]*big.Int{}, []*bankv1beta1.Output(nil), []Transfer(nil)
	for range 1 + r.IntN(3) {
		to, all := r.account(), r.coins()
		for _, c := range all {
			c.Amount = fmt.Sprint(1 + r.IntN(1_000_000))
			n, _ := new(big.Int).SetString(c.Amount, 10)
			if sums[c.Denom] != nil {
				n.Add(n, sums[c.Denom])
			}
			sums[c.Denom] = n
		}
		outs, want = append(outs, &bankv1beta1.Output{Address: to, Coins: all}), append(want, r.paid(to, all...)...)
	}
	in := &bankv1beta1.Input{Address: r.from}
	for denom, n := range sums {
		in.Coins = append(in.Coins, &basev1beta1.Coin{Denom: denom, Amount: n.String()})
	}
	slices.SortFunc(in.Coins, func(a, b *basev1beta1.Coin) int { return strings.Compare(a.Denom, b.Denom) })
	return cosmosStep{&bankv1beta1.MsgMultiSend{Inputs: []*bankv1beta1.Input{in}, Outputs: outs}, leaves(want)}
}

func (r *cosmosRandom) ibc() cosmosStep {
	to, token, memo, height, at := "osmo1receiver", r.coin("uatom"), r.text(), r.Uint64N(3), r.Uint64N(2)*r.Uint64()
	m := dynamicpb.NewMessage(ibcTransfer().Descriptor())
	set := func(m protoreflect.Message, name protoreflect.Name, v any) {
		m.Set(m.Descriptor().Fields().ByName(name), protoreflect.ValueOf(v))
	}
	h := dynamicpb.NewMessage(ibcTransfer().Descriptor().Fields().ByName("timeout_height").Message())
	set(h, "revision_height", height)
	set(h, "revision_number", height)
	coin := dynamicpb.NewMessage(ibcTransfer().Descriptor().Fields().ByName("token").Message())
	set(coin, "denom", token.Denom)
	set(coin, "amount", token.Amount)
	for name, v := range map[protoreflect.Name]any{"source_port": "transfer", "source_channel": "channel-141", "token": coin,
		"sender": r.from, "receiver": to, "timeout_height": h, "timeout_timestamp": at, "memo": memo} {
		set(m, name, v)
	}
	want := leaves(r.paid("transfer/channel-141/"+to, token))
	return cosmosStep{m, func(d *Decoded, n int, name string, raw []byte) {
		if height > 0 {
			d.fact("ibc.timeout_height", fmt.Sprintf("%d-%d", height, height))
		}
		if at > 0 {
			d.fact("ibc.timeout_timestamp", fmt.Sprint(at))
		}
		if memo != "" {
			d.fact("ibc.memo", memo)
			d.unknown("memo of an IBC transfer, on which another chain may act: %q", memo)
		}
		want(d, n, name, raw)
	}}
}

func (r *cosmosRandom) stake() cosmosStep {
	a, b, c := r.validator(), r.validator(), r.coin([]string{"uatom", "uosmo"}[r.IntN(2)])
	text := c.Amount + " " + c.Denom
	switch r.IntN(4) {
	case 0:
		return cosmosStep{&stakingv1beta1.MsgDelegate{DelegatorAddress: r.from, ValidatorAddress: a, Amount: c},
			leaves(r.paid(a, c), Fact{"delegate", a})}
	case 1:
		return cosmosStep{&stakingv1beta1.MsgUndelegate{DelegatorAddress: r.from, ValidatorAddress: a, Amount: c},
			calls(a, "/cosmos.staking.v1beta1.MsgUndelegate", fact("undelegate", "%s from %s", text, a))}
	case 2:
		return cosmosStep{&stakingv1beta1.MsgBeginRedelegate{DelegatorAddress: r.from, ValidatorSrcAddress: a, ValidatorDstAddress: b,
			Amount: c}, calls(b, "/cosmos.staking.v1beta1.MsgBeginRedelegate", fact("redelegate", "%s from %s to %s", text, a, b))}
	}
	return cosmosStep{&distributionv1beta1.MsgWithdrawDelegatorReward{DelegatorAddress: r.from, ValidatorAddress: a},
		calls(a, "/cosmos.distribution.v1beta1.MsgWithdrawDelegatorReward", Fact{"withdraw_reward", a})}
}

func (r *cosmosRandom) other() cosmosStep {
	id, option := r.Uint64(), 1+r.IntN(4)
	vote := fact("vote", "%s on proposal %d", []string{"", "yes", "abstain", "no", "no_with_veto"}[option], id)
	switch r.IntN(4) {
	case 0:
		return cosmosStep{&govv1beta1.MsgVote{ProposalId: id, Voter: r.from, Option: govv1beta1.VoteOption(option)},
			calls("", "/cosmos.gov.v1beta1.MsgVote", vote)}
	case 1:
		return cosmosStep{&govv1.MsgVote{ProposalId: id, Voter: r.from, Option: govv1.VoteOption(option), Metadata: "why"},
			calls("", "/cosmos.gov.v1.MsgVote", Fact{"vote.metadata", "why"}, vote)}
	case 2:
		return cosmosStep{&distributionv1beta1.MsgSetWithdrawAddress{DelegatorAddress: r.from, WithdrawAddress: r.account()}, unread}
	}
	inner := &bankv1beta1.MsgSend{FromAddress: r.account(), ToAddress: r.from, Amount: r.coins()}
	return cosmosStep{&authzv1beta1.MsgExec{Grantee: r.from, Msgs: []*anypb.Any{cosmosAny(inner)}},
		func(d *Decoded, _ int, name string, _ []byte) {
			innerName, raw := aminoOf(inner)
			if strings.HasPrefix(name, "/") {
				innerName, raw = "/cosmos.bank.v1beta1.MsgSend", cosmosAny(inner).Value
			}
			d.Calls = append(d.Calls, Call{"", "/cosmos.authz.v1beta1.MsgExec " + innerName, raw})
			d.unknown("message 0 of a MsgExec, for another account: %q with %d bytes", innerName, len(raw))
		}}
}

func cosmosAny(m proto.Message) *anypb.Any {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	return &anypb.Any{TypeUrl: "/" + string(m.ProtoReflect().Descriptor().FullName()), Value: b}
}

// aminoOf is the library's name and value of a message in amino's JSON.
func aminoOf(m proto.Message) (string, []byte) {
	b, err := aminojson.NewEncoder(aminojson.EncoderOptions{FileResolver: protoregistry.GlobalFiles}).Marshal(cosmosAny(m))
	var x struct {
		Type  string
		Value json.RawMessage
	}
	if err == nil {
		err = json.Unmarshal(b, &x)
	}
	if err != nil {
		panic(err)
	}
	return x.Type, x.Value
}

// cosmosCase is a transaction in both forms, and what each is to be read as.
type cosmosCase struct{ direct, amino Decoded }

// transaction is one that the key signs.
func (r *cosmosRandom) transaction(t testing.TB) cosmosCase {
	body, steps := &txv1beta1.TxBody{Memo: r.text(), TimeoutHeight: r.Uint64N(2) * r.Uint64(), Unordered: r.IntN(3) == 0}, []cosmosStep(nil)
	for range 1 + r.IntN(3) {
		s := []func() cosmosStep{r.bank, r.ibc, r.stake, r.other}[r.IntN(4)]()
		steps, body.Messages = append(steps, s), append(body.Messages, cosmosAny(s.Message))
	}
	if r.IntN(3) == 0 {
		body.TimeoutTimestamp = timestamppb.New(time.Unix(1+r.Int64N(253402300799), r.Int64N(2)*r.Int64N(1e9)))
	}
	fee := &txv1beta1.Fee{GasLimit: r.Uint64()}
	if r.IntN(5) > 0 {
		fee.Amount = r.coins()
	}
	if r.IntN(4) == 0 {
		fee.Payer, fee.Granter = r.account(), r.account()
	}
	key, sequence := &secp256k1.PubKey{Key: r.key}, r.Uint64()
	info := &txv1beta1.SignerInfo{PublicKey: cosmosAny(key), Sequence: sequence, ModeInfo: &txv1beta1.ModeInfo{
		Sum: &txv1beta1.ModeInfo_Single_{Single: &txv1beta1.ModeInfo_Single{Mode: signingv1beta1.SignMode_SIGN_MODE_DIRECT}}}}
	auth := &txv1beta1.AuthInfo{SignerInfos: []*txv1beta1.SignerInfo{info}, Fee: fee}
	who := signing.SignerData{Address: r.from, ChainID: "cosmoshub-4", AccountNumber: r.Uint64(), Sequence: sequence,
		PubKey: cosmosAny(key)}
	data := signing.TxData{Body: body, AuthInfo: auth, BodyBytes: cosmosAny(body).Value, AuthInfoBytes: cosmosAny(auth).Value}
	amino := aminojson.NewSignModeHandler(aminojson.SignModeHandlerOptions{FileResolver: protoregistry.GlobalFiles})
	return cosmosCase{r.want(t, "direct", who, data, steps, direct.SignModeHandler{}), r.want(t, "amino", who, data, steps, amino)}
}

// want is what is to be read of what the library signs; Digest is the payload itself, until it is hashed.
func (r *cosmosRandom) want(t testing.TB, format Format, who signing.SignerData, data signing.TxData, steps []cosmosStep,
	library signing.SignModeHandler) Decoded {
	b, err := library.GetSignBytes(context.Background(), who, data)
	if err != nil {
		t.Fatal(err)
	}
	body, fee := data.Body, data.AuthInfo.Fee
	d := Decoded{Network: "cosmos", Format: format, Kind: string(format), Digest: b, Fee: new(big.Int), Facts: []Fact{{"from", r.from},
		{"chain_id", "cosmoshub-4"}, fact("account_number", "%d", who.AccountNumber), fact("sequence", "%d", who.Sequence),
		fact("gas", "%d", fee.GasLimit)}}
	add := func(there bool, name, value string) {
		if there {
			d.fact(name, value)
		}
	}
	add(fee.Payer != "", "fee_payer", fee.Payer)
	add(fee.Granter != "", "fee_granter", fee.Granter)
	for _, x := range r.paid(cosmosFee, fee.Amount...) {
		if x.Asset == "" {
			d.Fee = x.Amount
		} else {
			d.Transfers = append(d.Transfers, x)
		}
	}
	add(body.Memo != "", "memo", body.Memo)
	add(body.TimeoutHeight != 0, "timeout_height", fmt.Sprint(body.TimeoutHeight))
	add(body.Unordered, "unordered", "true")
	add(body.TimeoutTimestamp != nil, "timeout_timestamp", body.TimeoutTimestamp.AsTime().Format(time.RFC3339Nano))
	for n, s := range steps {
		name, raw := body.Messages[n].TypeUrl, body.Messages[n].Value
		if format == "amino" {
			name, raw = aminoOf(s.Message)
		}
		s.effect(&d, n, name, raw)
	}
	return d
}

// Goal: transactions are read as they were meant by who made them, in either form. Method: 10,000 of a fixed seed by the Cosmos SDK's own
// encoders (x/tx), and what each is to be read as.
func TestCosmosLikeSDK(t *testing.T) {
	r := newCosmosRandom(3)
	for n := range 10_000 {
		c := r.transaction(t)
		for _, want := range []Decoded{c.direct, c.amino} {
			b := want.Digest
			digest := sha256.Sum256(b)
			want.Digest = digest[:]
			got, err := Decode(Payload{Network: "cosmos", Format: want.Format, Bytes: b, Key: r.key, Family: "ecdsa"})
			if err != nil || !reflect.DeepEqual(*got, want) {
				t.Fatalf("%d, %s: %v\n%+v\nwant\n%+v\n%q", n, want.Format, err, got, want, b)
			}
		}
	}
}
