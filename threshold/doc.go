// Package threshold is the engine of mpcd: threshold signatures as arithmetic.
//
// It turns messages into messages. It has no context, clock, goroutine, lock, file, network or logger, and randomness is a
// parameter; so a run is a function of its seed and its messages, and every run can be repeated.
//
// A ceremony among parties is, on each side, a Session. Round 0 is always OPEN: every party contributes a fresh nonce and the
// hash of what it believes the ceremony is about, and the session ID is the hash of them all. Broadcasts are echoed in the
// round that follows; who said two things is proven by its own signatures. A session ends with a result or with an Abort,
// whose culprits are data. A Proven abort carries evidence, judged by VerifyConduct and the scheme's Judge; the session passes
// it on, and its peers judge it for themselves.
//
// What the engine takes from its caller (Session lists the duties): authenticated senders, one ceremony value per session for
// ever, resending, and a Setup that is the same for all. What it promises in turn: no honest party is ever blamed, whatever
// the others do and however the network treats messages; a failed session leaves no secret; a peer can make it hold no more
// than two rounds of messages. The last round is not echoed: whether all parties have the result is for certificates to tell.
//
// A Scheme is a protocol for one Kind of key. It makes such keys, refreshes them, and signs in three steps: Presign (rounds, ahead of
// or with the request), SignShare (no rounds: the place where hardware attests), Combine. What a key is, its Kind says in data: curve,
// what it signs, the forms of its public key, its addresses. KeyInfo binds the kind and no protocol, so a share signs by any scheme of
// its kind; what is made to sign, a Presignature, is one scheme's. Further abilities are interfaces: Pairer for pair state, Pooler
// where presignatures are worth keeping, Deriver for keys below a key.
//
// # Evidence
//
// A party is convicted by what it signed, and by nothing else. What a message must name to convict its sender:
//
//  1. The ceremony: all evidence is of one, under which a party runs one session, ever. Two data messages in one place of it, a round and
//     a recipient, that differ convict whatever their sender believed (equivocation). Nothing else does by itself.
//  2. The view: for the judge's rules, its signers, committee, keys and lengths, to bind the sender, the sender's own OPEN has the hash of
//     the judge's context. A message of round 0 has it in itself; one of a later round in the session ID, a hash that contains it;
//     originals and claims come with the OPEN.
//  3. The session: originals convict only if they name one, for it exists for who has finished round 0. What a party holds when it leaves
//     before is no evidence, and an honest one signs no originals then.
//  4. What was seen: a judgement that depends on others' broadcasts goes by those that the sender's own echo binds, in rounds that want
//     broadcasts. A stray one counts for nobody.
//
// Evidence that lacks one of these convicts nobody, and is dropped. TestNothingHonestConvicts, here and in thresholdtest, and
// thresholdtest.TestChaos hold everything that honest parties sign to this, finished, aborted or left in any round, or begun anew.
//
// Evidence always fits a message: NewSession refuses OPENs that a dispute could not show, and an accusation may be as long as the longest
// that convicts. An abort of kind Proven has evidence that convinces third parties, by VerifyConduct or the scheme's Judge, also after the
// session. Whatever is known without it bans: pairwise checks, and signature shares, which their attestation proves elsewhere.
//
// The package does not move, sign or encrypt messages, persist shares, or decide who may sign: the appliance does.
// To add a scheme: implement Scheme in a directory of its own, pass thresholdtest, and list it in threshold/schemes.
//
// # Trace
//
// Names are this package's, unless they begin with another's; what follows a slash is a subtest. TestTrace holds the table to the source
// and to docs/PROTOCOLS.md.
//
//	PROTOCOLS                      function                                          test
//	1.1 transcript hash            canon.Hash                                        canon.TestHashBoundaries
//	1.2 OPEN, session ID           Session.Start, contextHash, sessionID             TestViewsDiffer, TestLife
//	  observer                     Session.emitIn, Session.horizon                   thresholdtest.TestSeeds, frost.TestObserverAndMixedBatch
//	  config-mismatch              judgeOpen                                         TestViewsDiffer,
//	                                                                                 dkg.TestByzantine/OPEN_of_another_context_and_longer
//	  open-length                  judgeOpen, JudgeOpen                              dkg.TestByzantine/OPEN_short,
//	                                                                                 dkg.TestByzantine/OPEN_long
//	1.3 encoding                   DecodeMessage, decodeOriginals, decodeAccusation  TestMessageEncoding, TestOriginalsEncoding, FuzzDecode
//	  what is dropped              Session.Step, Session.store                       TestDropped, TestFlood
//	  length                       Session.check                                     dkg.TestByzantine/D1_long, dkg.TestByzantine/D3_endless
//	  fits                       NewSession, MessageKind.maxBody                   TestEvidenceFits
//	1.4 the hash                   echoHash, Session.claim                           TestNoSignatures,
//	                                                                                 dkg.TestByzantine/other_echo_claimed_in_D2
//	  the dispute                  Session.showOriginals, Session.earlyOriginals     dkg.TestByzantine/echo_claimed,_originals_withheld,
//	                                                                                 TestNoCombinationFrames
//	  a Proven abort is passed on  Session.accuse, Session.accused                   TestAccusationsAreJudgedOnce,
//	                                                                                 TestAccusationsAreCompared,
//	                                                                                 dkg.TestByzantine/an_accusation_of_garbage
//	  the last round               Session.OpenOriginals                             TestEquivocationAfterTheEnd,
//	                                                                                 TestLeavingConvictsNobody
//	  what convicts                believed, VerifyConduct                           TestNothingHonestConvicts,
//	                                                                                 TestLeavingConvictsNobody
//	  strays                       Session.broadcast                                 TestStrayBroadcast
//	  equivocation                 VerifyEquivocation, VerifyConduct                 TestEquivocationAfterTheEnd,
//	                                                                                 dkg.TestByzantine/two_OPENs_in_one_place
//	  originals                    readOriginals, badOriginals                       TestOriginalsEncoding,
//	                                                                                 dkg.TestByzantine/echo_claimed,_originals_forged
//	  echo                         liedEcho, Session.originals                       TestNoCombinationFrames, TestNoSignatures
//	  identity                     Session.originals                                 TestIdentityUsedElsewhere
//	1.5 parties and committees     Committee.Validate, Committee.CheckQuorum         TestCommittee
//	1.6 kinds, culprits            asAbort, Session.blame                            TestAbort, TestFaultKinds
//	  evidence                     ReadTranscript, JudgeOpen, Convicts               TestNoCombinationFrames, dkg.TestSecondKeyFramesNobody
//	  random                       Session.Start, Session.randomness                 TestLife, TestHedge
//	  erased                       Session.Erase                                     TestLife
//	  internal                     asAbort                                           dkg.TestRandomnessFails
//	F.1 rounds of every shape      Session.progress, Session.advance                 TestRoundShapes, thresholdtest.TestSeeds,
//	                                                                                 thresholdtest.TestGoldenTraces
//	- this table                                                                     TestTrace
package threshold
