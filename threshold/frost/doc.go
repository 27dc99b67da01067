// Package frost is threshold Schnorr signing in two rounds (Komlo and Goldberg, SAC 2020), in two variants:
//
//   - Ed25519: RFC 9591 FROST(Ed25519, SHA-512); signatures are RFC 8032's, checked by crypto/ed25519.
//   - Taproot: BIP 445, FROST3 for BIP-340 public keys with BIP-341 tweaks, draft 0.12.1. Since 0.8.0 the binding factor also hashes the
//     number of the signers, so signers of earlier drafts make no signature with us; the draft is in the context of presigning, so that
//     they are told. The draft wants identifiers below n; ours are party numbers minus one, and may be larger in a committee that others
//     have left. It is not RFC 9591's secp256k1 suite, whose signatures no chain takes. A group key is an output key without a script path.
//
// The nonce commitments ride in the OPEN message, so presigning costs no round of its own, and the session ID binds them.
// Nonces are hedged with the share (RFC 9591 §4.1; BIP 445 NonceGen), live in memory only and are burnt before anything is
// made from them; whoever comes second gets threshold.ErrBurnt, even from another goroutine. A share is verified before it
// leaves, because a miscomputed one can give the key share away. Combine verifies the signature as an outsider would; only
// if that fails are the shares verified one by one, and every culprit is named (RFC 9591 §5.4).
//
// There is no pool of nonces, on purpose. Presigning a batch ahead of the requests moves the nonces' cost (two fixed-base
// multiplications, about 20 µs) and the round trip out of the way together; a pool of bare nonces would save the former only,
// and add a place where secrets wait that no session binds. The pool of presignatures is the appliance's.
//
// Security: one-more unforgeability under static corruption of t-1 parties in the random oracle model (Bellare, Crites,
// Komlo, Maller, Tessaro, Zhu, CRYPTO 2022; for FROST3: Ruffing, Ronge, Jin, Schneider-Bensch, Schröder, CCS 2022). Nothing is
// claimed against adaptive corruption. Binding factors are what makes concurrent sessions safe (ROS attacks).
//
// To add a ciphersuite of RFC 9591, fill in an rfcScheme as ed25519.go does and run its vector as rfc9591_test.go does.
//
// # Trace
//
// Names are this package's, unless they begin with another's; what follows a slash is a subtest. TestTrace holds the table to the source
// and to docs/PROTOCOLS.md.
//
//	PROTOCOLS                    function                                                     test
//	1.2 OPEN, context            presign, presigning.bindKeys                                 TestPresignContext, TestPresignRefuses,
//	                                                                                          TestPresignOfAnotherDraft
//	  observer                   presigning.begin                                             TestObserverAndMixedBatch
//	1.5 key record, purpose      parseKeyShare, secretFits, publicSharesFit                   TestParseKeyShare, TestQuorumRefused
//	  threshold of a sharing     checkSharing                                                 TestCheckSharing, TestEverySubsetSigns
//	B.1 Ed25519                  rfcScheme.request, edHash, edVerify                          TestRFC9591Ed25519, TestOpenSSLVerifies,
//	                                                                                          TestSolanaTransferVerifies
//	  BIP 445                    newSignerSet, aggregateNonces, newSessionValues              TestBIP445NonceAgg, TestBIP445SignVerify
//	  BIP 340                    bip340Verify, bip340Challenge                                TestBIP340Vectors, FuzzBIP340Verify
//	  other implementations                                                                   TestMixedSigning
//	  no script path             taprootOutput                                                TestTaprootOutput, TestKeygenGivesOutputKey,
//	                                                                                          TestTaprootSpendExecutes
//	  the RFC's secp256k1 suite                                                               TestRFC9591Secp256k1
//	B.2 S1                       presigning.drawNonces, presigning.check, decodeCommitment    TestCommitmentsRefused, FuzzDecodeCommitment
//	  S2                         rfcScheme.nonces, edNonce, taprootNonces, nonceGen           TestBIP445NonceGen, TestTaprootHedging,
//	                                                                                          TestNoncesWiped
//	  S3                         takeNonces, noncePair.take, noncePair.Burn                   TestPresignatureBurns, TestNoncesWiped
//	  S4                         preparedOf, prepared.ownPlace, rfcScheme.request             TestSignShareRefuses/own_commitment,
//	                                                                                          TestSignShareRefuses/another_epoch,
//	                                                                                          TestRFC9591Ed25519
//	  S5                         rfcSigner.SignShare, sessionValues.sign, sessionValues.fits  TestSignShareRefuses/corrupt_nonce,
//	                                                                                          TestBIP445SignVerify
//	  S6                         rfcScheme.Combine, taproot.Combine, culprits                 TestCombineBlames, FuzzSignatureShare,
//	                                                                                          TestVerifyRefuses
//	  S7                         newTweakedKey, tweakContext.apply                            TestBIP445Tweak, TestTaprootTweaks
//	B.3 key generation           taproot.Keygen, rfcScheme.Keygen                             dkg.TestByzantine, TestEverySubsetSigns
//	B.4 refresh                  taproot.Refresh, rfcScheme.Refresh                           TestRefreshedKeySigns, dkg.TestRefreshRefuses
//	- this table                                                                              TestTrace
package frost
