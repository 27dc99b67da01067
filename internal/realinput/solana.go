package realinput

import "encoding/binary"

// SolanaTransfer is the serialized legacy message that moves lamports (10⁻⁹ SOL) from one account to another: the bytes an
// Ed25519 key signs. from pays the fee and signs; it must differ from to. blockhash is a recent one, which limits the
// message's life. (Solana documentation, "Transactions"; system program, instruction Transfer.)
func SolanaTransfer(from, to [32]byte, lamports uint64, blockhash [32]byte) []byte {
	m := []byte{
		1, 0, 1, // header: signatures, read-only signed accounts, read-only unsigned accounts (the system program)
		3, // accounts, as a compact-u16
	}
	m = append(m, from[:]...)
	m = append(m, to[:]...)
	m = append(m, make([]byte, 32)...) // the system program is account 11111111111111111111111111111111: zeros
	m = append(m, blockhash[:]...)
	m = append(m,
		1,       // instructions
		2,       // program: index of the system program
		2, 0, 1, // accounts: from, to
		12, // bytes of data
	)
	m = binary.LittleEndian.AppendUint32(m, 2) // Transfer
	return binary.LittleEndian.AppendUint64(m, lamports)
}

// SolanaTransaction is the transaction that a node takes: one signature of 64 bytes by from, and the message.
func SolanaTransaction(sig, message []byte) []byte {
	tx := append([]byte{1}, sig...)
	return append(tx, message...)
}
