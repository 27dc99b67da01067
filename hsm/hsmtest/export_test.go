package hsmtest

// InTable is for tests.
var InTable = inTable
