// Package wire is the protocol between a node and the process of a driver (driver.proto), as Go code. All but this file is made
// by protoc 3.21, protoc-gen-go v1.36.12 and protoc-gen-go-grpc v1.6.0; drivers in other languages are made from driver.proto.
//
// Drivers in Go want package plugin, which serves any hsm.Drivers in this protocol.
package wire

//go:generate protoc --go_out=. --go_opt=paths=source_relative --go-grpc_out=. --go-grpc_opt=paths=source_relative driver.proto
