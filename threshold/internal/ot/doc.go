// Package ot is the pairwise layer of DKLs23 (Doerner, Kondi, Lee, shelat, ePrint 2023/765): two parties meet once to set up, and from then
// on turn products of their secrets into sums, by oblivious transfer alone. It is suite 1 of PROTOCOLS A.2: AES-128 and SHA-256.
//
// # What it is
//
// The pair setup, once per ordered pair and pair-epoch. A, who will be Alice, calls NewSetup; B, who will be Bob, answers with
// RespondSetup; A ends with Finish. She then holds a Sender, he a Receiver; each pair runs it in both directions.
//
// The random vector OLE, once per signature and direction. Bob calls Receiver.Start and has a random b; Alice answers with Sender.Reply and
// her a_1, a_2; Bob ends with Receiving.Finish. Then c_i + d_i = a_i·b modulo the group order, and neither knows more.
//
//	step                                  source                                             here
//	base transfers                        Masny, Rindal, ePrint 2019/706, figure 8           endemic.go
//	hashing to the curve                  RFC 9380, section 8.7                              secp256k1.Point.HashToCurve
//	punctured PRF and its proof (C6)      Roy, ePrint 2022/192, figures 13 and 14            pprf.go
//	extension from the trees              Roy, ePrint 2022/192                               extension.go, transpose.go
//	its consistency check (C7)            Keller, Orsini, Scholl, ePrint 2015/546, figure    extension.go, field128.go
//	                                      10 of the corrected version, made non-interactive
//	                                      as ePrint 2023/765, section 5.1, says
//	gadget, randomiser, OLE, check (C8)   ePrint 2023/765, Protocol 5.2                      gadget.go, randomiser.go, ole.go
//
// # What it promises
//
// A message that fails C6, C7 or C8 gives an error that wraps ErrCheat and no output. Whoever provokes such an error on purpose guesses
// bits of the victim's secrets (Δ, or β), and each failure or success tells him one guess: so the caller bans him for the pair-epoch before
// it lets him know, in all sessions. What cannot be read wraps ErrMalformed. Both fault the sender, provided that both sides agreed on sid
// and on the setup's ID beforehand: two honest parties with different ones look like cheaters to each other.
//
// No branch and no memory address depends on choice bits, Δ, β, seeds, inputs or outputs; a test holds the source to it. Alice stores her
// leaves by their distance from the one she misses, so that a session does not even know where the gap is. Steps allocate messages and a
// few hashes, nothing per transfer. Calls on one Sender or Receiver may run in parallel.
//
// # What the caller owes
//
//  1. sid is unique for ever, bound to the direction, and agreed by both before the first message (PROTOCOLS 1.2). Both sides mix a fresh
//     salt into all that follows from it, as insurance only.
//  2. Messages travel over an authenticated and confidential channel.
//  3. rand is good. Every secret of the pair is made from it.
//  4. Both sign ID, and use the state only after both signatures are stored (A.3.1).
//  5. Wipe runs when nothing else uses the object.
//
// # What it does not do
//
// It knows no seeds of zero shares, no bans and no epochs. It cannot wipe what the standard library keeps: blocks of SHA-256 that were
// hashed, and copies of stack frames. The AES key schedules, which live as long as the state, it does wipe.
//
// # Where it differs
//
// The papers were not at hand when this was written, PROTOCOLS A.3 was; where they disagree, the papers win, and the difference
// belongs here.
//
// The paper's Protocol 5.2 has two indices wrong, which the Trail of Bits report on silence-laboratories' code (appendix F) notes: θ in
// the sum over Alice's inputs carries the index of the input, and a^ that of the check input. Here θ_i belongs to a_i, and there is one a^.
//
// The base transfer is the two-message endemic OT of Masny and Rindal, figure 8, over Diffie-Hellman key agreement, and not that of ePrint
// 2022/1525, section 3, which other code takes for DKLs23. Its paper claims endemic security in the random oracle model under DDH, and for
// other instances under CDH; we rely on DDH in secp256k1, and have no proof of our own for this instance.
//
// λ_c is 128 and ρ, the number of check inputs a^, is 1. Public code contradicts itself about the paper's formula for ρ, so here is the
// argument that is relied on: θ is a hash of all of a~ into Z_q. If some a~_j differs from the others by inputs e ≠ 0, η - θ·a matches
// only where Σ θ_i·e_i equals what Alice fixed before θ: for each query of the hash with probability 1/q, about 2^-256. What is left to her
// is to guess bits of β, and one wrong guess bans her.
//
// λ_s is 80: ξ = 256 + 2·80, so each b is within 2^-81 of uniform given all that Alice sees (leftover hash lemma). That adds up: over the
// 2^36 OLEs of a year at 300 signatures a second with three signers it is 2^-45. λ_s = 128, as others have it, would give 2^-93. It was
// tried, in turns with 80, on two cores of a Xeon: 17 % more processor time for a vector OLE (median of 9), 15 % for an interactive
// signature of 3-of-5 in batches of 8 (5.8 to 6.7 ms, medians of 6), 23 % more bytes from Alice (49 248), and so 21 presignatures in a
// session, where 26 fit now. Above 15 % it stays at 80.
//
// A hashes to the curve once per base transfer, not for both values of her bit: the hash and the choice of its input are constant-time, so
// that there is no difference to hide. The key of a base transfer binds sid and both messages, and B rejects a key share that is the
// identity.
//
// The check of the extension is made non-interactive: χ_1 .. χ_4 are four independent elements of GF(2^128) derived from U. t~ is sent
// whole, 2 048 bytes, as in figure 10; a hash of it would do, if a proof said so. The PRG's rows are 68 bytes, and unused bits of the last
// word are zero on both sides.
//
// # Trace
//
// What follows a slash is a subtest. TestTrace holds the table to the source and to docs/PROTOCOLS.md.
//
//	PROTOCOLS                 function                                       test
//	A.2 suite 1: rows         rowPRG.row, rowPRG.start                       TestVectorOLE, TestTranscript
//	  suite 1: randomiser     randomiser.scalar, newRandomiser               TestRandomiser
//	A.3.1 P1                  NewSetup, newOblivious, endemicHash            TestSetup, TestSetupPoints
//	  P2                      RespondSetup, respondOblivious, baseKey        TestSetup, TestSetupIdentity, TestSetupWrongSession
//	  A's keys                Setup.Finish, oblivious.finish                 TestSetup, TestSetupSpent
//	  PPRF and its proof      growTree, punctureTree, expandSeed, proofTree  TestPPRFProof
//	  name of a setup         setupID                                        TestSetup, TestSetupWrongSession
//	  state for the vault     Sender.Bytes, ParseSender, ParseReceiver       TestStateEncoding, TestStateParsing, FuzzParseState
//	A.3.2 gadget              newGadget, gadgetSum                           TestGadgetSum
//	  Bob's message           Receiver.Start, Receiver.expand                TestVectorOLE, TestFlippedRows
//	  check of the extension  Sender.expand, checkHash.of, Sender.holds      TestCheckHash, TestFieldProduct, TestExtensionTampering
//	  columns                 columns.setRows                                TestTranspose
//	  Alice's answer          Sender.Reply, randomiser.theta, randomiser.mu  TestVectorOLE, TestEdgeInputs
//	  Bob's end               Receiving.Finish                               TestVectorOLE, TestSpent
//	  salts                   sessionKey, newRandomiser                      TestReplay, TestWrongSession
//	A.3.4 C3                  Sender.Reply, Receiving.Finish, Setup.Finish   TestLengths, TestSetupLengths
//	  C4                      Receiving.Finish                               TestScalars
//	  C5                      respondOblivious, oblivious.finish             TestSetupPoints, TestSetupIdentity
//	  C6                      Setup.Finish, punctureTree                     TestPPRFProof
//	  C7                      Sender.Reply, Sender.holds                     TestExtensionTampering, TestBobGuessesDelta
//	  C8                      Receiving.Finish                               TestCheatingAlice, TestAliceGuessesBeta
//	F.3 constant time                                                        TestNoBranchOnSecrets
//	- wiping                  Sender.Wipe, Receiver.Wipe, Receiving.Wipe     TestStateWipe, TestScratchIsWiped, TestNothingIsPrinted
//	- every message                                                          TestTranscript
//	- this table                                                             TestTrace
package ot
