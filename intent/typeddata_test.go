package intent

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/signer/core/apitypes"
)

// mail is the example of EIP-712.
const mail = `{"types":{
"EIP712Domain":[{"name":"name","type":"string"},{"name":"version","type":"string"},{"name":"chainId","type":"uint256"},
{"name":"verifyingContract","type":"address"}],
"Person":[{"name":"name","type":"string"},{"name":"wallet","type":"address"}],
"Mail":[{"name":"from","type":"Person"},{"name":"to","type":"Person"},{"name":"contents","type":"string"}]},
"primaryType":"Mail",
"domain":{"name":"Ether Mail","version":"1","chainId":1,"verifyingContract":"0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC"},
"message":{"from":{"name":"Cow","wallet":"0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"},
"to":{"name":"Bob","wallet":"0xbBbBBBBbbBBBbbbBbbBbbbbBBbBbbbbBbBbbBBbB"},"contents":"Hello, Bob!"}}`

// typedOn decodes typed data as the key 1 would sign it.
func typedOn(network string, b []byte) (*Decoded, error) {
	return Decode(Payload{Network: network, Format: "typed-data", Bytes: b, Key: keyOne})
}

// apiHash is the digest that go-ethereum computes of JSON. It loses digits of numbers and therefore is given them as strings.
func apiHash(b []byte) ([]byte, error) {
	var in apitypes.TypedData
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&in); err != nil {
		return nil, err
	}
	in.Message, _ = texts(in.Message).(map[string]any)
	digest, _, err := apitypes.TypedDataAndHash(in)
	return digest, err
}

func texts(v any) any {
	switch v := v.(type) {
	case json.Number:
		return v.String()
	case map[string]any:
		for k := range v {
			v[k] = texts(v[k])
		}
	case []any:
		for i := range v {
			v[i] = texts(v[i])
		}
	}
	return v
}

// invented is typed data that is drawn, with the facts that are to be shown of it.
type invented struct {
	source
	types map[string][]member
	names []string // of struct types; each has only later ones as members, or arrays of itself
	facts []Fact
}

// typedData draws typed data of all types that there are.
func (s source) typedData(chain uint64) (payload []byte, facts []Fact) {
	in := &invented{source: s, types: map[string][]member{}}
	for i := range 1 + s.IntN(4) {
		in.names = append(in.names, fmt.Sprintf("%c_%d", 'A'+rune(s.IntN(26)), i))
	}
	for i, name := range in.names {
		for j := range 1 + s.IntN(5) {
			in.types[name] = append(in.types[name], member{fmt.Sprintf("m%d", j), in.kind(i)})
		}
	}
	for _, m := range domainMembers() {
		if m.Name == "chainId" || s.IntN(2) == 0 {
			in.types[domainType] = append(in.types[domainType], m)
		}
	}
	in.facts = []Fact{{"from", accountOne}, {"primaryType", in.names[0]}}
	domain := map[string]any{}
	for _, m := range in.types[domainType] {
		if domain[m.Name] = chain; m.Name != "chainId" {
			domain[m.Name] = in.value(m.Type, "domain."+m.Name, 0)
		} else {
			in.facts = append(in.facts, Fact{"domain.chainId", fmt.Sprint(chain)})
		}
	}
	message := in.value(in.names[0], "message", 0)
	return must(json.Marshal(map[string]any{"types": in.types, "primaryType": in.names[0], "domain": domain, "message": message})), in.facts
}

// kind draws the type of a member of the i-th struct type.
func (in *invented) kind(i int) string {
	kinds := []string{"bool", "address", "string", "bytes", fmt.Sprintf("bytes%d", 1+in.IntN(32)), fmt.Sprintf("uint%d", 8+8*in.IntN(32)),
		fmt.Sprintf("int%d", 8+8*in.IntN(32)), in.names[i] + "[]"}
	for _, later := range in.names[i+1:] {
		kinds = append(kinds, later, later)
	}
	kind := kinds[in.IntN(len(kinds))]
	for range in.IntN(6) / 3 {
		kind += []string{"[]", "[1]", "[2]"}[in.IntN(3)]
	}
	return kind
}

// value draws a value of a type, and notes what is to be shown of it.
func (in *invented) value(kind, path string, depth int) any {
	if base, length, isArray := cutLast(kind); isArray {
		n := min(int(length), 2)
		if n < 0 {
			n = in.IntN(3 - min(depth, 2))
		}
		out := []any{}
		for i := range n {
			out = append(out, in.value(base, fmt.Sprintf("%s[%d]", path, i), depth+1))
		}
		if n == 0 {
			in.facts = append(in.facts, Fact{path, "[]"})
		}
		return out
	}
	if members, ok := in.types[kind]; ok {
		out := map[string]any{}
		for _, m := range members {
			out[m.Name] = in.value(m.Type, path+"."+m.Name, depth+1)
		}
		return out
	}
	v, shown := in.atom(kind)
	in.facts = append(in.facts, Fact{path, shown})
	return v
}

// cutLast takes the last brackets off an array's type; the length is -1 if it is free.
func cutLast(kind string) (base string, length int, isArray bool) {
	base, isArray = strings.CutSuffix(kind, "]")
	if !isArray {
		return kind, 0, false
	}
	at := strings.LastIndex(base, "[")
	length = -1
	_, _ = fmt.Sscan(base[at+1:], &length)
	return base[:at], length, true
}

// atom draws a value of an atomic type, in one of the forms that JSON has for it, and how it is shown.
func (in *invented) atom(kind string) (v any, shown string) {
	switch kind {
	case "bool":
		b := in.IntN(2) == 0
		return b, fmt.Sprint(b)
	case "string":
		s := fmt.Sprintf("\"é<%x", in.bytes(in.IntN(20)))
		return s, s
	case "address":
		a := in.account()
		return []string{a.Hex(), strings.ToLower(a.Hex()), "0x" + strings.ToUpper(a.Hex()[2:])}[in.IntN(3)], a.Hex()
	case "bytes":
		b := fmt.Sprintf("0x%x", in.bytes(in.IntN(40)))
		return b, b
	}
	if size, fixed := strings.CutPrefix(kind, "bytes"); fixed {
		b := fmt.Sprintf("0x%x", in.bytes(must(strconv.Atoi(size))))
		return b, b
	}
	n := in.integer(kind)
	forms := []any{n.String(), n, n.String()}
	if n.Sign() >= 0 {
		forms[2] = fmt.Sprintf("%#x", n)
	}
	return forms[in.IntN(3)], n.String()
}

// integer draws a number of a type, often at the edge of what it holds.
func (in *invented) integer(kind string) *big.Int {
	bits := must(strconv.Atoi(strings.TrimLeft(kind, "uint")))
	n := in.big(bits)
	if in.IntN(4) == 0 {
		n = new(big.Int).Sub(new(big.Int).Lsh(big.NewInt(1), uint(bits)), big.NewInt(1))
	}
	if kind[0] == 'i' {
		n.Rsh(n, 1)
		if in.IntN(2) == 0 {
			n.Not(n)
		}
	}
	return n
}

// Goal: typed data is hashed as wallets and contracts hash it, and every value in it is shown. Method: 2,000 that are drawn, with all
// types, arrays of arrays and structs in structs; go-ethereum's digest.
func TestTypedData(t *testing.T) {
	s := newSource(5)
	for i := range 2000 {
		b, facts := s.typedData(8453)
		d, err := typedOn("base", b)
		if err != nil {
			t.Fatalf("%d: %v: %s", i, err, b)
		}
		want, err := apiHash(b)
		if err != nil || !bytes.Equal(d.Digest, want) {
			t.Fatalf("%d: digest %x, go-ethereum says %x, %v: %s", i, d.Digest, want, err, b)
		}
		if !slices.Equal(d.Facts, facts) || len(d.Unknown) != 1 || len(d.Transfers) > 0 || len(d.Calls) > 0 {
			t.Fatalf("%d: %q, %q; want %q: %s", i, d.Facts, d.Unknown, facts, b)
		}
	}
}

// Goal: typed data that others may read in another way, that leaves something out or is good elsewhere, is refused. Method: the example of
// EIP-712 with one thing altered.
func TestTypedDataRefused(t *testing.T) {
	many, deep := "", strings.Repeat("[", 20)+strings.Repeat("]", 20)
	for i := range maxTypes {
		many += fmt.Sprintf(`"T%d":[{"name":"a","type":"bool"}],`, i)
	}
	long := strings.Repeat("x", maxName+1)
	person, wallet := `"Person":[{"name":"name","type":"string"}`, `{"name":"wallet","type":"address"}`
	contents, cow := `{"name":"contents","type":"string"}`, `"0xCD2a3d9F938E13CD947Ec05AbC7FE734Df8DD826"`
	first, second := `{"name":"name","type":"string"},`, `{"name":"version","type":"string"},`
	for name, c := range map[string]struct{ was, is, want string }{
		"data behind":            {`"Hello, Bob!"}}`, `"Hello, Bob!"}} 1`, "behind"},
		"a field twice":          {`"Cow",`, `"Cow","name":"Ox",`, "twice"},
		"a type twice":           {person, person + `],` + person, "twice"},
		"null":                   {`"Hello, Bob!"`, `null`, "null"},
		"unknown field":          {`"primaryType"`, `"nonce":1,"primaryType"`, "unknown field"},
		"misspelled field":       {`"primaryType"`, `"PrimaryType"`, "misspelled"},
		"no UTF-8":               {`Hello`, "\xff", "UTF-8"},
		"nested deeply":          {`"Hello, Bob!"`, deep, "deep"},
		"other chain":            {`"chainId":1,`, `"chainId":"137",`, "chain ID 137"},
		"beyond 64 bits":         {`"chainId":1,`, `"chainId":"18446744073709551617",`, "chain ID"},
		"no chain":               {`{"name":"chainId","type":"uint256"},` + "\n", ``, "without chainId"},
		"chain of another type":  {`"chainId","type":"uint256"`, `"chainId","type":"uint64"`, "not one of EIP-712"},
		"order of the domain":    {first + second, second + first, "order"},
		"no such primary type":   {`"primaryType":"Mail"`, `"primaryType":"Post"`, "primary type"},
		"domain as primary type": {`"primaryType":"Mail"`, `"primaryType":"EIP712Domain"`, "primary type"},
		"domain as member":       {contents, `{"name":"contents","type":"EIP712Domain"}`, "which there is not"},
		"missing field":          {`"name":"Cow",`, ``, "message.from.name is missing"},
		"missing domain field":   {`"name":"Ether Mail",`, ``, "domain.name is missing"},
		"field of no type":       {`"name":"Cow",`, `"name":"Cow","age":1,`, "3 fields"},
		"domain field of none":   {`"version":"1",`, `"version":"1","salt":"0x",`, "5 fields"},
		"no object":              {`{"name":"Cow","wallet":` + cow + `}`, `["Cow"]`, "no object"},
		"unknown type":           {wallet, `{"name":"wallet","type":"account"}`, "which there is not"},
		"alias":                  {wallet, `{"name":"wallet","type":"uint"}`, "which there is not"},
		"no such size":           {wallet, `{"name":"wallet","type":"uint7"}`, "which there is not"},
		"too large a size":       {wallet, `{"name":"wallet","type":"bytes33"}`, "which there is not"},
		"array of nothing":       {wallet, `{"name":"wallet","type":"account[]"}`, "which there is not"},
		"length 0":               {wallet, `{"name":"wallet","type":"address[0]"}`, "which there is not"},
		"length with zeros":      {wallet, `{"name":"wallet","type":"address[01]"}`, "which there is not"},
		"long type":              {wallet, `{"name":"wallet","type":"address` + strings.Repeat("[]", maxName) + `"}`, "which there is not"},
		"empty type":             {`"Person":`, `"Empty":[],"Person":`, "no members"},
		"type named as built in": {`"Person":`, `"uint":[{"name":"a","type":"bool"}],"Person":`, "language's own"},
		"type with a bracket":    {`"Person":`, `"P(":[{"name":"a","type":"bool"}],"Person":`, "no name"},
		"member with a comma":    {contents, `{"name":"a,bool b","type":"string"}`, "no name"},
		"two members of a name":  {contents, `{"name":"to","type":"string"}`, "two members"},
		"long name":              {contents, `{"name":"` + long + `","type":"string"}`, "no name"},
		"many types":             {`"Person":`, many + `"Person":`, "at most 64"},
		"string for an address":  {cow, `"Cow"`, "pairs of hex"},
		"short address":          {cow, cow[:len(cow)-3] + `"`, "19 bytes"},
		"mistyped address":       {cow, strings.Replace(cow, "C", "c", 1), "EIP-55"},
		"bare address":           {cow, strings.Replace(cow, "0x", "", 1), "0x"},
		"number for a string":    {`"Hello, Bob!"`, `1`, "no string"},
	} {
		if strings.Count(mail, c.was) != 1 {
			t.Errorf("%s: %q is not there once", name, c.was)
		}
		d, err := typedOn("ethereum", []byte(strings.Replace(mail, c.was, c.is, 1)))
		if !errors.Is(err, ErrPayload) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, %v", name, d, err)
		}
	}
}

// typedOf writes typed data with one value, whose type is V's only member.
func typedOf(kind, value string) []byte {
	return fmt.Appendf(nil, `{"types":{"EIP712Domain":[{"name":"chainId","type":"uint256"}],"V":[{"name":"v","type":%q}]},
		"primaryType":"V","domain":{"chainId":"0x1"},"message":{"v":%s}}`, kind, value)
}

// Goal: a value is one of its type, written in one of the forms that cannot be misread. Method: both sides of each edge.
func TestTypedDataValues(t *testing.T) {
	for _, c := range []struct{ kind, value, shown string }{ // shown "" is refused
		{"uint8", `255`, "255"}, {"uint8", `256`, ""}, {"uint8", `"0xff"`, "255"}, {"uint8", `"0x100"`, ""}, {"uint8", `-1`, ""},
		{"int8", `127`, "127"}, {"int8", `128`, ""}, {"int8", `"-128"`, "-128"}, {"int8", `-129`, ""},
		{"uint256", `9007199254740993`, "9007199254740993"}, {"uint256", `1e2`, ""}, {"uint256", `1.0`, ""}, {"uint256", `-0`, ""},
		{"uint256", `"01"`, ""}, {"uint256", `"0x01"`, ""}, {"uint256", `"0x"`, ""}, {"uint256", `""`, ""}, {"uint256", `"0x0"`, "0"},
		{"uint256", `"1_0"`, ""}, {"uint256", `"+1"`, ""}, {"uint256", `true`, ""}, {"uint256", `"0b1"`, ""}, {"int256", `"-0x1"`, ""},
		{"uint256", `1` + strings.Repeat("0", 78), ""}, {"bool", `true`, "true"}, {"bool", `"true"`, ""}, {"bool", `1`, ""},
		{"bytes", `"0x"`, "0x"}, {"bytes", `"0xABcd"`, "0xabcd"}, {"bytes", `"0xabc"`, ""}, {"bytes", `"abcd"`, ""}, {"bytes", `[1]`, ""},
		{"bytes2", `"0xabcd"`, "0xabcd"}, {"bytes2", `"0xab"`, ""}, {"bytes2", `"0xabcdef"`, ""},
		{"address", `"0x7E5F4552091A69125D5DFCB7B8C2659029395BDF"`, accountOne}, {"address", `1`, ""},
		{"bool[2]", `[true]`, ""}, {"bool[1]", `[true,true]`, ""}, {"bool[]", `true`, ""}, {"bool[]", `[]`, "[]"},
		{"bool[][]", `[true]`, ""},
		{"bool[]", `[` + strings.Repeat("true,", maxLeaves-1) + `true]`, ""}, // and the chain ID
		{"bool[][]", `[` + strings.Repeat("[],", maxLeaves-1) + `[]]`, ""},
	} {
		b := typedOf(c.kind, c.value)
		d, err := typedOn("ethereum", b)
		if c.shown == "" {
			if !errors.Is(err, ErrPayload) {
				t.Errorf("%s %.40s: %+v, %v", c.kind, c.value, d, err)
			}
			continue
		}
		if err != nil || factOf(d, "message.v") != c.shown {
			t.Errorf("%s %s: %+v, %v", c.kind, c.value, d, err)
		} else if want, err := apiHash(b); err != nil || !bytes.Equal(want, d.Digest) {
			t.Errorf("%s %s: %x, go-ethereum says %x, %v", c.kind, c.value, d.Digest, want, err)
		}
	}
	if _, err := typedOn("ethereum", typedOf("bool[]", `[`+strings.Repeat("true,", maxLeaves-2)+`true]`)); err != nil {
		t.Error(err)
	}
}

// Goal: no JSON makes the decoder panic, and of what it takes the digest is everybody's. Method: fuzz; where go-ethereum reads it, its
// digest.
func FuzzTypedData(f *testing.F) {
	s := newSource(6)
	f.Add([]byte(mail))
	for range 20 {
		b, _ := s.typedData(1)
		f.Add(b)
	}
	for _, c := range recognised() {
		f.Add(c.payload())
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := typedOn("ethereum", b)
		if err != nil {
			return
		}
		if want, err := apiHash(b); err == nil && !bytes.Equal(want, d.Digest) {
			t.Errorf("digest %x, go-ethereum says %x", d.Digest, want)
		}
		if len(d.Transfers)+len(d.Calls)+len(d.Unknown) == 0 {
			t.Error("typed data that does nothing")
		}
	})
}

// typesOf reads the text of encodeType back.
func typesOf(text string) map[string][]member {
	out := map[string][]member{}
	for _, one := range strings.SplitAfter(text, ")") {
		name, list, ok := strings.Cut(strings.TrimSuffix(one, ")"), "(")
		for _, m := range strings.Split(list, ",") {
			if kind, called, _ := strings.Cut(m, " "); ok {
				out[name] = append(out[name], member{called, kind})
			}
		}
	}
	return out
}

// known is typed data of a type that is read, and what is read of it.
type known struct {
	name      string
	kind      string
	contract  string // that verifies; "" leaves it out of the domain
	message   map[string]any
	transfers []Transfer
	calls     []Call
	unknown   string // what stands in it; "" for nothing unknown
}

func (k known) payload() []byte {
	domain := map[string]any{"chainId": "1"}
	types := typesOf(k.kind + "EIP712Domain(uint256 chainId)")
	if k.contract != "" {
		domain["verifyingContract"] = k.contract
		maps.Copy(types, typesOf(safeDomain))
	}
	primary, _, _ := strings.Cut(k.kind, "(")
	return must(json.Marshal(map[string]any{"types": types, "primaryType": primary, "domain": domain, "message": k.message}))
}

// with is a message with some fields in place of others.
func with(message map[string]any, edits ...any) map[string]any {
	message = maps.Clone(message)
	for i := 0; i < len(edits); i += 2 {
		message[edits[i].(string)] = edits[i+1]
	}
	return message
}

// recognised are cases of all that is read of typed data, and of what looks like it.
func recognised() []known {
	zero, bob := common.Address{}.Hex(), common.HexToAddress("0xb0b").Hex()
	plain := map[string]any{"to": bob, "value": "7", "data": "0x", "operation": 0, "safeTxGas": 0, "baseGas": 0, "gasPrice": "0",
		"gasToken": zero, "refundReceiver": zero, "nonce": 3}
	erc20 := with(plain, "to", erc20Token, "value", 0, "data", fmt.Sprintf("0x%x", pack("transfer(address,uint256)", common.HexToAddress(bob),
		big.NewInt(9))))
	allow := map[string]any{"owner": accountOne, "spender": bob, "value": "5", "nonce": 0, "deadline": "99"}
	single := map[string]any{"details": map[string]any{"token": erc20Token, "amount": "6", "expiration": 1, "nonce": 2}, "spender": bob,
		"sigDeadline": "3"}
	sent, allowed := []Transfer{{Send, bob, "", big.NewInt(7)}}, []Transfer{{Allowance, bob, erc20Token, big.NewInt(5)}}
	dai := map[string]any{"holder": accountOne, "spender": bob, "nonce": 0, "expiry": 0, "allowed": true}
	of := "typed data of type "
	return []known{
		{"a Safe's transfer", safeTx, erc20Token, plain, sent, nil, ""},
		{"a Safe's token", safeTx, erc20Token, erc20, []Transfer{{Send, bob, erc20Token, big.NewInt(9)}}, nil, ""},
		{"a Safe's call", safeTx, erc20Token, with(plain, "value", 0, "data", "0x12345678"), nil, []Call{{bob, "0x12345678", []byte{}}},
			""},
		{"delegatecall", safeTx, erc20Token, with(erc20, "operation", 1), nil,
			[]Call{{erc20Token, "delegatecall", unhex(erc20["data"].(string))}}, "delegatecall"},
		{"no operation", safeTx, erc20Token, with(plain, "operation", 2), nil, nil, "operation 2"},
		{"refund", safeTx, erc20Token, with(plain, "gasPrice", "1"), sent, nil, "for its gas"},
		{"of no Safe", safeTx, "", plain, nil, nil, of + "SafeTx"},
		{"other members", strings.Replace(safeTx, "uint8 operation,", "", 1), erc20Token, without(plain, "operation"), nil, nil, of + "SafeTx"},
		{"permit", permit, erc20Token, allow, allowed, nil, ""},
		{"another's permit", permit, erc20Token, with(allow, "owner", bob), allowed, nil, "of the owner"},
		{"permit of no token", permit, "", allow, nil, nil, of + "Permit"},
		{"DAI's permit", "Permit(address holder,address spender,uint256 nonce,uint256 expiry,bool allowed)", erc20Token, dai, nil, nil,
			of + "Permit"},
		{"Permit2", permitSingle, permit2Contract, single, []Transfer{{Allowance, bob, erc20Token, big.NewInt(6)}}, nil, ""},
		{"another Permit2", permitSingle, erc20Token, single, nil, nil, of + "PermitSingle"},
	}
}

func without(message map[string]any, field string) map[string]any {
	message = maps.Clone(message)
	delete(message, field)
	return message
}

// Goal: what a Safe does and what a permit allows is read; what only looks like it, or does more, is unknown. Method: a row of each.
func TestTypedDataRecognised(t *testing.T) {
	for _, c := range recognised() {
		d, err := typedOn("ethereum", c.payload())
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if want, err := apiHash(c.payload()); err != nil || !bytes.Equal(want, d.Digest) {
			t.Errorf("%s: digest %x, want %x, %v", c.name, d.Digest, want, err)
		}
		if fmt.Sprint(d.Transfers) != fmt.Sprint(c.transfers) || fmt.Sprint(d.Calls) != fmt.Sprint(c.calls) {
			t.Errorf("%s: %v, %v", c.name, d.Transfers, d.Calls)
		}
		got := strings.Join(d.Unknown, "\n")
		if !strings.Contains(got, c.unknown) || (got == "") != (c.unknown == "") || len(d.Unknown) > 1 {
			t.Errorf("%s: unknown %q", c.name, got)
		}
	}
}

// Goal: a permit is not taken for the key's own where nobody said which key signs. Method: no key.
func TestPermitWithoutKey(t *testing.T) {
	for _, c := range recognised() {
		d, err := Decode(Payload{Network: "ethereum", Format: "typed-data", Bytes: c.payload()})
		if c.kind == permit && c.contract != "" && (err != nil || len(d.Unknown) != 1) {
			t.Errorf("%s: %+v, %v", c.name, d, err)
		}
	}
}

// Goal: the types that are read are those of the contracts. Method: the hashes that stand in Safe's and OpenZeppelin's source.
func TestTypeHashes(t *testing.T) {
	for text, want := range map[string]string{
		safeTx:     "bb8310d486368db6bd6f849402fdd73ad53d316b5a4b2644ad6efe0f941286d8", // SAFE_TX_TYPEHASH
		safeDomain: "47e79534a245952e8b16893a336b85a3d9ea9fa8c573f3d803afb92a79469218", // DOMAIN_SEPARATOR_TYPEHASH
		permit:     "6e71edae12b1b97f4d1f60370fef10105fa2faae0126114a169c64845d6126c9", // PERMIT_TYPEHASH
	} {
		name, _, _ := strings.Cut(text, "(")
		in := &typed{types: typesOf(text), hashes: map[string][]byte{}}
		if got := fmt.Sprintf("%x", in.typeHash(name)); got != want || in.encodeType(name) != text {
			t.Errorf("%s: %s", text, got)
		}
	}
}
