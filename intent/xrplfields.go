package intent

import "strings"

// xrplNames are the fields that are read, by type and number (XRPL documentation, "Binary Format", "Field IDs").
var xrplNames = map[[2]int]string{
	{1, 2}: "TransactionType", {1, 3}: "SignerWeight",
	{2, 1}: "NetworkID", {2, 2}: "Flags", {2, 3}: "SourceTag", {2, 4}: "Sequence", {2, 10}: "Expiration", {2, 11}: "TransferRate",
	{2, 12}: "WalletSize", {2, 14}: "DestinationTag", {2, 20}: "QualityIn", {2, 21}: "QualityOut", {2, 25}: "OfferSequence",
	{2, 27}: "LastLedgerSequence", {2, 33}: "SetFlag", {2, 34}: "ClearFlag", {2, 35}: "SignerQuorum", {2, 36}: "CancelAfter",
	{2, 37}: "FinishAfter", {2, 39}: "SettleDelay", {2, 40}: "TicketCount", {2, 41}: "TicketSequence",
	{4, 1}: "EmailHash",
	{5, 7}: "WalletLocator", {5, 9}: "AccountTxnID", {5, 17}: "InvoiceID", {5, 22}: "Channel", {5, 24}: "CheckID", {5, 34}: "DomainID",
	{6, 1}: "Amount", {6, 2}: "Balance", {6, 3}: "LimitAmount", {6, 4}: "TakerPays", {6, 5}: "TakerGets", {6, 8}: "Fee",
	{6, 9}: "SendMax", {6, 10}: "DeliverMin",
	{7, 1}: "PublicKey", {7, 2}: "MessageKey", {7, 3}: "SigningPubKey", {7, 4}: "TxnSignature", {7, 6}: "Signature", {7, 7}: "Domain",
	{7, 12}: "MemoType", {7, 13}: "MemoData", {7, 14}: "MemoFormat", {7, 16}: "Fulfillment", {7, 17}: "Condition",
	{7, 18}: "MasterSignature",
	{8, 1}:  "Account", {8, 2}: "Owner", {8, 3}: "Destination", {8, 5}: "Authorize", {8, 6}: "Unauthorize", {8, 8}: "RegularKey",
	{8, 9}:   "NFTokenMinter",
	{14, 10}: "Memo", {14, 11}: "SignerEntry",
	{15, 3}: "Signers", {15, 4}: "SignerEntries", {15, 9}: "Memos",
	{16, 16}: "TickSize", {18, 1}: "Paths", {19, 5}: "CredentialIDs",
}

// xrplUnsigned are the fields that no signature covers, so that nothing that is signed has one.
var xrplUnsigned = []string{"TxnSignature", "Signature", "MasterSignature", "Signers"}

// xrplRule is a type of transactions that is read: the fields that it must and may have, which flags, and what goes away.
type xrplRule struct {
	number    uint64
	name      string
	flags     uint64
	must, may string
	to        string // the field that says with whom, or of what
	amount    string // the field of what goes away, or may be taken
	what      What
}

// xrplRules is the closed table (XRPL documentation, "Transaction Types"). All but payments are calls too: each does more than to pay.
var xrplRules = []xrplRule{
	{0, "Payment", 0x00070000, "Destination Amount", "DestinationTag InvoiceID Paths SendMax DeliverMin CredentialIDs DomainID",
		"Destination", "Amount", Send},
	{1, "EscrowCreate", 0, "Destination Amount", "CancelAfter FinishAfter Condition DestinationTag", "Destination", "Amount", Send},
	{2, "EscrowFinish", 0, "Owner OfferSequence", "Condition Fulfillment CredentialIDs", "Owner", "", ""},
	{3, "AccountSet", 0x003f0000, "",
		"ClearFlag SetFlag Domain EmailHash MessageKey TransferRate TickSize NFTokenMinter WalletLocator WalletSize", "", "", ""},
	{4, "EscrowCancel", 0, "Owner OfferSequence", "", "Owner", "", ""},
	{5, "SetRegularKey", 0, "", "RegularKey", "RegularKey", "", ""},
	{7, "OfferCreate", 0x001f0000, "TakerPays TakerGets", "Expiration OfferSequence DomainID", "", "TakerGets", Allowance},
	{8, "OfferCancel", 0, "OfferSequence", "", "", "", ""},
	{10, "TicketCreate", 0, "TicketCount", "", "", "", ""},
	{12, "SignerListSet", 0, "SignerQuorum", "SignerEntries", "", "", ""},
	{13, "PaymentChannelCreate", 0, "Destination Amount SettleDelay PublicKey", "CancelAfter DestinationTag",
		"Destination", "Amount", Send},
	{14, "PaymentChannelFund", 0, "Channel Amount", "Expiration", "Channel", "Amount", Send},
	{15, "PaymentChannelClaim", 0x00030000, "Channel", "Balance Amount PublicKey CredentialIDs", "Channel", "", ""},
	{16, "CheckCreate", 0, "Destination SendMax", "DestinationTag Expiration InvoiceID", "Destination", "SendMax", Allowance},
	{17, "CheckCash", 0, "CheckID", "Amount DeliverMin", "CheckID", "", ""},
	{18, "CheckCancel", 0, "CheckID", "", "CheckID", "", ""},
	{19, "DepositPreauth", 0, "", "Authorize Unauthorize", "Authorize", "", ""},
	{20, "TrustSet", 0x00f70000, "LimitAmount", "QualityIn QualityOut", "LimitAmount", "", ""},
	{21, "AccountDelete", 0, "Destination", "DestinationTag CredentialIDs", "Destination", "", ""},
}

// The fields of every transaction.
const (
	xrplMust = "TransactionType Account Fee Sequence SigningPubKey"
	xrplMay  = "Flags SourceTag AccountTxnID LastLedgerSequence TicketSequence Memos"
)

// has tells whether a type has a field.
func (r *xrplRule) has(name string) bool {
	return strings.Contains(" "+strings.Join([]string{xrplMust, xrplMay, r.must, r.may}, " ")+" ", " "+name+" ")
}

// xrplSetFlags are the flags of accounts that give away or bind control (XRPL documentation, "AccountSet Flags").
var xrplSetFlags = map[uint64]string{4: "asfDisableMaster", 6: "asfNoFreeze", 10: "asfAuthorizedNFTokenMinter",
	16: "asfAllowTrustLineClawback"}
