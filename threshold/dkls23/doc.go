// Package dkls23 is threshold ECDSA on secp256k1 by oblivious transfer: Doerner, Kondi, Lee and shelat, "Threshold ECDSA in Three
// Rounds" (ePrint 2023/765), over SoftSpoken OT (ePrint 2022/192) from threshold/internal/ot. No Paillier, no range proofs: a
// 3-of-5 signature costs the three signers about 5 ms of processor time together, 0.2 ms of it after presigning.
//
// What it does, in the order of a life:
//
//   - NewPairState: the pair setup of a committee, once for all its keys and one pair-epoch. Every refresh of a key comes with a new one.
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
// What it does not do: store bans (the caller stores pairState.Bytes before it sends what came with a Ban abort), keep pools, choose
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
// Names are this package's, unless they begin with another's; what follows a slash is a subtest. TestTrace holds the table to the source
// and to docs/PROTOCOLS.md.
//
//	PROTOCOLS                      function                                                   test
//	1.1 transcript hash            canon.Hash, canon.Hasher.Field                             canon.TestHashBoundaries
//	1.2 OPEN, session ID           threshold.NewSession, presigning.bind                      threshold.TestViewsDiffer,
//	                                                                                          TestC2LateMismatchNeverBans
//	  direction of a pair          directed                                                   TestSeparation, TestSplicedSessions
//	1.3 envelope, sender           threshold.Session.Step                                     threshold.TestDropped, transport.TestProof
//	  lengths, canonical forms     judgeCommitment, judgeOpening, decodeShare                 TestLies, TestPairSetupLies, FuzzRounds,
//	                                                                                          FuzzShare
//	1.4 echo                       threshold.VerifyEquivocation                               TestC10Equivocation,
//	                                                                                          threshold.TestEquivocationAfterTheEnd
//	1.5 key record, purpose        Scheme.ParseKeyShare, presigning.admit                     TestKeyRecords, TestC1Signers
//	1.6 faults, evidence           threshold.Rejudge, Scheme.VerifyPresigning                 TestOpenLength, TestLies, TestRandomnessFails
//	A.2 suite 1                    ot.rowPRG.row, ot.randomiser.scalar                        ot.TestRandomiser, ot.TestTranscript
//	A.3.1 pair setup               Scheme.NewPairState, pairSetup.begin                        TestPairSetup, TestPairSetupLies, ot.TestSetup
//	  P1 A's choices               ot.NewSetup, ot.newOblivious                               ot.TestSetup, ot.TestSetupPoints
//	  P2 B's answer                ot.RespondSetup, ot.respondOblivious, setup1.Check         ot.TestSetupPoints, ot.TestSetupIdentity
//	  P2 A's keys                  ot.Setup.Finish, setup2.Check                              ot.TestSetup, ot.TestSetupWrongSession
//	  PPRF and its proof           ot.growTree, ot.punctureTree                               ot.TestPPRFProof,
//	                                                                                          TestPairSetupLies/s~_of_the_last_tree
//	  zero-share seed              seedCommitment, setup2.Check, pair.zeroShare               TestPairSetupLies/another_seed, TestSeparation
//	  P3 of all                    setup2.Advance, pairSetup.judgeConfirmation                TestPairSetup, TestPairSetupLies/P3_short
//	  confirm                      setup3.Check, setup3.Advance                               TestPairSetupLies/another_transcript,
//	                                                                                          TestPairSetupDisagreement
//	  state for the vault          pairState.Bytes, parsePairState                             TestPairStateRecord, FuzzParsePairState
//	A.3.2 gadget                   ot.newGadget, ot.gadgetSum                                 ot.TestGadgetSum
//	  Bob's message                ot.Receiver.Start, ot.Receiver.expand                      ot.TestVectorOLE, ot.TestFlippedRows
//	  check of the extension       ot.Sender.expand, ot.checkHash.of, ot.Sender.holds         ot.TestExtensionTampering, ot.TestCheckHash
//	  Alice's answer               ot.Sender.Reply, ot.randomiser.theta, ot.randomiser.mu     ot.TestVectorOLE, ot.TestReplay
//	  Bob's end                    ot.Receiving.Finish                                        ot.TestCheatingAlice, ot.TestSpent
//	A.3.3 OPEN                     presigning.bind, presigning.samePairs                      TestC2LateMismatchNeverBans, TestOpenLength
//	  R1                           presigning.begin, presigning.draw, commitment              TestSeparation, TestTranscript,
//	                                                                                          TestPublicValuesAreFresh
//	  R2                           presigning.answer, round1.Advance                          TestLies, TestC16AdaptiveNonce,
//	                                                                                          TestAnswersShareNoRandomness
//	  R3 checks                    round2.Check, presigning.receive, presigning.sum           TestLies, TestParallelChecks
//	  R3 u, v                      presigning.secrets                                         TestQuorums, TestC15Shares
//	  share                        signer.SignShare                                           TestQuorums, TestC19Agreement
//	  combine                      Scheme.Combine, request.signature, coordinate              TestManySignatures, TestCoordinateOverflow,
//	                                                                                          TestRoughNetwork
//	  combine, by other libraries  Scheme.Combine, Scheme.Verify                              TestOutsideLibraries, TestVerify,
//	                                                                                          TestVerifyAgainstDecred
//	  HD tweak                     Scheme.Derive, tweakedKey, newBinding                      TestDeriveVectors,
//	                                                                                          TestDeriveAgainstHDKeychain, TestQuorums
//	A.3.4 C1                       Scheme.newPresigning, presigning.admit, pairState.with     TestC1Signers
//	  C2                           presigning.bind, presigning.samePairs                      TestC2LateMismatchNeverBans,
//	                                                                                          TestRefreshRerandomisesPairs
//	  C3                           judgeCommitment, judgeOpening, setup1.Check, setup2.Check  TestLies/R1_short, TestPairSetupLies/P1_short,
//	                                                                                          ot.TestLengths
//	  C4                           presigning.receive, decodeShare, ot.Receiving.Finish       TestLies/psi_not_canonical, TestC15Shares,
//	                                                                                          ot.TestScalars
//	  C5                           judgeOpening, presigning.receive, ot.respondOblivious      TestLies/R_is_the_identity, ot.TestSetupPoints
//	  C6                           ot.Setup.Finish                                            TestPairSetupLies/t~_of_the_last_tree,
//	                                                                                          ot.TestPPRFProof
//	  C7                           presigning.answer, ot.Sender.Reply                         TestLies/first_row_of_U, ot.TestBobGuessesDelta
//	  C8                           presigning.receive, ot.Receiving.Finish                    TestLies/hash_of_mu, ot.TestAliceGuessesBeta
//	  C9                           judgeOpening, setup2.Check                                 TestLies/another_R, TestReplayedContribution
//	  C10                          threshold.Session.Step                                     TestC10Equivocation, threshold.TestNoSignatures
//	  C11                          consistent, presigning.receive                             TestLies/another_r_to_one_peer,
//	                                                                                          TestLies/another_Gamma_u
//	  C12                          consistent, presigning.receive                             TestLies/another_sk_to_one_peer,
//	                                                                                          TestLies/another_pk
//	  C13                          presigning.sum                                             TestLies/another_sk_with_its_pk_to_all,
//	                                                                                          TestC14Degenerate
//	  C14                          usable, request.signature                                  TestC14Degenerate
//	  C15                          request.signature                                          TestC15Shares, TestLies/another_psi, FuzzShare
//	  C16                          round1.Advance                                             TestC16AdaptiveNonce
//	  C17                          pair.use, pair.refusal, secrets.take, round2.Advance       TestC17SelectiveFailure,
//	                                                                                          TestC17BanBeforeTheEnd, TestBanWipes
//	  what a failure leaves        presigning.erase, round2.Erase                             TestFailedBatchLeavesNothing, TestLies
//	  C18                          secrets.take, secrets.reserve                              TestC18PresignatureReuse, TestTake
//	  C19                          Scheme.Agree, signer.SignShare                             TestC19Agreement, TestSplitAgreement
//	A.3.5 O1 agreement             Scheme.Agree, secrets.reserve, secrets.settle              TestC19Agreement, TestTake,
//	                                                                                          TestPresignaturePrintsNothing
//	  O2 the share                 signer.SignShare                                           TestC19Agreement, TestC18PresignatureReuse
//	  an agreement given up        Scheme.Agree, agreement.burn                               TestAgreementNobodyTook,
//	                                                                                          TestPresignaturesNobodyTook
//	  re-randomisation             requestOf, prepared.rerandomiser                           TestRerandomiser, TestRawHashForgery,
//	                                                                                          TestRequestRemembered
//	  pool, flushed and in memory  secrets.Burn                                               appliance.TestPoolFlush,
//	                                                                                          appliance.TestRealPresignatureRestore
//	A.3.6 blame                    presigning.verify, pairSetup.verify, pair.cheated       TestLies, TestOpenLength, TestDestroyBlamesNobody
//	A.3.7 refresh                  Scheme.Refresh, Scheme.NewPairState, pairState.Destroy     TestRefreshRerandomisesPairs,
//	                                                                                          TestRefreshEndsUnmasking,
//	                                                                                          ot.TestStateUnmasksItsOwn,
//	                                                                                          TestDestroyBlamesNobody
//	  pair-epochs                  Scheme.NewPairState                                        TestPairEpochsHaveNames
//	A.5 alpha-shuffle              canon.Hash                                                 canon.TestHashBoundaries
//	  selective failure            pair.cheated, pairState.Ban                                TestC17SelectiveFailure, appliance.TestBan
//	  presignature reuse           secrets.take                                               TestC18PresignatureReuse,
//	                                                                                          appliance.TestPresignatureReuse
//	  known delta                  prepared.rerandomiser                                      TestRerandomiser, TestC19Agreement
//	  raw-hash forgery             prepared.rerandomiser                                      TestRawHashForgery
//	  missing ssid, splices        directed, commitment                                       TestSplicedSessions, ot.TestWrongSession
//	  late session mismatch        presigning.bind, presigning.samePairs                      TestC2LateMismatchNeverBans
//	  commitment copying           commitment                                                 TestLies/commitment_copied
//	  adaptive R                   round1.Advance                                             TestC16AdaptiveNonce
//	  wrong psi, r, sk, Gamma      presigning.receive, request.signature                      TestLies/another_psi, TestLies/another_Gamma_v
//	  lengths, identity points     judgeOpening, presigning.receive                           TestLies/R2_empty, TestLies/pk_is_the_identity
//	  indices                      Scheme.newPresigning                                       TestC1Signers, threshold.TestCommittee
//	  replay                       commitment, presigning.begin                               TestReplayedContribution, TestSplicedSessions
//	  domain confusion             presigning.admit, Scheme.NewSigner                         TestKeyRecords
//	  low s, recovery ID           request.signature, coordinate                              TestOutsideLibraries, TestCoordinateOverflow
//	F.3 constant time              consistent, signer.SignShare, presigning.secrets           TestNoBranchOnSecrets, ot.TestNoBranchOnSecrets
//	- every message                                                                           TestTranscript, ot.TestTranscript
//	- this table                                                                              TestTrace
package dkls23
