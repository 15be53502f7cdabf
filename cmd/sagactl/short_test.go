//go:build !long

package main

// long is false in the ordinary run, whose tests are kept small; see long_test.go.
const long = false
