// Package dkls23 is threshold ECDSA on secp256k1 by oblivious transfer: Doerner, Kondi, Lee and shelat, "Threshold ECDSA in Three
// Rounds" (ePrint 2023/765), over SoftSpoken OT (ePrint 2022/192) from threshold/internal/ot. No Paillier, no range proofs: a
// 3-of-5 signature costs the three signers about 5 ms of processor time together, 0.2 ms of it after presigning.
//
// What it does, in the order of a life:
//
//   - Provision: the pair setup of a committee, once for all its keys and one pair-epoch. Every refresh of a key comes with a new one.
//   - Keygen, Refresh: threshold/dkg. The key share is a Shamir share with public shares and knows nothing of this protocol.
//   - Presign: presignatures for any request, in memory only; Agree binds each to one request, by all its signers, once.
//   - PresignFor: interactive signing; presignatures for given requests, which the session ID binds, so there is nothing to agree on.
//   - SignShare: no rounds; the place where hardware attests. It burns the presignature before it looks at anything.
//   - Combine: low s, recovery ID, verified before it is returned. Derive: BIP 32 below the wallet key, also after presigning.
//
// What it promises: at most t-1 corrupt parties learn nothing of the key and sign nothing the honest ones did not agree on (static
// corruption, random oracle). A party that fails a check which could leak a bit of the others' oblivious-transfer secrets is banned for
// the pair-epoch at once: its concurrent sessions die, presignatures made with it do not sign. Presignatures are always
// re-randomised, because a nonce point that is known before the digest is chosen makes any oracle for raw digests a forger (Groth and
// Shoup, ePrint 2021/1330).
//
// What it does not do: store bans (the caller stores Provision.Bytes before it sends what came with a Ban abort), keep pools, choose
// quorums, or tell who lied when only the final signature is wrong (C13, C15): then another quorum is tried. Two faults of the
// engine's memory model: Go may have copied scalars before they are wiped, and the encodings of messages are not wiped.
//
// # Blame
//
// What is wrong in a broadcast is Proven, and the session's accusation lets the others repeat the judgement: form, opening, equivocation.
// What is wrong between two parties is a Ban, which convinces nobody else. C2, C13, C14, C15 and C19 are Retry.
//
// # Differences from the paper
//
// A batch has one commitment for all its R_i. R_i, pk_i and the salt of the opening are broadcast rather than sent to each, so that an
// observer learns R and can combine. The OLE protocol's consistency value is hashed, and two misprinted indexes are corrected (see
// threshold/internal/ot). Session IDs come from everybody's nonces, pair state from a setup per committee instead of per key. HD
// tweaks are added after presigning, v'_i = v_i + τ·φ_i, rather than to one party's sk_i. Agreement and re-randomisation are
// PROTOCOLS A.3.5. [X] For a presignature made for its request, δ has no nonces of its own: the presignature's ID is a hash of
// everybody's nonces and the request.
//
// # A split agreement
//
// [X] If a corrupt signer gives two honest ones different nonces in Agree, they sign the same request under different δ, and each releases
// its (w_i, u_i) once. u_i and v_i are additive shares whose pairwise parts, c + d of the transfers between two honest parties, nobody else
// knows, and φ_i is uniform: with different δ and r each released value keeps a mask of its own, and even the sums that are determined in
// an honest run are not. The signature fails by C15. This is an argument, not a proof; PROTOCOLS A.3.5 asks for no echo either.
//
// # Trace
//
//	PROTOCOLS                      function                                    test
//	A.3.1 pair setup               Provision, provisioning.begin               TestProvision, TestProvisionLies
//	  base OT, PPRF                ot.NewSetup, ot.RespondSetup, Setup.Finish  TestProvisionLies; package ot
//	  zero-share seed              seedCommitment, setup2.Check                TestProvisionLies, TestSeparation
//	  both sign the transcript     setup3                                      TestProvisionLies, TestProvisionDisagreement
//	  state for the vault          Provision.Bytes, ParseProvision             TestProvisionRecord, FuzzParseProvision
//	A.3.2 vector OLE               Receiver.Start, Sender.Reply, Finish        TestLies; package ot
//	A.3.3 R0 OPEN                  presigning.bind, samePairs                  TestC2LateMismatchNeverBans
//	  R1                           presigning.begin, draw, commitment          TestQuorums, TestSeparation
//	  R2                           presigning.answer, round1.Advance           TestLies
//	  R3 checks                    round2.Check, presigning.receive, sum       TestLies, TestParallelChecks
//	  R3 u, v                      presigning.secrets                          TestQuorums
//	  R3 w, out                    signer.SignShare, Combine                   TestQuorums, TestManySignatures, TestVerifyAgainstDecred
//	  τ, BIP 32                    Derive, tweakedKey                          TestDeriveVectors, TestDeriveAgainstHDKeychain, TestQuorums
//	A.3.4 C1                       newPresigning, admit, Provision.with        TestC1Signers
//	  C2                           bind, samePairs (and the session's OPEN)    TestC2LateMismatchNeverBans, TestRefreshRerandomisesPairs
//	  C3                           judgeCommitment, judgeOpening, Checks       TestLies, TestProvisionLies
//	  C4                           receive, decodeShare, ot                    TestLies, TestC15Shares
//	  C5                           judgeOpening, receive, ot                   TestLies, TestProvisionLies
//	  C6                           ot.Setup.Finish                             TestProvisionLies
//	  C7                           ot.Sender.Reply in answer                   TestLies, TestSplicedSessions
//	  C8                           ot.Receiving.Finish in receive              TestLies, TestSplicedSessions
//	  C9                           judgeOpening, setup2.Check                  TestLies, TestReplayedContribution, TestProvisionLies
//	  C10                          threshold.Session                           TestC10Equivocation
//	  C11, C12                     consistent in receive                       TestLies
//	  C13                          presigning.sum                              TestLies, TestC14Degenerate
//	  C14                          usable, request.signature                   TestC14Degenerate
//	  C15                          request.signature                           TestC15Shares, TestLies, FuzzShare
//	  C16                          round1 (Advance needs everybody's R1)       TestC16AdaptiveNonce
//	  C17                          pair.use, secrets.take, round2.Advance      TestC17SelectiveFailure, TestC17BanBeforeTheEnd, TestBanWipes
//	  C18                          secrets.take, secrets.reserve               TestC18PresignatureReuse, TestTake
//	  C19                          Agree, signer.SignShare                     TestC19Agreement
//	A.3.5 presignatures            secrets, Agree, prepared.rerandomiser       TestRawHashForgery, TestRerandomiser
//	A.3.6 blame                    verify, judged, pair.cheated                TestLies, TestOpenLength
//	A.3.7 refresh                  Refresh with Provision                      TestRefreshRerandomisesPairs
//	A.5 late session mismatch      bind, samePairs                             TestC2LateMismatchNeverBans
//	A.5 selective failure          pair.cheated                                TestC17SelectiveFailure
//	A.5 commitment copying         commitment                                  TestLies/commitment_copied
//	A.5 missing ssid, splices      directed, commitment                        TestSplicedSessions, TestReplayedContribution
//	A.5 known delta                prepared.rerandomiser                       TestRerandomiser, TestC19Agreement
//	every message                                                              TestTranscript
package dkls23
