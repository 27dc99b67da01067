// Package dkg is the one distributed key generation of mpcd, for every curve, and the refresh that lives beside it.
//
// After OPEN it has three rounds, all broadcast and echoed (PROTOCOLS B.3):
//
//	D1  commitment to everything of D2, and an ephemeral encryption key
//	D2  opening: Feldman commitments, proof of possession of the constant term, chain code share, and for every party its
//	    share, encrypted under a pad from ECDH (as EncPedPop of ChillDKG does)
//	D3  digest of the resulting key, and complaints
//
// Committing first keeps a rushing party from choosing its contribution last (rogue key, biased key). The proof of possession
// is bound to session and party, so it cannot be replayed (CVE-2022-47930). Because the encrypted shares are public, a wrong
// one is judged by everybody: the receiver's complaint reveals the ECDH point with a proof of equal discrete logarithms
// (Chaum and Pedersen, CRYPTO '92), and either the dealer or the complainer is proven guilty. VerifyEvidence repeats every
// judgement for third parties, by the same code; the accused party's own session ID and echo bind what it is judged by.
//
// A result is not yet a key to use: the appliance stores the share durably, exchanges signed success certificates over the
// key's digest, proves the threshold, and only then calls it active.
//
// Refresh (PROTOCOLS B.4) is the same with polynomials whose constant term is zero and is not sent: D2 carries t-1
// commitments. The group key, chain code and purpose stay; every share changes; the epoch is one more.
//
// Security: Feldman-based DKG with proofs of possession, as PedPop in "Provably Secure FROST" (Chu, Gerhart, Ruffing,
// Schröder, CRYPTO 2023) and Komlo and Goldberg (SAC 2020), secure against static corruption of t-1 parties with abort. The proofs of
// possession are Schnorr's by Fiat and Shamir, whose witness is extracted by rewinding or in the algebraic group model, in the random
// oracle model: this is not universally composable, as the committed proofs are that the paper of DKLs23 asks of its key generation.
// Whoever speaks last may abort until it likes the key; that bias is inherent in protocols with abort and dishonest majority.
//
// # Trace
//
// Names are this package's, unless they begin with another's; what follows a slash is a subtest. TestTrace holds the table to the source
// and to docs/PROTOCOLS.md.
//
//	PROTOCOLS                  function                                                   test
//	1.1 transcript hash        canon.Hash                                                 canon.TestHashBoundaries
//	1.2 context                public.context, state.session                              TestOperationsDoNotMix,
//	                                                                                      TestByzantine/OPEN_of_another_context
//	1.3 lengths, strict forms  public.judgeCommitment, public.judgeDealing                FuzzJudge, TestByzantine/D1_long
//	1.4 echo                   threshold.Session.Step                                     TestByzantine/D1_equivocated,
//	                                                                                      TestByzantine/other_echo_claimed_in_D3
//	1.6 evidence               VerifyEvidence, public.judge                               TestByzantine, TestSecondKeyFramesNobody,
//	                                                                                      TestSecondDealingFramesNobody
//	B.3 D1                     state.begin, commitment                                    TestByzantine/honest,
//	                                                                                      TestByzantine/D1_commitment_copied
//	  D2                       state.open, state.deal, public.pad                         TestByzantine/honest,
//	                                                                                      TestByzantine/opening_of_an_earlier_session
//	  D2 proof of possession   provePossession, verifyPossession                          TestPossession, TestByzantine/rogue_key
//	  D3                       round2.Advance, public.judgeVerdict, state.complain        TestByzantine/honest,
//	                                                                                      TestByzantine/wrong_share_to_two
//	  D3 equal logarithms      proveEqualLogs, verifyEqualLogs                            TestEqualLogs
//	  Feldman's check          public.fits, poly.EvalCommitments                          poly.TestSharing, TestByzantine/wrong_share_to_one
//	  key and public shares    public.outcome                                             TestOutcome
//	  chain code               public.chainCode                                           TestChainCode
//	  dkg-length               public.judgeCommitment, public.judgeDealing                TestByzantine/D1_short,
//	                                                                                      TestByzantine/t+1_commitments
//	  dkg-point                public.judgeCommitment, public.judgeDealing                TestByzantine, group.TestSetCanonicalEncodings
//	  dkg-scalar               public.judgeDealing                                        TestByzantine/ciphertext_not_canonical
//	  dkg-commitment           public.judgeDealing                                        TestByzantine/D2_does_not_open_the_commitment:_salt
//	  dkg-possession           public.judgeDealing                                        TestByzantine/possession:_made_for_another_party
//	  dkg-share                public.judgeComplaint, blameDealers, public.findComplaint  TestByzantine/wrong_share_to_one,
//	                                                                                      TestByzantine/wrong_share,_then_silence
//	  dkg-complaint            public.judgeComplaint                                      TestByzantine/complaint_of_a_good_share,
//	                                                                                      TestByzantine/complaint_with_another_ECDH_point
//	  dkg-verdict              public.judgeVerdict                                        TestByzantine/D3_garbage
//	  dkg-digest               public.judgeVerdict                                        TestByzantine/D3_other_digest
//	  dkg-identity             public.outcome                                             TestIdentityOutcome
//	  dkg-own-share            round3.Advance, round3.addOldShare                         TestDamagedShare
//	B.4 refresh                NewRefresh, public.points, public.addOld                   TestRefreshRefuses,
//	                                                                                      TestByzantine/refresh:_constant_term_not_zero
//	- randomness fails         state.wipe                                                 TestRandomnessFails
//	- this table                                                                          TestTrace
package dkg
