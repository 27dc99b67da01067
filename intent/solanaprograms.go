package intent

import (
	"bytes"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/mr-tron/base58"
)

// The programs whose instructions are read, and those that verify signatures, each of which costs.
const (
	systemProgram     = "11111111111111111111111111111111"
	tokenProgram      = "TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA"
	token2022Program  = "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"
	associatedProgram = "ATokenGPvbdGVxr1b2hvZbsiqW5xWH25efTNsLJA8knL"
	memoProgram       = "MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr"
	memoV1Program     = "Memo1UhkJRfHyvLMcVucJwxXeuD728EqVDDwQDxFMNo"
	budgetProgram     = "ComputeBudget111111111111111111111111111111"

	ed25519Program   = "Ed25519SigVerify111111111111111111111111111"
	secp256k1Program = "KeccakSecp256k11111111111111111111111111111"
	secp256r1Program = "Secp256r1SigVerify1111111111111111111111111"
)

// What transactions cost, in lamports, and what they may compute (Solana documentation, "Fees").
const (
	lamportsPerSignature = 5000
	defaultUnits         = 200_000 // of an instruction, where the message sets no limit: the most that a runtime gives
	maxUnits             = 1_400_000
)

// solanaReader says what instructions do for one of the signers.
type solanaReader struct {
	*Decoded
	m   *solanaMessage
	key string
	n   int // which instruction is read
}

// budget reads what bounds the cost of the message: 5000 lamports for each signature, and the price of the units that it may compute, in
// millionths of a lamport, rounded up. What of the compute budget is not read exactly is refused: a node could read another price in it.
func (s *solanaReader) budget() error {
	names := map[byte]string{1: "heap_frame", 2: "compute_unit_limit", 3: "compute_unit_price", 4: "loaded_accounts_limit"}
	values, units, signatures := map[byte]uint64{}, uint64(0), uint64(s.m.signatures)
	for n, i := range s.m.instructions {
		switch i.program {
		case ed25519Program, secp256k1Program, secp256r1Program:
			if len(i.data) > 0 {
				signatures += uint64(i.data[0])
			}
		}
		if i.program != budgetProgram {
			units += defaultUnits
			continue
		}
		c := &cursor{rest: i.data}
		tag, value := c.u8(), uint64(0)
		if tag == 3 {
			value = c.u64()
		} else {
			value = uint64(c.u32())
		}
		if _, twice := values[tag]; c.end() != nil || names[tag] == "" || twice {
			return refuse("instruction %d: a compute budget %x, which is none or stands twice", n, i.data)
		}
		values[tag] = value
		s.add(names[tag], strconv.FormatUint(value, 10))
	}
	if limit, ok := values[2]; ok {
		units = limit
	}
	fee := new(big.Int).SetUint64(min(units, maxUnits))
	fee.Mul(fee, new(big.Int).SetUint64(values[3]))
	fee.Add(fee, big.NewInt(999_999)).Div(fee, big.NewInt(1_000_000))
	s.Fee = fee.Add(fee, new(big.Int).SetUint64(signatures*lamportsPerSignature))
	return nil
}

// solanaRule is an instruction that is known: its program, how its data begins, how many bytes and accounts it has, any number below 0.
// read says what it does, args being what follows the tag; it tells false where the instruction does not concern the key or is not of its
// form, and is nil for one that is known by its name only.
type solanaRule struct {
	program, tag, name string
	data, accounts     int
	read               func(s *solanaReader, a []string, args *cursor) bool
}

// solanaRules are the instructions of the system program, the two token programs, the program of associated token accounts and the memo
// programs that are read, and some that give away what no amount tells (sources of the programs: SystemInstruction, TokenInstruction,
// AssociatedTokenAccountInstruction).
var solanaRules = slices.Concat([]solanaRule{
	{systemProgram, "\x00\x00\x00\x00", "createAccount", 52, 2, (*solanaReader).createAccount},
	{systemProgram, "\x01\x00\x00\x00", "assign", -1, -1, nil},
	{systemProgram, "\x02\x00\x00\x00", "transfer", 12, 2, func(s *solanaReader, a []string, args *cursor) bool {
		return s.moves(Send, a[0], a[1], "", args)
	}},
	{systemProgram, "\x03\x00\x00\x00", "createAccountWithSeed", -1, -1, nil},
	{systemProgram, "\x04\x00\x00\x00", "advanceNonceAccount", 4, 3, (*solanaReader).nonce},
	{systemProgram, "\x05\x00\x00\x00", "withdrawNonceAccount", -1, -1, nil},
	{systemProgram, "\x07\x00\x00\x00", "authorizeNonceAccount", -1, -1, nil},
	{systemProgram, "\x0b\x00\x00\x00", "transferWithSeed", -1, 3, (*solanaReader).transferWithSeed},
	{associatedProgram, "", "create", 0, -1, (*solanaReader).associated},
	{associatedProgram, "\x00", "create", 1, -1, (*solanaReader).associated},
	{associatedProgram, "\x01", "createIdempotent", 1, -1, (*solanaReader).associated},
	{memoProgram, "", "memo", -1, -1, (*solanaReader).memo},
	{memoV1Program, "", "memo", -1, -1, (*solanaReader).memo},
}, tokenRules(tokenProgram), tokenRules(token2022Program))

// tokenRules are those of a token program: accounts are the source, the mint where it is checked, the destination or delegate, and who may
// move what the source holds.
func tokenRules(program string) []solanaRule {
	move := func(what What) func(s *solanaReader, a []string, args *cursor) bool {
		return func(s *solanaReader, a []string, args *cursor) bool {
			return s.movesToken(what, a[2], a[1], "token of "+a[0], args)
		}
	}
	checked := func(what What) func(s *solanaReader, a []string, args *cursor) bool {
		return func(s *solanaReader, a []string, args *cursor) bool {
			return s.movesToken(what, a[3], a[2], a[1], args)
		}
	}
	return []solanaRule{
		{program, "\x03", "transfer", 9, 3, move(Send)},
		{program, "\x04", "approve", 9, 3, move(Allowance)},
		{program, "\x05", "revoke", -1, -1, nil},
		{program, "\x06", "setAuthority", -1, -1, nil},
		{program, "\x08", "burn", -1, -1, nil},
		{program, "\x09", "closeAccount", -1, -1, nil},
		{program, "\x0c", "transferChecked", 10, 4, checked(Send)},
		{program, "\x0d", "approveChecked", 10, 4, checked(Allowance)},
		{program, "\x0f", "burnChecked", -1, -1, nil},
	}
}

// instruction reads one instruction as its rule says, or names it as unknown. All accounts of one that is read have their keys in the
// message.
func (s *solanaReader) instruction(n int, i solanaInstruction) {
	s.n = n
	known := true
	names := make([]string, len(i.accounts))
	for k, a := range i.accounts {
		names[k] = s.m.accounts[a]
		known = known && a < s.m.static
	}
	name, data := "", bytes.Clone(i.data)
	for _, r := range solanaRules {
		args, ok := strings.CutPrefix(string(i.data), r.tag)
		if r.program != i.program || !ok || r.data >= 0 && r.data != len(i.data) || r.accounts >= 0 && r.accounts != len(names) {
			continue
		}
		if known && r.read != nil && r.read(s, names, &cursor{rest: []byte(args)}) {
			return
		}
		name, data = r.name, []byte(args)
	}
	s.Calls = append(s.Calls, Call{To: i.program, Method: name, Data: data})
	s.Unknown = append(s.Unknown, fmt.Sprintf("instruction %d: %q of program %s, with %d bytes and accounts [%s]", n, name, i.program,
		len(data), strings.Join(names, ", ")))
}

func (s *solanaReader) add(name, value string) { s.Facts = append(s.Facts, Fact{name, value}) }

// moves reads an amount that goes away from an account by the word of by. What another signer moves is none of the key's matter to say.
func (s *solanaReader) moves(what What, by, to, asset string, args *cursor) bool {
	if by != s.key {
		return false
	}
	if to == s.key && asset == "" {
		what = Change
	}
	s.Transfers = append(s.Transfers, Transfer{what, to, asset, new(big.Int).SetUint64(args.u64())})
	return true
}

// movesToken is moves of a token, where a Send goes to an account of the token and not to the wallet that owns it.
func (s *solanaReader) movesToken(what What, by, to, asset string, args *cursor) bool {
	if !s.moves(what, by, to, asset, args) {
		return false
	}
	if what == Send {
		s.add("token_account", to)
	}
	return true
}

// createAccount reads lamports that go to a new account, which belongs to a program.
func (s *solanaReader) createAccount(a []string, args *cursor) bool {
	if a[1] == s.key || !s.moves(Send, a[0], a[1], "", args) {
		return false
	}
	space := args.u64()
	s.add("create_account", fmt.Sprintf("%s of %d bytes owned by %s", a[1], space, base58.Encode(args.fixed(32))))
	return true
}

// nonce reads the use of a nonce, which stands first: its value is in the place of the blockhash, and the message does not expire.
func (s *solanaReader) nonce(a []string, _ *cursor) bool {
	if s.n != 0 {
		return false
	}
	s.add("nonce_account", a[0])
	s.add("nonce_authority", a[2])
	return true
}

// transferWithSeed reads lamports of an account whose address is made of a base, which signs for it, a seed and a program.
func (s *solanaReader) transferWithSeed(a []string, args *cursor) bool {
	amount := &cursor{rest: args.fixed(8)}
	seed := args.take(args.u64())
	args.fixed(32)
	if args.end() != nil || !utf8.Valid(seed) || !s.moves(Send, a[1], a[2], "", amount) {
		return false
	}
	s.add("from_account", a[0])
	return true
}

// associated reads the making of the account that a wallet has for a token, if there is none. Older programs take the rent as a seventh
// account.
func (s *solanaReader) associated(a []string, _ *cursor) bool {
	if len(a) < 6 || len(a) > 7 {
		return false
	}
	s.add("associated_token_account", fmt.Sprintf("%s of wallet %s for mint %s, paid by %s", a[1], a[2], a[3], a[0]))
	return true
}

func (s *solanaReader) memo(_ []string, text *cursor) bool {
	if !utf8.Valid(text.rest) {
		return false
	}
	s.add("memo", string(text.rest))
	return true
}
