package intent

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math/big"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/blocto/solana-go-sdk/common"
	"github.com/blocto/solana-go-sdk/program/associated_token_account"
	"github.com/blocto/solana-go-sdk/program/compute_budget"
	"github.com/blocto/solana-go-sdk/program/memo"
	"github.com/blocto/solana-go-sdk/program/system"
	spl "github.com/blocto/solana-go-sdk/program/token"
	"github.com/blocto/solana-go-sdk/types"
	"github.com/mr-tron/base58"

	"github.com/luxfi/mpcd/internal/realinput"
)

// solanaStep is an instruction of the library's, and what it is to be read as when by signs and every account has its key in the message.
type solanaStep struct {
	types.Instruction
	by     common.PublicKey
	name   string
	tag    int // bytes of the data before the arguments
	effect func(d *Decoded)
}

var anybody common.PublicKey

func fact(name, format string, a ...any) Fact { return Fact{name, fmt.Sprintf(format, a...)} }

// solanaRandom makes messages from a seed, among few accounts so that roles meet.
type solanaRandom struct {
	*rand.Rand
	keys []common.PublicKey
}

func newSolanaRandom(seed uint64) solanaRandom {
	r := solanaRandom{Rand: rand.New(rand.NewPCG(seed, 1))}
	for range 10 {
		r.keys = append(r.keys, common.PublicKeyFromBytes(btcRandom{Rand: r.Rand}.bytes(32)))
	}
	return r
}

func (r solanaRandom) key() common.PublicKey { return r.keys[r.IntN(len(r.keys))] }

// moves is the effect of an amount that goes away.
func moves(key common.PublicKey, what What, to common.PublicKey, asset string, amount uint64, facts ...Fact) func(*Decoded) {
	if to == key && asset == "" {
		what = Change
	}
	return func(d *Decoded) {
		d.Transfers = append(d.Transfers, Transfer{what, to.ToBase58(), asset, new(big.Int).SetUint64(amount)})
		d.Facts = append(d.Facts, facts...)
	}
}

// system is an instruction of the system program.
func (r solanaRandom) system(key common.PublicKey) solanaStep {
	a, b, c, n := r.key(), r.key(), r.key(), r.Uint64()
	switch r.IntN(4) {
	case 0:
		return solanaStep{system.Transfer(system.TransferParam{From: a, To: b, Amount: n}), a, "transfer", 4, moves(key, Send, b, "", n)}
	case 1:
		i := system.TransferWithSeed(system.TransferWithSeedParam{From: a, To: b, Base: c, Owner: r.key(), Seed: "seed", Amount: n})
		return solanaStep{i, c, "transferWithSeed", 4, moves(key, Send, b, "", n, Fact{"from_account", a.ToBase58()})}
	case 2:
		i := system.CreateAccount(system.CreateAccountParam{From: a, New: b, Owner: c, Lamports: n, Space: 165})
		if b == key { // no such thing as a new account that signs for the old one
			return solanaStep{i, c, "createAccount", 4, nil}
		}
		text := fact("create_account", "%s of 165 bytes owned by %s", b.ToBase58(), c.ToBase58())
		return solanaStep{i, a, "createAccount", 4, moves(key, Send, b, "", n, text)}
	}
	return solanaStep{system.Assign(system.AssignParam{From: a, Owner: b}), a, "assign", 4, nil}
}

// token is an instruction of a token program.
func (r solanaRandom) token(key common.PublicKey) (s solanaStep) {
	a, b, m, by, n := r.key(), r.key(), r.key(), r.key(), r.Uint64()
	of, to := "token of "+a.ToBase58(), Fact{"token_account", b.ToBase58()}
	switch r.IntN(6) {
	case 0:
		i := spl.Transfer(spl.TransferParam{From: a, To: b, Auth: by, Amount: n})
		s = solanaStep{i, by, "transfer", 1, moves(key, Send, b, of, n, to)}
	case 1:
		i := spl.TransferChecked(spl.TransferCheckedParam{From: a, To: b, Mint: m, Auth: by, Amount: n, Decimals: 6})
		s = solanaStep{i, by, "transferChecked", 1, moves(key, Send, b, m.ToBase58(), n, to)}
	case 2:
		i := spl.Approve(spl.ApproveParam{From: a, To: b, Auth: by, Amount: n})
		s = solanaStep{i, by, "approve", 1, moves(key, Allowance, b, of, n)}
	case 3:
		i := spl.ApproveChecked(spl.ApproveCheckedParam{From: a, To: b, Mint: m, Auth: by, Amount: n, Decimals: 6})
		s = solanaStep{i, by, "approveChecked", 1, moves(key, Allowance, b, m.ToBase58(), n)}
	case 4:
		i := spl.SetAuthority(spl.SetAuthorityParam{Account: a, NewAuth: &b, AuthType: spl.AuthorityTypeAccountOwner, Auth: by})
		s = solanaStep{i, by, "setAuthority", 1, nil}
	case 5:
		s = solanaStep{spl.CloseAccount(spl.CloseAccountParam{Account: a, To: b, Auth: by}), by, "closeAccount", 1, nil}
	}
	if r.IntN(2) == 0 {
		s.ProgramID = common.Token2022ProgramID
	}
	return s
}

// other is an instruction of another program.
func (r solanaRandom) other() solanaStep {
	a, b, c, d := r.key(), r.key(), r.key(), r.key()
	switch r.IntN(3) {
	case 0:
		i := memo.BuildMemo(memo.BuildMemoParam{SignerPubkeys: []common.PublicKey{a}, Memo: []byte("for ✓")})
		return solanaStep{i, anybody, "memo", 0, func(d *Decoded) { d.Facts = append(d.Facts, Fact{"memo", "for ✓"}) }}
	case 1:
		i := associated_token_account.Create(associated_token_account.CreateParam{Funder: a, Owner: b, Mint: c, AssociatedTokenAccount: d})
		name := "create"
		if r.IntN(2) == 0 {
			name, i.Data = "createIdempotent", []byte{1}
		}
		text := fact("associated_token_account", "%s of wallet %s for mint %s, paid by %s", d.ToBase58(), b.ToBase58(), c.ToBase58(),
			a.ToBase58())
		return solanaStep{i, anybody, name, 1, func(d *Decoded) { d.Facts = append(d.Facts, text) }}
	}
	return solanaStep{types.Instruction{
		ProgramID: common.PublicKey{9}, Data: btcRandom{Rand: r.Rand}.bytes(r.IntN(200)),
		Accounts: []types.AccountMeta{{PubKey: b}, {PubKey: c, IsWritable: true}},
	}, a, "", 0, nil}
}

// message is a message that key signs, in bytes, and what it is to be read as.
func (r solanaRandom) message(t testing.TB) ([]byte, common.PublicKey, Decoded) {
	key := r.keys[0]
	payer := []common.PublicKey{key, key, r.key()}[r.IntN(3)]
	if payer == (common.PublicKey{}) {
		payer = key
	}
	first := system.Transfer(system.TransferParam{From: key, To: r.keys[1], Amount: 1}) // it makes the key a signer
	steps := []solanaStep{{first, key, "transfer", 4, moves(key, Send, r.keys[1], "", 1)}}
	if r.IntN(3) == 0 {
		a, b := r.key(), r.key()
		i := system.AdvanceNonceAccount(system.AdvanceNonceAccountParam{Nonce: a, Auth: b})
		steps = slices.Insert(steps, 0, solanaStep{i, anybody, "advanceNonceAccount", 4, func(d *Decoded) {
			d.Facts = append(d.Facts, Fact{"nonce_account", a.ToBase58()}, Fact{"nonce_authority", b.ToBase58()})
		}})
	}
	for range r.IntN(5) {
		steps = append(steps, []solanaStep{r.system(key), r.token(key), r.other()}[r.IntN(3)])
	}
	param := types.NewMessageParam{FeePayer: payer, RecentBlockhash: base58.Encode(btcRandom{Rand: r.Rand}.bytes(32))}
	if r.IntN(3) == 0 {
		param.AddressLookupTableAccounts = []types.AddressLookupTableAccount{{Key: common.PublicKey{7}, Addresses: r.keys[6:8]},
			{Key: common.PublicKey{8}, Addresses: r.keys[8:9]}}
	}
	for _, s := range steps {
		param.Instructions = append(param.Instructions, s.Instruction)
	}
	budget, limit, price := r.budget(len(steps))
	at := r.IntN(len(budget) + 1)
	param.Instructions = slices.Concat(param.Instructions[:1], budget[at:], param.Instructions[1:], budget[:at])
	m := types.NewMessage(param)
	b, err := m.Serialize()
	if err != nil {
		t.Fatal(err)
	}
	m, err = types.MessageDeserialize(b)
	if err != nil {
		t.Fatal(err)
	}
	d := Decoded{Network: "solana", Format: "transaction", Kind: string(m.Version), Digest: b}
	signers := int(m.Header.NumRequireSignatures)
	d.Facts = []Fact{{"fee_payer", payer.ToBase58()}, fact("signatures", "%d", signers), {"blockhash", param.RecentBlockhash}}
	for _, table := range m.AddressLookupTables {
		d.Facts = append(d.Facts, Fact{"lookup_table", table.AccountKey.ToBase58()})
	}
	d.Fee = budgetWant(&d, slices.Concat(budget[at:], budget[:at]), limit, price, signers)
	r.stepsWant(&d, key, steps, param.Instructions, m)
	return b, key, d
}

// budget is none, one or both of the instructions that set limit and price.
func (r solanaRandom) budget(steps int) (all []types.Instruction, limit, price uint64) {
	limit = min(uint64(steps)*200_000, 1_400_000)
	if r.IntN(2) == 0 {
		units := r.Uint32N(3_000_000)
		limit = min(uint64(units), 1_400_000)
		all = append(all, compute_budget.SetComputeUnitLimit(compute_budget.SetComputeUnitLimitParam{Units: units}))
	}
	if r.IntN(2) == 0 {
		price = r.Uint64() >> r.IntN(64)
		all = append(all, compute_budget.SetComputeUnitPrice(compute_budget.SetComputeUnitPriceParam{MicroLamports: price}))
	}
	return all, limit, price
}

// budgetWant adds the facts of the budget and returns the fee.
func budgetWant(d *Decoded, all []types.Instruction, limit, price uint64, signers int) *big.Int {
	for _, i := range all {
		if name := "compute_unit_limit"; i.Data[0] == 2 {
			d.Facts = append(d.Facts, fact(name, "%d", binary.LittleEndian.Uint32(i.Data[1:])))
		} else {
			d.Facts = append(d.Facts, fact("compute_unit_price", "%d", price))
		}
	}
	micro := new(big.Rat).SetFrac(new(big.Int).Mul(new(big.Int).SetUint64(limit), new(big.Int).SetUint64(price)), big.NewInt(1_000_000))
	fee := new(big.Int).Quo(micro.Num(), micro.Denom())
	if !micro.IsInt() {
		fee.Add(fee, big.NewInt(1))
	}
	return fee.Add(fee, big.NewInt(5000*int64(signers)))
}

// stepsWant adds the effects of steps, or names them as unknown.
func (r solanaRandom) stepsWant(d *Decoded, key common.PublicKey, steps []solanaStep, all []types.Instruction, m types.Message) {
	loaded := map[common.PublicKey]string{}
	for _, table := range m.AddressLookupTables {
		for _, i := range append(slices.Clone(table.WritableIndexes), table.ReadonlyIndexes...) {
			loaded[r.keys[int(table.AccountKey[0]-7)*2+int(i)+6]] = fmt.Sprintf("account %d of table %s", i, table.AccountKey.ToBase58())
		}
	}
	for n, i := range all {
		if i.ProgramID == common.ComputeBudgetProgramID {
			continue
		}
		s := steps[0]
		steps = steps[1:]
		known := true
		var names []string
		for _, a := range i.Accounts {
			name, ok := loaded[a.PubKey]
			if !ok {
				name = a.PubKey.ToBase58()
			}
			names, known = append(names, name), known && !ok
		}
		if known && s.effect != nil && (s.by == key || s.by == anybody) {
			s.effect(d)
			continue
		}
		d.Calls = append(d.Calls, Call{i.ProgramID.ToBase58(), s.name, i.Data[s.tag:]})
		d.Unknown = append(d.Unknown, fmt.Sprintf("instruction %d: %q of program %s, with %d bytes and accounts [%s]", n, s.name,
			i.ProgramID.ToBase58(), len(i.Data[s.tag:]), strings.Join(names, ", ")))
	}
}

// Goal: messages are read as they were meant by who made them. Method: 10,000 of a fixed seed by solana-go-sdk, of both versions, where the
// accounts of some stand in tables, and what each is to be read as.
func TestSolanaLikeSDK(t *testing.T) {
	r := newSolanaRandom(3)
	versions, long := map[string]int{}, 0
	for n := range 10_000 {
		b, key, want := r.message(t)
		got, err := Decode(Payload{Network: "solana", Format: "transaction", Bytes: b, Key: key[:]})
		if strings.Contains(fmt.Sprint(err), "at most 1232") {
			long++
			continue
		}
		if err != nil || !reflect.DeepEqual(*got, want) {
			t.Fatalf("%d: %v\n%+v\nwant\n%+v", n, err, got, want)
		}
		versions[want.Kind]++
	}
	if versions["legacy"] < 3000 || versions["v0"] < 2000 {
		t.Errorf("%v, and %d are too long", versions, long)
	}
}

// testMessage is a message in the parts that tests break.
type testMessage struct {
	version  []byte
	header   [3]byte
	accounts [][]byte
	count    []byte // of accounts
	steps    []testStep
	tables   []testTable
	tail     []byte
}

type testStep struct {
	program  byte
	accounts []byte
	data     []byte
}

type testTable struct{ key, write, read []byte }

func shortVector(b, v []byte) []byte {
	n := len(v)
	for ; n >= 0x80; n >>= 7 {
		b = append(b, byte(n)|0x80)
	}
	return append(append(b, byte(n)), v...)
}

func (m testMessage) bytes() []byte {
	b := append(slices.Clone(m.version), m.header[:]...)
	if m.count == nil {
		m.count = []byte{byte(len(m.accounts))}
	}
	b = append(b, m.count...)
	b = append(append(b, bytes.Join(m.accounts, nil)...), bytes.Repeat([]byte{5}, 32)...)
	b = append(b, byte(len(m.steps)))
	for _, s := range m.steps {
		b = shortVector(shortVector(append(b, s.program), s.accounts), s.data)
	}
	if m.version != nil {
		b = append(b, byte(len(m.tables)))
	}
	for _, t := range m.tables {
		b = shortVector(shortVector(append(b, t.key...), t.write), t.read)
	}
	return append(b, m.tail...)
}

// decode is Decode for the first account.
func (m testMessage) decode() (*Decoded, error) {
	return Decode(Payload{Network: "solana", Format: "transaction", Bytes: m.bytes(), Key: testAccount(1)})
}

// testAccount is a key of its own.
func testAccount(n byte) []byte { return bytes.Repeat([]byte{n}, 32) }

func program(t testing.TB, name string) []byte {
	b, err := base58.Decode(name)
	if err != nil || len(b) != 32 {
		t.Fatalf("%s: %x %v", name, b, err)
	}
	return b
}

// goodMessage has two signers, accounts 0 and 1, others 2 and 3, and a program, 4, of which it has one instruction.
func goodMessage(t testing.TB, name string, data string, accounts ...byte) testMessage {
	return testMessage{header: [3]byte{2, 1, 2}, accounts: [][]byte{testAccount(1), testAccount(2), testAccount(3), testAccount(4),
		program(t, name)}, steps: []testStep{{4, accounts, []byte(data)}}}
}

func transfer() string { return "\x02\x00\x00\x00" + "\x40\x42\x0f\x00\x00\x00\x00\x00" }

// Goal: the transfer that is signed elsewhere in this module is read. Method: its bytes.
func TestSolanaTransfer(t *testing.T) {
	from, to := [32]byte(testAccount(1)), [32]byte(testAccount(2))
	b := realinput.SolanaTransfer(from, to, 7, [32]byte{5})
	d, err := Decode(Payload{Network: "solana", Format: "transaction", Bytes: b, Key: from[:]})
	if err != nil || len(d.Transfers) != 1 || d.Transfers[0].To != base58.Encode(to[:]) || d.Transfers[0].Amount.Int64() != 7 ||
		d.Fee.Int64() != 5000 || !bytes.Equal(d.Digest, b) || len(d.Unknown) > 0 {
		t.Errorf("%+v %v", d, err)
	}
}

// badMessage is a row: what is said of a good message after a change, nothing if it is still good.
type badMessage struct {
	name, says string
	change     func(*testMessage)
}

func (row badMessage) run(t *testing.T) {
	t.Helper()
	m := goodMessage(t, systemProgram, transfer(), 0, 2)
	row.change(&m)
	_, err := m.decode()
	if row.says == "" && err != nil || row.says != "" && (!errors.Is(err, ErrPayload) || !strings.Contains(err.Error(), row.says)) {
		t.Errorf("%s: %v, want %q", row.name, err, row.says)
	}
}

// Goal: what no node takes, and what more than one reading could be had of, is refused. Method: a table of one fault each.
func TestSolanaRefuses(t *testing.T) {
	v0 := func(m *testMessage) { m.version = []byte{0x80} }
	for _, row := range []badMessage{
		{"no fault", "", func(*testMessage) {}},
		{"no fault, version 0", "", v0},
		{"a byte after the end", "1 bytes follow", func(m *testMessage) { m.tail = []byte{0} }},
		{"version 1", "message version 1", func(m *testMessage) { m.version = []byte{0x81} }},
		{"a message off the chain", "message version 127", func(m *testMessage) { m.version = []byte{0xff} }},
		{"no signers", "0 signers", func(m *testMessage) { m.header = [3]byte{0, 0, 2} }},
		{"a payer that may not pay", "2 signers (2 read-only)", func(m *testMessage) { m.header[1] = 2 }},
		{"more signers and read-only others than accounts", "4 read-only others, of 5", func(m *testMessage) { m.header[2] = 4 }},
		{"the key only among the others", "none of the 1 signers", func(m *testMessage) {
			m.header = [3]byte{1, 0, 2}
			m.accounts[0], m.accounts[2] = m.accounts[2], m.accounts[0]
		}},
		{"one account twice", "stands twice", func(m *testMessage) { m.accounts[2] = m.accounts[1] }},
		{"one account of a table twice", "stands twice", func(m *testMessage) {
			v0(m)
			m.tables = []testTable{{testAccount(9), []byte{1}, []byte{1}}}
		}},
	} {
		row.run(t)
	}
}

// Goal: indexes and lengths have one form, and are of what is there. Method: a table of one fault each.
func TestSolanaRefusesIndexes(t *testing.T) {
	v0 := func(m *testMessage) { m.version = []byte{0x80} }
	for _, row := range []badMessage{
		{"a length in more bytes", "more bytes than it needs", func(m *testMessage) { m.count = []byte{0x85, 0} }},
		{"a length in three bytes", "more bytes than it needs", func(m *testMessage) { m.count = []byte{0x85, 0x80, 0} }},
		{"a length of 17 bits", "more than 16 bits", func(m *testMessage) { m.count = []byte{0xff, 0xff, 4} }},
		{"a length without end", "more than 16 bits", func(m *testMessage) { m.count = []byte{0xff, 0xff, 0x83} }},
		{"the payer as a program", "its program is account 0", func(m *testMessage) { m.steps[0].program = 0 }},
		{"a program that is not there", "its program is account 5", func(m *testMessage) { m.steps[0].program = 5 }},
		{"a program of a table", "its program is account 5", func(m *testMessage) {
			v0(m)
			m.tables, m.steps[0].program = []testTable{{testAccount(9), []byte{1}, nil}}, 5
		}},
		{"an account that is not there", "account 5 of 5", func(m *testMessage) { m.steps[0].accounts[1] = 5 }},
		{"a table for nothing", "of which nothing is used", func(m *testMessage) {
			v0(m)
			m.tables = []testTable{{key: testAccount(9)}}
		}},
		{"257 accounts", "257 accounts", func(m *testMessage) {
			v0(m)
			all := make([]byte, 126)
			for n := range all {
				all[n] = byte(n)
			}
			m.tables = []testTable{{testAccount(9), all, nil}, {testAccount(8), nil, all}}
		}},
		{"a transaction of 1233 bytes", "1233 bytes", func(m *testMessage) { m.steps[0].data = make([]byte, 1233-129-3-1-160-32-1-1-3-2) }},
	} {
		row.run(t)
	}
}

// Goal: the key is one of those that sign. Method: keys that are none.
func TestSolanaKey(t *testing.T) {
	for _, key := range [][]byte{nil, testAccount(1)[:31], testAccount(3), append(testAccount(1), 0)} {
		p := Payload{Network: "solana", Format: "transaction", Bytes: goodMessage(t, systemProgram, transfer(), 0, 2).bytes(), Key: key}
		if _, err := Decode(p); !errors.Is(err, ErrPayload) {
			t.Errorf("key %x: %v", key, err)
		}
	}
}

// Goal: a message is read whole or not at all. Method: every beginning of one.
func TestSolanaCutOff(t *testing.T) {
	m := goodMessage(t, systemProgram, transfer(), 0, 2)
	m.version, m.tables = []byte{0x80}, []testTable{{testAccount(9), []byte{1}, []byte{2}}}
	b := m.bytes()
	for n := range b {
		if _, err := Decode(Payload{Network: "solana", Format: "transaction", Bytes: b[:n], Key: testAccount(1)}); err == nil {
			t.Fatalf("reads %d bytes of %d", n, len(b))
		}
	}
}

// Goal: an instruction is read in its one form, of the accounts that are the key's, and else it is unknown. Method: a table, each row of
// what is read and of what is nearly so.
func TestSolanaForms(t *testing.T) {
	amount := "\x01\x00\x00\x00\x00\x00\x00\x00"
	withSeed := "\x0b\x00\x00\x00" + amount + "\x02\x00\x00\x00\x00\x00\x00\x00" + "ab" + string(testAccount(7))
	create := "\x00\x00\x00\x00" + amount + amount + string(testAccount(7))
	for _, row := range []struct {
		name, program, data string
		accounts            []byte
		what                What // "" is unknown
	}{
		{"a transfer", systemProgram, transfer(), []byte{0, 2}, Send},
		{"to itself", systemProgram, transfer(), []byte{0, 0}, Change},
		{"of another signer", systemProgram, transfer(), []byte{1, 2}, ""},
		{"of another account", systemProgram, transfer(), []byte{2, 0}, ""},
		{"with a byte more", systemProgram, transfer() + "\x00", []byte{0, 2}, ""},
		{"with a byte less", systemProgram, transfer()[:11], []byte{0, 2}, ""},
		{"with an account more", systemProgram, transfer(), []byte{0, 2, 3}, ""},
		{"with an account less", systemProgram, transfer(), []byte{0}, ""},
		{"a seed", systemProgram, withSeed, []byte{3, 0, 2}, Send},
		{"a seed of another's base", systemProgram, withSeed, []byte{0, 3, 2}, ""},
		{"a seed and a byte", systemProgram, withSeed + "\x00", []byte{3, 0, 2}, ""},
		{"a seed that is no text", systemProgram, strings.Replace(withSeed, "ab", "\xff\xff", 1), []byte{3, 0, 2}, ""},
		{"a new account", systemProgram, create, []byte{0, 2}, Send},
		{"a new account by another", systemProgram, create, []byte{1, 2}, ""},
		{"a new account of itself", systemProgram, create, []byte{0, 0}, ""},
		{"tokens", tokenProgram, "\x03" + amount, []byte{2, 3, 0}, Send},
		{"tokens of another", tokenProgram, "\x03" + amount, []byte{2, 3, 1}, ""},
		{"tokens of several signers", tokenProgram, "\x03" + amount, []byte{2, 3, 4, 0}, ""},
		{"tokens from the key as an account", tokenProgram, "\x03" + amount, []byte{0, 3, 2}, ""},
		{"tokens checked", token2022Program, "\x0c" + amount + "\x06", []byte{2, 4, 3, 0}, Send},
		{"tokens checked, of another", token2022Program, "\x0c" + amount + "\x06", []byte{2, 4, 3, 1}, ""},
		{"an allowance", tokenProgram, "\x04" + amount, []byte{2, 3, 0}, Allowance},
		{"an allowance checked", token2022Program, "\x0d" + amount + "\x06", []byte{2, 4, 3, 0}, Allowance},
		{"an extension of tokens", token2022Program, "\x1a\x01" + amount, []byte{2, 4, 3, 0}, ""},
		{"a memo that is no text", memoProgram, "\xff", nil, ""},
		{"an account of five", associatedProgram, "\x01", []byte{0, 2, 3, 4, 1}, ""},
		{"an account of eight", associatedProgram, "\x01", []byte{0, 2, 3, 4, 1, 2, 3, 4}, ""},
		{"nothing", systemProgram, "", nil, ""},
	} {
		d, err := goodMessage(t, row.program, row.data, row.accounts...).decode()
		switch {
		case err != nil:
			t.Errorf("%s: %v", row.name, err)
		case row.what == "" && (len(d.Transfers) > 0 || len(d.Facts) != 3 || len(d.Unknown) != 1 || len(d.Calls) != 1):
			t.Errorf("%s is read: %+v", row.name, d)
		case row.what != "" && (len(d.Transfers) != 1 || d.Transfers[0].What != row.what || len(d.Unknown)+len(d.Calls) > 0):
			t.Errorf("%s: %+v", row.name, d)
		}
	}
}

// Goal: a nonce is one in the first instruction only, and the memo of both programs, and an account of six, are facts. Method: a table.
func TestSolanaFacts(t *testing.T) {
	one, three := base58.Encode(testAccount(1)), base58.Encode(testAccount(3))
	nonce := "\x04\x00\x00\x00"
	m := goodMessage(t, systemProgram, nonce, 2, 3, 0)
	m.steps = append(m.steps, m.steps[0])
	d, err := m.decode()
	if err != nil || !slices.Equal(d.Facts[3:], []Fact{{"nonce_account", three}, {"nonce_authority", one}}) || len(d.Unknown) != 1 {
		t.Errorf("%+v %v", d, err)
	}
	for _, name := range []string{memoProgram, memoV1Program} {
		d, err = goodMessage(t, name, "hi", 0).decode()
		if err != nil || !slices.Equal(d.Facts[3:], []Fact{{"memo", "hi"}}) || len(d.Unknown) > 0 {
			t.Errorf("%s: %+v %v", name, d, err)
		}
	}
	d, err = goodMessage(t, associatedProgram, "", 0, 2, 3, 4, 4, 4).decode()
	if err != nil || len(d.Facts) != 4 || d.Facts[3].Name != "associated_token_account" || len(d.Unknown) > 0 {
		t.Errorf("%+v %v", d, err)
	}
}

// Goal: an account that the message does not name is nobody's. Method: a transfer to one of a table.
func TestSolanaTables(t *testing.T) {
	m := goodMessage(t, systemProgram, transfer(), 0, 5)
	m.version, m.tables = []byte{0x80}, []testTable{{testAccount(9), []byte{1}, nil}}
	d, err := m.decode()
	if err != nil || len(d.Transfers) > 0 || len(d.Unknown) != 1 || !strings.Contains(d.Unknown[0], "account 1 of table "+
		base58.Encode(testAccount(9))) {
		t.Errorf("%+v %v", d, err)
	}
}

// Goal: the fee is the most that it can be. Method: budgets, with the fee or without one where they are refused.
func TestSolanaFee(t *testing.T) {
	limit, price := "\x02\x10\x27\x00\x00", "\x03\x40\x42\x0f\x00\x00\x00\x00\x00" // 10,000 units, 1,000,000 millionths
	for _, row := range []struct {
		name    string
		budgets []string
		fee     int64
	}{
		{"no budget", nil, 10_000},
		{"a limit without a price", []string{limit}, 10_000},
		{"both", []string{limit, price}, 20_000},
		{"a price for the usual units", []string{price}, 210_000},
		{"a limit above the most", []string{"\x02\xff\xff\xff\xff", price}, 1_410_000},
		{"a part of a lamport", []string{"\x02\x01\x00\x00\x00", "\x03\x01\x00\x00\x00\x00\x00\x00\x00"}, 10_001},
		{"other limits", []string{"\x01\x00\x00\x04\x00", "\x04\x00\x00\x04\x00"}, 10_000},
		{"a limit twice", []string{limit, limit}, 0},
		{"a price twice", []string{price, price}, 0},
		{"a price and a byte", []string{price + "\x00"}, 0},
		{"a price cut off", []string{price[:8]}, 0},
		{"units as they were asked for once", []string{"\x00\x10\x27\x00\x00\x00\x00\x00\x00"}, 0},
		{"a budget to come", []string{"\x05\x10\x27\x00\x00"}, 0},
		{"an empty budget", []string{""}, 0},
	} {
		m := goodMessage(t, systemProgram, transfer(), 0, 2)
		m.accounts = append(m.accounts, program(t, budgetProgram))
		for _, b := range row.budgets {
			m.steps = append(m.steps, testStep{program: 5, data: []byte(b)})
		}
		d, err := m.decode()
		if row.fee == 0 && !errors.Is(err, ErrPayload) || row.fee > 0 && (err != nil || d.Fee.Int64() != row.fee || len(d.Unknown) > 0) {
			t.Errorf("%s: %+v %v", row.name, d, err)
		}
	}
	for _, name := range []string{ed25519Program, secp256k1Program, secp256r1Program} {
		d, err := goodMessage(t, name, "\x03").decode()
		if err != nil || d.Fee.Int64() != 25_000 {
			t.Errorf("%s: %+v %v", name, d, err)
		}
	}
}

// FuzzSolana: a message that is read is written in the same bytes by solana-go-sdk, with the same signers.
func FuzzSolana(f *testing.F) {
	r := newSolanaRandom(4)
	for range 20 {
		b, _, _ := r.message(f)
		f.Add(b)
	}
	f.Add(goodMessage(f, systemProgram, transfer(), 0, 2).bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := readSolana(b)
		if err != nil || len(m.accounts) > 127 {
			return // the library reads indexes as lengths
		}
		other, err := types.MessageDeserialize(b)
		if err != nil {
			t.Fatal(err)
		}
		again, err := other.Serialize()
		if err != nil || !bytes.Equal(again, b) || int(other.Header.NumRequireSignatures) != m.signatures ||
			other.RecentBlockHash != m.blockhash || len(other.Instructions) != len(m.instructions) {
			t.Errorf("%x is written as %x, %v", b, again, err)
		}
		for n, i := range other.Instructions {
			got := m.instructions[n]
			if got.program != other.Accounts[i.ProgramIDIndex].ToBase58() || !slices.Equal(got.accounts, i.Accounts) {
				t.Errorf("instruction %d: %+v, the library has %+v", n, got, i)
			}
		}
		if d, err := Decode(Payload{Network: "solana", Format: "transaction", Bytes: b, Key: other.Accounts[0][:]}); err == nil &&
			!bytes.Equal(d.Digest, b) {
			t.Errorf("%x is signed as %x", b, d.Digest)
		}
	})
}
